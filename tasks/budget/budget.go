// Package budget keeps repositories within their limits of bytes: it counts what
// they take, and removes the tags that were used longest ago. It owns which tags
// go; the count and the refusal of pushes are oci/budget's, and the content that
// nothing names any more is left to garbage collection, with its rules for the
// sake of clients that were told of it.
//
// Invariants: a pinned tag never goes, and neither does one that was pushed
// rather than mirrored, or of which that is not known, unless the limit says so; a
// manifest goes with the last of its tags, or not at all; a tag that was used
// while the choice was made stays. What garbage collection will free anyhow is
// no reason to remove anything. Memory is bounded.
package budget

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"berth/oci"
	"berth/oci/budget"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/usage"
)

// Store is what the job needs of a store.
type Store interface {
	oci.Blobs
	oci.Repos
	WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error
}

// Rules are which tags may go for one limit.
type Rules struct {
	Pushed bool // also those that were pushed rather than mirrored
	Pinned func(oci.Repo, oci.Tag) bool
}

// Options of a Job. Those without a default are needed.
type Options struct {
	Registry *registry.Registry
	Store    Store // of the registry, without the decorator
	Ledger   *budget.Ledger
	Rules    []Rules       // in the order of the ledger's limits
	Usage    *usage.Memory // nil: the times of manifests stand for those of use
	// Collect begins a collection of garbage, and does not wait; nil: it comes
	// in its own time.
	Collect func()
	Log     *slog.Logger     // nil: discard
	Now     func() time.Time // nil: time.Now
}

// Job keeps the limits of one registry.
type Job struct {
	opts      Options
	collected time.Time       // when Collect was called last
	warned    map[string]bool // by the name of a limit: it cannot be kept
}

// Report tells what a round found and did.
type Report struct {
	Limits []LimitReport `json:"limits"`
}

// LimitReport is one limit of a report.
type LimitReport struct {
	Name string `json:"name"`
	Max  int64  `json:"max"`  // bytes; 0: no limit now
	Used int64  `json:"used"` // bytes
	// Garbage is how many of those garbage collection may free, as far as that
	// was looked at; without what was evicted now.
	Garbage int64 `json:"garbage,omitempty"`
	Evicted int   `json:"evicted"` // tags
	Frees   int64 `json:"frees"`   // bytes that garbage collection frees for that
}

func (r Report) String() string {
	var all []string
	for _, l := range r.Limits {
		s := fmt.Sprintf("%s: %s of %s used", l.Name, size(l.Used), size(l.Max))
		if l.Max <= 0 {
			s = fmt.Sprintf("%s: %s used, no limit now", l.Name, size(l.Used))
		}
		if l.Garbage > 0 {
			s += fmt.Sprintf(", %s of it garbage", size(l.Garbage))
		}
		if l.Evicted > 0 {
			s += fmt.Sprintf(", %d tags removed that free %s", l.Evicted, size(l.Frees))
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// size is a number of bytes for people.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n)/(1<<10), []string{"KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && f >= 1<<10 {
		f, units = f/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}

// New makes a Job.
func New(opts Options) *Job {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Collect == nil {
		opts.Collect = func() {}
	}
	return &Job{opts: opts, warned: map[string]bool{}}
}

// Run is one round: it counts, and removes tags where a limit's high watermark is
// passed or a push was refused.
func (j *Job) Run(ctx context.Context, round *tasks.Round) (Report, error) {
	var report Report
	states, err := j.count(ctx, round)
	if err != nil {
		return report, err
	}
	var failed []error
	for i, s := range states {
		l := LimitReport{Name: s.Name, Max: s.Max, Used: s.Used}
		if s.Max > 0 && (s.Used > s.HighMark() || s.Refused > s.Free) {
			failed = append(failed, j.relieve(ctx, round, s, j.opts.Rules[i], &l))
		}
		report.Limits = append(report.Limits, l)
	}
	round.Say(report.String())
	return report, errors.Join(failed...)
}

// relieve removes tags until what stays is below the low watermark, and leaves
// room for the push that was refused. What is garbage already is not looked for
// in tags.
func (j *Job) relieve(ctx context.Context, round *tasks.Round, s budget.State, rules Rules, l *LimitReport) error {
	m, err := j.scan(ctx, round, s.Covers, rules)
	if err != nil {
		return err
	}
	live := m.live()
	l.Garbage = max(s.Used-live, 0)
	room := s.Max - s.Refused
	if live > s.HighMark() || live > room {
		target := min(room, s.HighMark())
		if live > s.HighMark() {
			target = min(room, s.LowMark())
		}
		for _, c := range m.plan(target) {
			if err := j.evict(ctx, s, c, l); err != nil {
				return err
			}
		}
		j.stuck(s, m.live() > target, m.live())
	} else {
		j.stuck(s, false, live)
	}
	if now := j.opts.Now(); l.Evicted > 0 || l.Garbage > 0 && now.Sub(j.collected).Abs() >= leastCollect {
		j.collected = now
		j.opts.Collect()
	}
	return nil
}

// stuck warns, once, where a limit cannot be kept by removing tags.
func (j *Job) stuck(s budget.State, is bool, needed int64) {
	if is && !j.warned[s.Name] {
		j.opts.Log.Warn("budget: too much is stored, and no more tags may be removed: pushes may be refused", "limit", s.Name,
			"bytes", s.Max, "used", s.Used, "needed", needed)
	}
	j.warned[s.Name] = is
}

// leastCollect is the time between two collections that are asked for only since
// there is garbage, which may be too young to go.
const leastCollect = 15 * time.Second

// evict removes the tags of one manifest, unless one of them was used since.
func (j *Job) evict(ctx context.Context, s budget.State, c choice, l *LimitReport) error {
	removed, err := j.opts.Registry.Expire(ctx, c.repo, registry.Expiry{
		Digest: c.digest, Tags: c.tags,
		Still: func(oci.Tag) bool {
			for i, t := range c.tags {
				if j.opts.Usage.Times(c.repo, t, c.digest) != c.times[i] {
					return false
				}
			}
			return true
		},
	})
	if errors.Is(err, oci.ErrNameUnknown) || errors.Is(err, oci.ErrUnavailable) || errors.Is(err, oci.ErrReadOnly) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove tags of %s: %w", c.repo, err)
	}
	for _, t := range removed {
		at := j.opts.Usage.Times(c.repo, t, c.digest)
		j.opts.Log.Info("budget: a tag was removed", "limit", s.Name, "repository", c.repo, "tag", t, "digest", c.digest,
			"size", c.size, "frees", c.frees, "pulled", when(at.Pulled), "pushed", when(at.Pushed), "used", when(c.used))
	}
	l.Evicted += len(removed)
	if len(removed) == len(c.tags) {
		l.Frees += c.frees
	}
	return nil
}

// when is a time for people.
func when(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339)
}
