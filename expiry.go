package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/oci"
	"berth/oci/budget"
	"berth/oci/registry"
	"berth/tasks"
	taskbudget "berth/tasks/budget"
	"berth/tasks/retention"
	taskusage "berth/tasks/usage"
)

const (
	jobGC        = "gc"
	jobRetention = "retention"
	jobBudgets   = "budgets"
)

// expiry is what removes tags by itself, and what that has to know.
type expiry struct {
	*policies
	uses   *taskusage.Memory // nil: nobody asks for it
	ledger *budget.Ledger    // nil: there is no limit of bytes
	upkeep *upkeep

	collecting sync.Mutex // held while garbage is collected for a limit of bytes
}

// newExpiry makes what the configuration asks for.
func (p *process) newExpiry() (*expiry, error) {
	policies, problems := newPolicies(p.cfg)
	if len(problems) > 0 {
		return nil, problems
	}
	x := &expiry{policies: policies, upkeep: p.upkeep}
	if limits, _ := x.limits(); len(limits) > 0 {
		x.ledger = budget.NewLedger(budget.Options{}, limits...)
	}
	if x.ledger != nil || x.retains() {
		opts := taskusage.Options{Log: p.log}
		if p.stores.notes != nil {
			opts.File = usageFile{p.stores.notes}
		}
		x.uses = taskusage.New(opts)
	}
	return x, nil
}

// keep tells what garbage collection keeps in a repository: what its policy says,
// and else what is given. Under a limit of bytes a manifest without a tag never
// stays: that is how tags free anything.
func (p *policies) keep(repo oci.Repo, untagged, referrers bool) (keepUntagged, keepReferrers bool) {
	if policy := p.setOf(repo).For(repo); policy != nil {
		if policy.DeleteUntagged != nil {
			untagged = !*policy.DeleteUntagged
		}
		if policy.DeleteReferrers != nil {
			referrers = !*policy.DeleteReferrers
		}
	}
	return untagged && !p.limited(repo), referrers
}

// store is what the registry writes to.
func (x *expiry) store(s oci.Store) oci.Store {
	if x.ledger == nil {
		return s
	}
	return budget.Wrap(s, x.ledger)
}

// addJobs adds the jobs that remove tags. every is the time between two rounds
// of garbage collection, which takes what they leave.
func (x *expiry) addJobs(p *process, reg *registry.Registry, every time.Duration) error {
	var failed []error
	if x.retains() {
		job := retention.New(retention.Options{
			Registry: reg, Store: p.stores.Store, Sets: x.setOf, Pinned: x.pinned, Usage: x.uses, Log: p.log,
		})
		failed = append(failed, x.upkeep.Add(tasks.Job{
			Name: jobRetention, Priority: priorityExpiry, Every: every,
			Run: func(ctx context.Context, r *tasks.Round) error {
				_, err := job.Run(ctx, r)
				return err
			},
		}))
	}
	if x.ledger != nil {
		_, rules := x.limits()
		job := taskbudget.New(taskbudget.Options{
			Registry: reg, Store: p.stores.Store, Ledger: x.ledger, Rules: rules, Usage: x.uses, Log: p.log,
			Collect: func() { go x.collect() },
		})
		failed = append(failed, x.upkeep.Add(tasks.Job{
			Name: jobBudgets, Priority: priorityExpiry, Every: every,
			Run: func(ctx context.Context, r *tasks.Round) error {
				_, err := job.Run(ctx, r)
				return err
			},
		}))
	}
	return errors.Join(failed...)
}

// collect collects the garbage of all roots, and has the limits of bytes know
// what became free. It ends when background work does.
func (x *expiry) collect() {
	if !x.collecting.TryLock() {
		return // one is under way
	}
	defer x.collecting.Unlock()
	ctx := context.Background()
	_ = x.upkeep.each(ctx, func(o *openRoot) error {
		if !o.config.GC || o.store.ReadOnly() {
			return nil
		}
		_, err := x.upkeep.Trigger(ctx, o.jobName(jobGC), nil)
		return err
	})
	x.ledger.Recount()
}

// run keeps what is known of uses, and has the limits of bytes counted when that
// is needed, until ctx ends.
func (x *expiry) run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	if x.uses != nil {
		under.Go(func() { _ = x.uses.Run(ctx) }) // it never fails
	}
	if x.ledger != nil {
		under.Go(func() {
			_ = x.ledger.Run(ctx, func(ctx context.Context) { // it never fails
				_, _ = x.upkeep.Trigger(ctx, jobBudgets, nil) // the scheduler logs what fails
			})
		})
	}
}

// flush keeps what became known of uses in the end.
func (x *expiry) flush() {
	if x.uses != nil {
		x.uses.Flush()
	}
}

// usageFile keeps the times of uses where the root keeps its notes.
type usageFile struct{ notes oci.NoteKeeper }

const usageNote = "usage"

// Load implements usage.File.
func (f usageFile) Load() ([]byte, error) {
	return f.notes.LoadNote(usageNote, int64(taskusage.MaxFile))
}

// Save implements usage.File.
func (f usageFile) Save(content []byte) error { return f.notes.SaveNote(usageNote, content, true) }
