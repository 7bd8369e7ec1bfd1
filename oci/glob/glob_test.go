package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"berth/oci/glob"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not []string
	}{
		{"app", []string{"app"}, []string{"apps", "app/x", "x/app", ""}},
		{"*", []string{"app", "a"}, []string{"app/x"}},
		{"**", []string{"app", "app/x", "a/b/c/d"}, nil},
		{"infra/*", []string{"infra/x", "infra/x-y"}, []string{"infra", "infra/x/y", "infrax/y"}},
		{"infra/**", []string{"infra", "infra/x", "infra/x/y"}, []string{"infras/x", "x/infra"}},
		{"**/web", []string{"web", "a/web", "a/b/web"}, []string{"webs", "a/web/b"}},
		{"a/**/z", []string{"a/z", "a/b/z", "a/b/c/z", "a/z/z"}, []string{"a", "z", "a/zz", "b/a/z"}},
		{"a/**/b/**/c", []string{"a/b/c", "a/x/b/c", "a/x/b/y/b/z/c"}, []string{"a/c", "a/b", "a/x/c/b"}},
		{"a/**/**", []string{"a", "a/b"}, []string{"b"}},
		{"team-?/app", []string{"team-a/app", "team-1/app"}, []string{"team-/app", "team-ab/app", "team-//app"}},
		{"a*b*c", []string{"abc", "axbxc", "abbcc"}, []string{"ab", "acb", "a/b/c"}},
		{"a**c", []string{"ac", "abc"}, []string{"a/c"}},
	} {
		p, err := glob.Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, name := range c.yes {
			if !p.Match(name) {
				t.Errorf("%s does not match %q", c.pattern, name)
			}
		}
		for _, name := range c.not {
			if p.Match(name) {
				t.Errorf("%s matches %q", c.pattern, name)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "/a", "a/", "a//b", "a b", "[ab]", "{a,b}", "a:b", "ä", strings.Repeat("a", glob.MaxLength+1)} {
		if _, err := glob.Parse(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestParseRef(t *testing.T) {
	for pattern, refs := range map[string][2][]string{
		"app":           {{"app:v1", "app:latest"}, {"apps:v1"}},
		"app:v*":        {{"app:v1", "app:v"}, {"app:w", "app/x:v1"}},
		"**/app:latest": {{"app:latest", "x/y/app:latest"}, {"app:late"}},
		"**:v?":         {{"a:v1", "a/b:v2"}, {"a:v10"}},
	} {
		p, err := glob.ParseRef(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		for i, list := range refs {
			for _, ref := range list {
				repo, tag, _ := strings.Cut(ref, ":")
				if got := p.Match(repo, tag); got != (i == 0) {
					t.Errorf("%s matches %s: %v", pattern, ref, got)
				}
			}
		}
	}
	for _, s := range []string{"", ":", "app:", ":v1", "a:b:c"} {
		if _, err := glob.ParseRef(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// slow is what a pattern means, as a regular expression.
func slow(pattern string) *regexp.Regexp {
	var b strings.Builder
	segments := strings.Split(pattern, "/")
	b.WriteString("^")
	for _, segment := range segments {
		if segment == "**" {
			b.WriteString("(?:/[^/]*)*")
			continue
		}
		b.WriteString("/")
		for _, c := range segment {
			switch c {
			case '*':
				b.WriteString("[^/]*")
			case '?':
				b.WriteString("[^/]")
			default:
				b.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
	}
	return regexp.MustCompile(b.String() + "$")
}

// FuzzMatch compares the matcher with a regular expression.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{
		{"a/**/z", "a/b/z"}, {"**", "a"}, {"*a*/?b", "xay/cb"}, {"**/a/**/b", "a/b/a/b"}, {"a**b", "ab"}, {"a/**", "a"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 64 || len(name) > 64 || strings.ContainsAny(name, "\n") || strings.Contains("/"+name+"/", "//") {
			return // names have no empty segment
		}
		for i := range len(name) {
			if name[i] >= 0x80 {
				return
			}
		}
		p, err := glob.Parse(pattern)
		if err != nil {
			return
		}
		if got, want := p.Match(name), slow(pattern).MatchString("/"+name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// TestMatchIsFast: a pattern that makes careless matchers try everything.
func TestMatchIsFast(t *testing.T) {
	p, err := glob.Parse(strings.Repeat("**/*a", 60) + "/b")
	if err != nil {
		t.Fatal(err)
	}
	if p.Match(strings.Repeat("aa/", 60) + "c") {
		t.Error("it matches")
	}
	if n := testing.AllocsPerRun(10, func() { p.Match("aa/aa/aa") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
