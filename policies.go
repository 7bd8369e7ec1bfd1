package main

import (
	"fmt"
	"slices"
	"strings"

	"berth/config"
	"berth/oci"
	"berth/oci/budget"
	"berth/oci/glob"
	taskbudget "berth/tasks/budget"
	"berth/tasks/retention"

	"golang.org/x/sys/unix"
)

// policies say, for the repositories of each place, what goes by itself.
type policies struct {
	places  []policyPlace // the root directory, then subpaths and media
	budgets []policyBudget
}

// policyPlace is the root directory, a subpath or a place of media.
type policyPlace struct {
	prefix    string         // of repository names; "": the root directory
	retention *retention.Set // nil: all tags stay
	keep      []glob.RefPattern
	collects  bool // garbage, without which no tag that goes frees anything
}

// policyBudget is one limit of bytes.
type policyBudget struct {
	limit  budget.Limit
	pushed bool
	keep   []glob.RefPattern
}

// newPolicies reads the patterns of a configuration.
func newPolicies(cfg *config.Config) (*policies, config.Error) {
	p := &policies{}
	r := &policyReader{cfg: cfg}
	s := cfg.Storage
	p.place(r, "", "storage", s.Root)
	for _, sub := range s.SubPaths {
		p.place(r, sub.Prefix, strings.TrimSuffix(sub.Key(""), "."), sub.Root)
	}
	for _, m := range s.Media {
		p.places = append(p.places, policyPlace{prefix: m.Prefix})
	}
	for i, b := range s.Budgets {
		r.key = "storage.budgets"
		patterns := parseAll(r, b.Repositories, glob.Parse)
		p.budgets = append(p.budgets, policyBudget{
			limit: budget.Limit{
				Name:   fmt.Sprintf("storage.budgets[%d]", i),
				Covers: func(repo oci.Repo) bool { return glob.Any(patterns, string(repo)) },
				Bytes:  amountOf(b.MaxBytes, s.RootDirectory), High: b.HighWatermark, Low: b.LowWatermark,
			},
			pushed: b.EvictPushed, keep: parseAll(r, b.Keep, glob.ParseRef),
		})
	}
	return p, r.problems
}

// place takes over what one root says.
func (p *policies) place(r *policyReader, prefix, key string, root config.Root) {
	r.key = key + ".keep"
	keep := parseAll(r, root.Budget.Keep, glob.ParseRef)
	r.key = key + ".retention"
	p.places = append(p.places, policyPlace{prefix: prefix, retention: r.set(root), keep: keep, collects: root.GC})
	if root.Budget.MaxBytes.None() || root.ReadOnly {
		return
	}
	at := len(p.places) - 1
	p.budgets = append(p.budgets, policyBudget{
		limit: budget.Limit{
			Name: key + ".maxBytes", Whole: true,
			Covers: func(repo oci.Repo) bool { return p.placeOf(repo) == at },
			Bytes:  amountOf(root.Budget.MaxBytes, root.RootDirectory), High: root.Budget.HighWatermark, Low: root.Budget.LowWatermark,
		},
		pushed: root.Budget.EvictPushed,
	})
}

// placeOf is the place where a repository lies: that with the longest prefix.
func (p *policies) placeOf(repo oci.Repo) int {
	found := 0
	for i, place := range p.places {
		if len(place.prefix) > len(p.places[found].prefix) && strings.HasPrefix(string(repo), place.prefix+"/") {
			found = i
		}
	}
	return found
}

// setOf is the retention that may apply to a repository; nil: none does.
func (p *policies) setOf(repo oci.Repo) *retention.Set { return p.places[p.placeOf(repo)].retention }

// retains tells whether retention may remove anything.
func (p *policies) retains() bool {
	return slices.ContainsFunc(p.places, func(place policyPlace) bool {
		return place.retention != nil && slices.ContainsFunc(place.retention.Policies, func(policy retention.Policy) bool { return len(policy.KeepTags) > 0 })
	})
}

// pinned tells whether the place of a repository has a tag stay.
func (p *policies) pinned(repo oci.Repo, tag oci.Tag) bool {
	return matchesRef(p.places[p.placeOf(repo)].keep, repo, tag)
}

func matchesRef(patterns []glob.RefPattern, repo oci.Repo, tag oci.Tag) bool {
	return slices.ContainsFunc(patterns, func(p glob.RefPattern) bool { return p.Match(string(repo), string(tag)) })
}

// limited tells whether some limit of bytes covers a repository.
func (p *policies) limited(repo oci.Repo) bool {
	return slices.ContainsFunc(p.budgets, func(b policyBudget) bool { return b.limit.Covers(repo) })
}

// limits are those of bytes, and rules which tags go for each of them.
func (p *policies) limits() (limits []budget.Limit, rules []taskbudget.Rules) {
	for _, b := range p.budgets {
		limits = append(limits, b.limit)
		rules = append(rules, taskbudget.Rules{Pushed: b.pushed, Pinned: func(repo oci.Repo, tag oci.Tag) bool {
			return matchesRef(b.keep, repo, tag) || p.pinned(repo, tag) || !p.places[p.placeOf(repo)].collects
		}})
	}
	return limits, rules
}

// amountOf is a number of bytes, or of those of the file system of a directory:
// 0 while that is not there.
func amountOf(a config.Amount, dir string) func() int64 {
	return func() int64 {
		if a.Percent == 0 {
			return a.Bytes
		}
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0
		}
		return int64(st.Blocks) / 100 * a.Percent * int64(st.Bsize)
	}
}

// policyReader gathers what is wrong with patterns.
type policyReader struct {
	cfg      *config.Config
	key      string // that the patterns are of
	problems config.Error
}

// parseAll parses patterns; one that is wrong is a problem.
func parseAll[P any](r *policyReader, texts []string, parse func(string) (P, error)) []P {
	var all []P
	for _, s := range texts {
		p, err := parse(s)
		if err != nil {
			r.problems = append(r.problems, r.cfg.Problem(r.key, err.Error()))
			continue
		}
		all = append(all, p)
	}
	return all
}

// set makes the policies of one root; nil where there are none.
func (r *policyReader) set(root config.Root) *retention.Set {
	c := root.Retention
	if len(c.Policies) == 0 {
		return nil
	}
	set := &retention.Set{DryRun: c.DryRun, Delay: c.Delay}
	if c.Delay < 0 {
		set.Delay = root.GCDelay
	}
	for i, p := range c.Policies {
		policy := retention.Policy{
			Name:         fmt.Sprintf("policies[%d]", i),
			Repositories: parseAll(r, p.Repositories, glob.Parse), DeleteUnnamed: p.DeleteUnnamed,
			DeleteUntagged: p.DeleteUntagged, DeleteReferrers: p.DeleteReferrers,
		}
		for _, k := range p.KeepTags {
			policy.KeepTags = append(policy.KeepTags, retention.Rule{
				Patterns:    parseAll(r, k.Patterns, retention.ParsePattern),
				PushedCount: int(k.MostRecentlyPushedCount), PulledCount: int(k.MostRecentlyPulledCount),
				PushedWithin: k.PushedWithin, PulledWithin: k.PulledWithin,
			})
		}
		set.Policies = append(set.Policies, policy)
	}
	return set
}
