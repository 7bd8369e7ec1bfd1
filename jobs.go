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
	"berth/tasks/dedupe"
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
func (l *localRoot) jobs() []tasks.Job {
	all := []tasks.Job{l.scrubJob()}
	if l.ReadOnly() {
		return all
	}
	all = append(all, l.gcJob())
	if l.config.Dedupe {
		all = append(all, tasks.Job{Name: l.jobName("dedupe"), Priority: priorityDedupe, First: enforceAfter, Run: l.enforceRound})
	}
	return all
}

// enforceAfter is how long after a root was opened its blobs are looked
// through for dedupe: a start has better things to do.
const enforceAfter = 30 * time.Second

// enforceRound makes the repositories of the root share what they hold alike.
func (l *localRoot) enforceRound(ctx context.Context, r *tasks.Round) error {
	report, err := dedupe.Run(ctx, l.Store, l.locations(), dedupe.Options{Log: l.log, Round: r})
	r.Say(report.String())
	if report.Linked+report.Failed > 0 {
		l.log.Info("blobs that several repositories hold share their space", "root", l.config.RootDirectory, "linked", report.Linked,
			"freed", report.BytesFreed, "failed", report.Failed)
	}
	return err
}

// jobName is a job's name for this root: "gc", and "gc /usb" for a subpath.
func (l *localRoot) jobName(job string) string {
	return strings.TrimSpace(job + " " + l.name)
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
	roots []*localRoot
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
func (u *upkeep) open(l *localRoot) {
	u.mu.Lock()
	u.roots = append(u.roots, l)
	u.mu.Unlock()
	for _, j := range l.jobs() {
		if err := u.Add(j); err != nil {
			u.log.Error("work in the background is not done", "root", l.config.RootDirectory, "error", err)
		}
	}
}

// close ends the jobs of a root.
func (u *upkeep) close(l *localRoot) {
	u.mu.Lock()
	u.roots = slices.DeleteFunc(u.roots, func(other *localRoot) bool { return other == l })
	u.mu.Unlock()
	for _, j := range l.jobs() {
		u.Remove(j.Name)
	}
}

// each calls do for every root that is open, until ctx ends, and joins its
// errors. A root that goes meanwhile ends what is done for it.
func (u *upkeep) each(ctx context.Context, do func(*localRoot) error) error {
	u.mu.Lock()
	roots := slices.Clone(u.roots)
	u.mu.Unlock()
	var failed []error
	for _, l := range roots {
		if ctx.Err() != nil {
			break
		}
		failed = append(failed, do(l))
	}
	return errors.Join(append(failed, ctx.Err())...)
}
