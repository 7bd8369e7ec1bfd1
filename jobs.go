package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/config"
	"berth/oci/registry"
	"berth/tasks"
)

// The priorities of jobs: what frees space goes before what saves some, and
// rounds that take days are last.
const (
	priorityGC     = 80
	priorityExpiry = 60
	priorityDedupe = 20
	priorityScrub  = 10
)

// jobs are what is done in the background for a root. Each has the root's name
// behind its own, by jobName.
func (o *openRoot) jobs() []tasks.Job {
	all := []tasks.Job{o.scrubJob()}
	if o.store.ReadOnly() {
		return all
	}
	all = append(all, o.gcJob())
	if o.share != nil {
		all = append(all, tasks.Job{Name: o.jobName("dedupe"), Priority: priorityDedupe, First: enforceAfter, Run: o.share})
	}
	return all
}

// enforceAfter is how long after a root was opened its blobs are looked
// through for dedupe: a start has better things to do.
const enforceAfter = 30 * time.Second

// jobName is a job's name for this root: "gc", and "gc /usb" for a subpath.
func (o *openRoot) jobName(job string) string {
	return strings.TrimSpace(job + " " + o.name)
}

// upkeep is the background work of all roots that are open.
type upkeep struct {
	*tasks.Scheduler
	config *config.Config
	log    *slog.Logger
	// registry is over all roots, and policies say what goes of them; nil until
	// they are open.
	registry *registry.Registry
	policies *policies

	mu    sync.Mutex // guards roots
	roots []*openRoot
}

func newUpkeep(cfg *config.Config, busy func() bool, log *slog.Logger) *upkeep {
	return &upkeep{config: cfg, log: log, Scheduler: tasks.New(tasks.Options{
		Log:     log,
		Workers: cfg.Tasks.WorkerCount(),
		Limits:  taskLimits(cfg.Tasks),
		Busy:    busy,
	})}
}

func taskLimits(t config.Tasks) tasks.Limits {
	from, to := t.WindowTimes()
	return tasks.Limits{Rate: int64(t.IORate), Pressure: float64(t.Pressure), Window: tasks.Window{From: from, To: to}}
}

// open takes over the jobs of a root.
func (u *upkeep) open(o *openRoot) {
	o.debt.root = o
	u.mu.Lock()
	u.roots = append(u.roots, o)
	u.mu.Unlock()
	for _, j := range o.jobs() {
		if err := u.Add(j); err != nil {
			u.log.Error("work in the background is not done", "root", whereIs(o.config), "error", err)
		}
	}
}

// close ends the jobs of a root.
func (u *upkeep) close(o *openRoot) {
	u.mu.Lock()
	u.roots = slices.DeleteFunc(u.roots, func(other *openRoot) bool { return other == o })
	u.mu.Unlock()
	for _, j := range o.jobs() {
		u.Remove(j.Name)
	}
}

// each calls do for every root that is open, until ctx ends, and joins its
// errors. A root that goes meanwhile ends what is done for it.
func (u *upkeep) each(ctx context.Context, do func(*openRoot) error) error {
	u.mu.Lock()
	roots := slices.Clone(u.roots)
	u.mu.Unlock()
	var failed []error
	for _, o := range roots {
		if ctx.Err() != nil {
			break
		}
		failed = append(failed, do(o))
	}
	return errors.Join(append(failed, ctx.Err())...)
}
