package retention

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/glob"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(h float64) time.Time { return now.Add(-time.Duration(h * float64(time.Hour))) }

func rule(patterns string, more func(*Rule)) Rule {
	var r Rule
	for p := range strings.FieldsSeq(patterns) {
		r.Patterns = append(r.Patterns, regexp.MustCompile(p))
	}
	if more != nil {
		more(&r)
	}
	return r
}

func pushed(n int) func(*Rule)                 { return func(r *Rule) { r.PushedCount = n } }
func pulled(n int) func(*Rule)                 { return func(r *Rule) { r.PulledCount = n } }
func pushedWithin(d time.Duration) func(*Rule) { return func(r *Rule) { r.PushedWithin = d } }
func pulledWithin(d time.Duration) func(*Rule) { return func(r *Rule) { r.PulledWithin = d } }
func both(a, b func(*Rule)) func(*Rule)        { return func(r *Rule) { a(r); b(r) } }
func tag(name string, pushed, pulled float64) Tag {
	return Tag{Name: oci.Tag(name), Pushed: ago(pushed), Pulled: ago(pulled)}
}

// kept decides, and returns the names of the tags that stay.
func kept(p Policy, delay time.Duration, at time.Time, tags ...Tag) string {
	var names []string
	for _, v := range p.Decide(tags, delay, at) {
		if !v.Delete {
			names = append(names, string(v.Name))
		}
		if v.Reason == "" {
			names = append(names, "no reason!")
		}
	}
	return strings.Join(names, " ")
}

func TestDecide(t *testing.T) {
	tags := []Tag{tag("v1", 50, 1), tag("v2", 40, 40), tag("v3", 30, 2), tag("v4", 20, 20), tag("other", 60, 60)}
	all := "v1 v2 v3 v4 other"
	for _, c := range []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"no rule", nil, all},
		{"patterns alone", []Rule{rule("v1", nil)}, all},
		{"pushed count", []Rule{rule("^v", pushed(2))}, "v3 v4 other"},
		{"pushed count, more than there are", []Rule{rule("^v", pushed(9))}, all},
		{"pushed count of all", []Rule{rule("", pushed(2))}, "v3 v4"},
		{"pulled count", []Rule{rule("^v", pulled(2))}, "v1 v3 other"},
		{"pushed within", []Rule{rule("^v", pushedWithin(30*time.Hour))}, "v3 v4 other"},
		{"pulled within", []Rule{rule("^v", pulledWithin(3*time.Hour))}, "v1 v3 other"},
		{"alternatives", []Rule{rule("^v", both(pushed(1), pulled(1)))}, "v1 v4 other"},
		{"two rules", []Rule{rule("^v", pushed(1)), rule("v2$ oth", nil)}, "v2 v4 other"},
		{"two rules of the same tags", []Rule{rule("^v", pushed(1)), rule("", pulledWithin(90*time.Minute))}, "v1 v4"},
		{"any pattern", []Rule{rule("v1 v2", pushed(1))}, "v2 v3 v4 other"},
		{"a part matches", []Rule{rule("the", pushedWithin(time.Hour))}, "v1 v2 v3 v4"},
	} {
		if got := kept(Policy{KeepTags: c.rules}, 0, now, tags...); got != c.want {
			t.Errorf("%s: %q stay, want %q", c.name, got, c.want)
		}
	}
}

func TestDeleteUnnamed(t *testing.T) {
	tags := []Tag{tag("v1", 50, 50), tag("other", 60, 60), tag("new", 1, 1)}
	p := Policy{KeepTags: []Rule{rule("^v", nil)}, DeleteUnnamed: true}
	if got := kept(p, 2*time.Hour, now, tags...); got != "v1 new" {
		t.Errorf("%q stay", got)
	}
	p.KeepTags = nil
	if got := kept(p, 0, now, tags...); got != "v1 other new" {
		t.Errorf("without a rule %q stay", got)
	}
}

func TestDelay(t *testing.T) {
	p := Policy{KeepTags: []Rule{rule("", pushed(1))}}
	tags := []Tag{tag("a", 30, 30), tag("b", 20, 20), tag("c", 10, 10)}
	for delay, want := range map[time.Duration]string{0: "c", 15 * time.Hour: "c", 20*time.Hour + 1: "b c", 40 * time.Hour: "a b c"} {
		if got := kept(p, delay, now, tags...); got != want {
			t.Errorf("delay %v: %q stay, want %q", delay, got, want)
		}
	}
}

// TestTimesNotKnown: what cannot be dated stays, and counts as the oldest.
func TestTimesNotKnown(t *testing.T) {
	early := Tag{Name: "early", Pushed: time.Unix(500, 0), Pulled: time.Unix(600, 0)}
	never := tag("never", 10, 0)
	never.Pulled = time.Time{}
	future := Tag{Name: "future", Pushed: now.Add(time.Hour), Pulled: now.Add(time.Hour)}
	old := tag("old", 100, 100)
	for _, c := range []struct {
		name  string
		rules []Rule
		at    time.Time
		want  string
	}{
		{"pushed", []Rule{rule("", pushed(2))}, now, "early never future"},
		{"pulled falls back to pushed", []Rule{rule("", pulledWithin(11*time.Hour))}, now, "early never future"},
		{"pulled before pushed", []Rule{rule("", pulled(2))}, now, "early never future"},
		{"clock not set", []Rule{rule("", pushed(1))}, time.Unix(1000, 0), "early never future old"},
		{"clock set back", []Rule{rule("", pushedWithin(time.Hour))}, ago(200), "early never future old"},
	} {
		if got := kept(Policy{KeepTags: c.rules}, 0, c.at, early, never, future, old); got != c.want {
			t.Errorf("%s: %q stay, want %q", c.name, got, c.want)
		}
	}
}

// TestEqualTimes: of tags pushed at the same moment, the later in the index
// counts as the later.
func TestEqualTimes(t *testing.T) {
	p := Policy{KeepTags: []Rule{rule("", pushed(2))}}
	if got := kept(p, 0, now, tag("z", 5, 5), tag("b", 5, 5), tag("a", 5, 5)); got != "b a" {
		t.Errorf("%q stay", got)
	}
}

func TestReasons(t *testing.T) {
	p := Policy{KeepTags: []Rule{rule("^v", both(pushed(1), pulledWithin(24*time.Hour))), rule("1", pushedWithin(10*time.Hour))}}
	verdicts := p.Decide([]Tag{tag("v1", 50, 49.5), tag("v2", 40, 1), tag("x", 99, 99)}, 0, now)
	for i, want := range []string{
		"keepTags[0]: number 2 of the most recently pushed, of which 1 stay, pulled 49h30m ago, of 24h; keepTags[1]: pushed 50h ago, of 10h",
		"keepTags[0]: number 1 of the most recently pushed, of which 1 stay",
		"no rule names it",
	} {
		if v := verdicts[i]; v.Reason != want || v.Delete != (i == 0) {
			t.Errorf("%s: deleted %v, %q, want %q", v.Name, v.Delete, v.Reason, want)
		}
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		720 * time.Hour: "720h", time.Hour + time.Minute: "1h1m", 90*time.Second + time.Millisecond: "1m30s", time.Minute: "1m",
		2 * time.Second: "2s", 0: "0s", 10*time.Hour + 10*time.Minute: "10h10m", 1500 * time.Microsecond: "1.5ms",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v is %q, want %q", int64(d), got, want)
		}
	}
}

func TestFirstPolicyCounts(t *testing.T) {
	patterns := func(texts ...string) (all []glob.Pattern) {
		for _, s := range texts {
			p, err := glob.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
		return all
	}
	s := &Set{Policies: []Policy{
		{Name: "one", Repositories: patterns("infra/*", "prod/**")},
		{Name: "two", Repositories: patterns("**/web")},
	}}
	for repo, want := range map[oci.Repo]string{"infra/x": "one", "prod/a/web": "one", "dev/web": "two", "infra/x/y": "", "infra": "", "dev": ""} {
		got := ""
		if p := s.For(repo); p != nil {
			got = p.Name
		}
		if got != want {
			t.Errorf("%s: policy %q, want %q", repo, got, want)
		}
	}
	s.Policies = append(s.Policies, Policy{Name: "rest"})
	if p := s.For("dev"); p == nil || p.Name != "rest" {
		t.Error("a policy without repositories is not for all")
	}
	var none *Set
	if none.For("dev") != nil {
		t.Error("no set has a policy")
	}
}

func TestParsePattern(t *testing.T) {
	for _, s := range []string{"v1.*", "", "^(a|b)$"} {
		if _, err := ParsePattern(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"(", "a(?=b)", strings.Repeat("a", MaxPattern+1), "((a{1000}){1000}){1000}"} {
		if _, err := ParsePattern(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
