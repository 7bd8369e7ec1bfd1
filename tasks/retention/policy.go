package retention

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/oci"
	"berth/oci/glob"
)

// Set is the policies of one root, in the order in which they are tried.
type Set struct {
	DryRun   bool          // what would go is logged, and stays
	Delay    time.Duration // nothing that was pushed less long ago goes
	Policies []Policy
}

// Policy says which tags of some repositories stay.
type Policy struct {
	Name         string         // in logs
	Repositories []glob.Pattern // none: every repository
	KeepTags     []Rule         // none: every tag stays
	// DeleteUnnamed: tags that no rule names go too, as far as Delay lets them.
	// Otherwise they stay.
	DeleteUnnamed bool
	// DeleteUntagged and DeleteReferrers say what garbage collection does with
	// manifests that no tag names, and with those whose subject is gone; nil:
	// what it does anyhow.
	DeleteUntagged, DeleteReferrers *bool
}

// Rule names tags by patterns, and says which of those stay: where it has
// nothing but patterns all of them, else those for which one of the rest holds.
type Rule struct {
	Patterns     []*regexp.Regexp // that match a part of the tag; none: every tag
	PushedCount  int              // so many that were pushed last; 0: this keeps none
	PulledCount  int              // so many that were pulled last; 0: this keeps none
	PushedWithin time.Duration    // pushed less long ago; 0: this keeps none
	PulledWithin time.Duration    // pulled less long ago; 0: this keeps none
}

// MaxPattern is the longest pattern of a tag, in bytes.
const MaxPattern = 512

// ParsePattern reads a regular expression in the syntax of package regexp,
// which takes time in proportion to what it is matched with.
func ParsePattern(s string) (*regexp.Regexp, error) {
	if len(s) > MaxPattern {
		return nil, fmt.Errorf("a pattern has %d bytes, at most %d are allowed", len(s), MaxPattern)
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, errors.New("a pattern is no regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

// For returns the first policy that a repository matches, nil where there is
// none. A nil Set has none.
func (s *Set) For(repo oci.Repo) *Policy {
	if s == nil {
		return nil
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		if len(p.Repositories) == 0 || glob.Any(p.Repositories, string(repo)) {
			return p
		}
	}
	return nil
}

// Tag is what a decision is made from.
type Tag struct {
	Name           oci.Tag
	Digest         oci.Digest
	Pushed, Pulled time.Time // zero: not known
}

// Verdict is what becomes of a tag, and why.
type Verdict struct {
	Tag
	Delete bool
	Reason string
}

// leastTime is before every time that a clock can rightly show.
var leastTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Decide decides on all tags of a repository, which come in the order of its
// index. It is pure. A tag of which it is not known how old it is stays, and all
// do while the clock cannot be right.
func (p *Policy) Decide(tags []Tag, delay time.Duration, now time.Time) []Verdict {
	out := make([]Verdict, len(tags))
	for i, t := range tags {
		t.Pushed, t.Pulled = known(t.Pushed, now), known(t.Pulled, now)
		if t.Pulled.Before(t.Pushed) {
			t.Pulled = t.Pushed
		}
		out[i] = Verdict{Tag: t}
	}
	var ranks []ranking
	for i := range p.KeepTags {
		ranks = append(ranks, p.KeepTags[i].rank(out))
	}
	for i := range out {
		v := &out[i]
		switch age := now.Sub(v.Pushed); {
		case now.Before(leastTime):
			v.Reason = "the clock was not set"
		case len(p.KeepTags) == 0:
			v.Reason = "the policy keeps all tags"
		default:
			v.Delete, v.Reason = p.judge(i, v.Tag, ranks, now)
			if !v.Delete {
				break
			}
			if v.Pushed.IsZero() {
				v.Delete, v.Reason = false, "when it was pushed is not known"
			} else if age < delay {
				v.Delete, v.Reason = false, fmt.Sprintf("it was pushed %s ago, less than the delay of %s", brief(age), brief(delay))
			}
		}
	}
	return out
}

// known is a time that can be right: one in the future is that of now.
func known(t, now time.Time) time.Time {
	switch {
	case t.Before(leastTime):
		return time.Time{}
	case t.After(now):
		return now
	}
	return t
}

// judge asks the rules about one tag.
func (p *Policy) judge(at int, t Tag, ranks []ranking, now time.Time) (gone bool, reason string) {
	var against []string
	for i := range p.KeepTags {
		if !ranks[i].named[at] {
			continue
		}
		name := fmt.Sprintf("keepTags[%d]", i)
		kept, why := p.KeepTags[i].keeps(ranks[i].pushed[at], ranks[i].pulled[at], t, now)
		if kept {
			return false, name + ": " + why
		}
		against = append(against, name+": "+why)
	}
	if len(against) > 0 {
		return true, strings.Join(against, "; ")
	}
	return p.DeleteUnnamed, "no rule names it"
}

// ranking is how the tags that a rule names compare, by their place in the
// list: 1 is who was used last.
type ranking struct {
	named          []bool
	pushed, pulled []int
}

func (r *Rule) rank(tags []Verdict) ranking {
	out := ranking{named: make([]bool, len(tags)), pushed: make([]int, len(tags)), pulled: make([]int, len(tags))}
	var named []int
	for i := range tags {
		if out.named[i] = r.names(tags[i].Name); out.named[i] {
			named = append(named, i)
		}
	}
	order := func(ranks []int, when func(*Verdict) time.Time) {
		slices.SortFunc(named, func(a, b int) int {
			// Of equals, what stands later in the index came later.
			return cmp.Or(when(&tags[b]).Compare(when(&tags[a])), cmp.Compare(b, a))
		})
		for n, i := range named {
			ranks[i] = n + 1
		}
	}
	order(out.pushed, func(v *Verdict) time.Time { return v.Pushed })
	order(out.pulled, func(v *Verdict) time.Time { return v.Pulled })
	return out
}

// names tells whether the rule is about a tag.
func (r *Rule) names(t oci.Tag) bool {
	for _, re := range r.Patterns {
		if re.MatchString(string(t)) {
			return true
		}
	}
	return len(r.Patterns) == 0
}

// onlyNames tells that the rule has nothing but patterns.
func (r *Rule) onlyNames() bool {
	return r.PushedCount <= 0 && r.PulledCount <= 0 && r.PushedWithin <= 0 && r.PulledWithin <= 0
}

// keeps decides on a tag that the rule names, by its places among those.
func (r *Rule) keeps(pushed, pulled int, t Tag, now time.Time) (kept bool, why string) {
	if r.onlyNames() {
		return true, "patterns"
	}
	var against []string
	count := func(what string, n, place int) bool {
		if n <= 0 {
			return false
		}
		against = append(against, fmt.Sprintf("number %d of the most recently %s, of which %d stay", place, what, n))
		return place <= n
	}
	within := func(what string, d time.Duration, at time.Time) bool {
		switch {
		case d <= 0:
			return false
		case at.IsZero():
			against = append(against, "when it was "+what+" is not known")
			return true
		}
		age := now.Sub(at)
		against = append(against, fmt.Sprintf("%s %s ago, of %s", what, brief(age), brief(d)))
		return age <= d
	}
	if count("pushed", r.PushedCount, pushed) || count("pulled", r.PulledCount, pulled) ||
		within("pushed", r.PushedWithin, t.Pushed) || within("pulled", r.PulledWithin, t.Pulled) {
		return true, against[len(against)-1]
	}
	return false, strings.Join(against, ", ")
}

// brief is a duration for people.
func brief(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Second:
		d = d.Round(time.Second)
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
