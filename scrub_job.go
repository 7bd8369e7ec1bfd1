package main

import (
	"context"
	"strings"
	"time"

	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/scrub"
)

const (
	// scrubFloor is the least time from one round to the next: rounds without
	// an end would only wear the disk.
	scrubFloor = 2 * time.Hour
	// scrubFirst is how long after a root was opened a round begins that is
	// due, or goes on.
	scrubFirst = 5 * time.Minute
)

// scrubInterval is the time from the end of a round to the next; 0 where there
// are only those that somebody asks for.
func (u *upkeep) scrubInterval() time.Duration {
	s := u.config.Extensions.Scrub
	if !s.Enable {
		return 0
	}
	return max(s.Interval, scrubFloor)
}

// checkScrub says once that the interval is another one than was asked for.
func (u *upkeep) checkScrub() {
	if s := u.config.Extensions.Scrub; s.Enable && s.Interval < scrubFloor {
		u.log.Warn("the interval of the scrub is too short: it is raised", "interval", s.Interval, "raised to", scrubFloor)
	}
}

// scrubJob reads everything that the root holds. It is there for `berth scrub`
// also where it is not done by itself.
func (o *openRoot) scrubJob() tasks.Job {
	j := tasks.Job{Name: o.jobName("scrub"), Priority: priorityScrub, Windowed: true, First: -1, Run: o.scrubRound}
	if j.Every = o.upkeep.scrubInterval(); j.Every > 0 {
		due := scrub.Due(o.store, j.Every, time.Now())
		j.First = max(scrubFirst, min(due, j.Every))
		o.scrubDue.Store(due == 0)
	}
	return j
}

// scrubRound is one round, or the rest of one.
func (o *openRoot) scrubRound(ctx context.Context, r *tasks.Round) error {
	opts := scrub.Options{Log: o.log, Sparse: registry.Sparse(o.upkeep.config.HTTP.Sparse), ReportOnly: o.store.ReadOnly()}
	opts.Lost = func(repo oci.Repo, d oci.Digest) {
		if o.upkeep.registry != nil {
			o.upkeep.registry.Forget(o.fullName(repo), d)
		}
	}
	report, err := scrub.New(o.store, opts).Run(ctx, r)
	if ctx.Err() == nil {
		o.scrubDue.Store(false)
	}
	if err == nil {
		o.scrubbed.Store(&report)
	}
	return err
}

// fullName is a repository's name as clients know it.
func (o *openRoot) fullName(repo oci.Repo) oci.Repo {
	if prefix := strings.TrimPrefix(o.name, "/"); prefix != "" {
		return oci.Repo(prefix) + "/" + repo
	}
	return repo
}
