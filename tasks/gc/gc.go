package gc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
)

// Options of a Collector.
type Options struct {
	// Registry serves the store, and removes what the Collector finds.
	Registry *registry.Registry
	// Store is one of the stores that Registry serves: only what lies there is
	// looked at.
	Store oci.Store
	// Prefix is what the registry puts before the names of the store's
	// repositories, with a slash at its end; "": nothing.
	Prefix string
	// Elsewhere tells of a name of the registry that another store has it; nil:
	// none is.
	Elsewhere func(oci.Repo) bool
	// Delay is the least age of what goes.
	Delay time.Duration
	// Keep says what stays in a repository, as the registry calls it, though it
	// could go: manifests that nothing holds, and referrers of what is gone;
	// nil: neither.
	Keep func(oci.Repo) (untagged, referrers bool)
	// Offline: nobody is served meanwhile, nor was lately.
	Offline bool
	Log     *slog.Logger     // nil: discard
	Now     func() time.Time // the clock on the wall; nil: time.Now
}

// Collector collects the garbage of one store, in rounds. It is for one
// goroutine at a time.
type Collector struct {
	opts Options
	log  *slog.Logger
	now  func() time.Time

	// clean has repositories in which nothing was left to collect, now or
	// later, as they were then.
	clean map[oci.Repo]sight
	// orphans are those of shared repositories, orphanCount in all.
	orphans     map[oci.Repo]orphans
	orphanCount int
	dating      dating // of the present round
}

// sight is a repository as it was seen.
type sight struct {
	version oci.Version
	changed time.Time
}

// mostClean bounds how many repositories are known to be clean: about 200 bytes
// each.
const mostClean = 10_000

// New makes a Collector.
func New(opts Options) *Collector {
	c := &Collector{opts: opts, log: opts.Log, now: opts.Now, clean: map[oci.Repo]sight{}, orphans: map[oci.Repo]orphans{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// Request is what one round is to do.
type Request struct {
	// Dry: only tell what would go.
	Dry bool
	// Each is called with everything that went; nil: nobody is told. Its error
	// ends the round.
	Each func(Item) error
}

// Kind is what an Item is.
type Kind string

// The kinds of garbage.
const (
	Blob       Kind = "blob"
	Manifest   Kind = "manifest"
	Upload     Kind = "upload"     // a session that nobody has used for the delay
	Repository Kind = "repository" // that held nothing
	Temporary  Kind = "temporary"  // a file of a process that did not end well
)

// Item is something that went.
type Item struct {
	Repo  oci.Repo `json:"repository,omitempty"` // as the registry calls it; "" for a Temporary
	Kind  Kind     `json:"kind"`
	Name  string   `json:"name,omitempty"` // a digest, an upload's ID, or a file; "" for a Repository
	Bytes int64    `json:"bytes"`          // that it freed: none where other names share them
}

// Report is what a round did, or would do.
type Report struct {
	Repositories int64          `json:"repositories"` // looked through
	Unchanged    int64          `json:"unchanged"`    // passed over, since nothing could have come up there
	Failed       int64          `json:"failed"`       // left alone, for a reason that is in the log
	Collected    map[Kind]int64 `json:"collected"`
	Bytes        int64          `json:"bytes"`
	// Later counts repositories and upload sessions of which something may go
	// in a later round, though nobody writes until then: it was too young, or a
	// client was told of it.
	Later int64 `json:"later,omitempty"`
	// Early: nothing was collected, since the registry does not run long enough
	// yet to know what clients were told.
	Early bool `json:"early,omitempty"`
	// Elsewhere: another process collects the garbage of the store, or does so
	// by now.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// String is the report in a few words.
func (r Report) String() string {
	if r.Early {
		return "too early: nothing is collected before the delay has passed since the start"
	}
	if r.Elsewhere && r.Items() == 0 {
		return "another process collects the garbage of this store"
	}
	s := fmt.Sprintf("%d collected, %d bytes freed; %d repositories looked through, %d unchanged", r.Items(), r.Bytes, r.Repositories, r.Unchanged)
	if r.Failed > 0 {
		s += fmt.Sprintf(", %d left alone", r.Failed)
	}
	return s
}

// Items is how many things were collected.
func (r Report) Items() (n int64) {
	for _, some := range r.Collected {
		n += some
	}
	return n
}

// round is one run of a Collector.
type round struct {
	*Collector
	*tasks.Round
	Request
	report Report
	// gone has how many names went of bytes that have several, by their
	// number: in a dry round they are counted still.
	gone map[uint64]uint64
	// receiving has the repositories with upload sessions that stay.
	receiving map[oci.Repo]bool
}

// Run does a round; pace may be nil. What cannot be read in one repository
// keeps the others from nothing: it is logged, and counted as Failed.
func (c *Collector) Run(ctx context.Context, pace *tasks.Round, req Request) (Report, error) {
	if req.Each == nil {
		req.Each = func(Item) error { return nil }
	}
	r := &round{Collector: c, Round: pace, Request: req, gone: map[uint64]uint64{}, receiving: map[oci.Repo]bool{}}
	r.report.Collected = map[Kind]int64{}
	if !c.opts.Offline && !c.opts.Registry.Settled(c.opts.Delay) {
		r.report.Early = true
	} else if err := r.alone(ctx); err != nil {
		return r.report, err
	}
	pace.Say(r.report.String())
	return r.report, nil
}

// alone is run, unless another process does the same.
func (r *round) alone(ctx context.Context) error {
	if r.Dry {
		return r.run(ctx)
	}
	elected, release, err := r.elect(ctx)
	if errors.Is(err, oci.ErrConflict) {
		r.report.Elsewhere = true
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	err = r.run(elected)
	if ctx.Err() == nil && errors.Is(context.Cause(elected), errLost) {
		r.report.Elsewhere = true
		return nil
	}
	return err
}

func (r *round) run(ctx context.Context) error {
	if err := r.setClock(ctx); err != nil {
		return err
	}
	if err := r.uploads(ctx); err != nil {
		return err
	}
	if err := r.repositories(ctx); err != nil {
		return err
	}
	leftovers, ok := r.opts.Store.(oci.Leftovers)
	if !ok {
		return nil
	}
	return leftovers.RemoveLeftovers(ctx, r.Dry, func(name string, size int64) error {
		return r.tell(Item{Kind: Temporary, Name: name, Bytes: size})
	})
}

// tell counts an item and hands it on.
func (r *round) tell(i Item) error {
	r.report.Collected[i.Kind]++
	r.report.Bytes += i.Bytes
	return r.Each(i)
}

// pageSize is how many repositories are listed at a time, so that no walk goes
// on while they are looked through.
const pageSize = 256

var errPage = errors.New("the page is full")

// repositories looks through all repositories of the store.
func (r *round) repositories(ctx context.Context) error {
	var after oci.Repo
	for {
		var page []oci.Repo
		err := r.opts.Store.WalkRepos(ctx, after, func(repo oci.Repo) error {
			page = append(page, repo)
			if len(page) == pageSize {
				return errPage
			}
			return nil
		})
		if err != nil && !errors.Is(err, errPage) {
			return err
		}
		for _, repo := range page {
			if err := r.Step(ctx, 0); err != nil {
				return err
			}
			if err := r.repository(ctx, repo); err != nil {
				return err
			}
			r.Progress(r.report.Repositories+r.report.Unchanged+r.report.Failed, 0, "repositories")
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1]
	}
}

// repository looks through one. Its error ends the round.
func (r *round) repository(ctx context.Context, repo oci.Repo) error {
	full := r.full(repo)
	if r.opts.Elsewhere != nil && r.opts.Elsewhere(full) {
		return nil
	}
	s := sweep{round: r, repo: repo, full: full, shared: r.isShared(repo)}
	err := s.run(ctx)
	for failures := 1; s.shared && errors.Is(err, oci.ErrUnavailable) && failures <= maxFailures && ctx.Err() == nil; failures++ {
		// By now nothing of it is under way any more; what came meanwhile is
		// young, and is seen by looking at everything again.
		r.log.Info("it is not known whether garbage was deleted: it is tried again", "repository", full, "error", err)
		s = sweep{round: r, repo: repo, full: full, shared: true}
		err = s.run(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.told != nil:
		return s.told
	case errors.Is(err, oci.ErrNameUnknown):
		return nil // it has gone
	case errors.Is(err, oci.ErrUnavailable), errors.Is(err, oci.ErrReadOnly):
		return err
	case err != nil:
		r.report.Failed++
		r.log.Warn("garbage of a repository is not collected", "repository", full, "error", err)
	}
	return nil
}

// full is what the registry calls a repository of the store.
func (c *Collector) full(repo oci.Repo) oci.Repo { return oci.Repo(c.opts.Prefix) + repo }

// told tells whether a client was told of something.
func (c *Collector) told(repo oci.Repo, name string) bool {
	return c.opts.Registry.Told(c.full(repo), name)
}

// dawn is before the first file that a clock which was set has dated.
const dawn = 1577836800 // 2020-01-01

// old tells whether something that came at a time may go. Where nobody
// remembers what came lately, a time from before the clock was set tells
// nothing.
func (c *Collector) old(at time.Time) bool {
	if c.opts.Offline && at.Unix() < dawn {
		return false
	}
	return c.oldBy(at, c.opts.Delay)
}

// oldBy tells whether something that came at a time is older than that.
func (c *Collector) oldBy(at time.Time, age time.Duration) bool {
	now := c.present()
	return !at.After(now) && now.Sub(at) >= age+c.dating.unsure
}

// uploads ends the upload sessions that nobody uses.
func (r *round) uploads(ctx context.Context) error {
	var stale []oci.UploadInfo
	err := r.opts.Store.WalkUploads(ctx, func(u oci.UploadInfo) error {
		if r.unused(u) && len(stale) < 10_000 { // others are for the next round
			stale = append(stale, u)
		} else {
			r.receiving[u.Repo] = true
			r.report.Later++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, u := range stale {
		full := r.full(u.Repo)
		ended := r.Dry && !r.told(u.Repo, string(u.ID))
		if !r.Dry {
			ended, err = r.opts.Registry.CollectUpload(ctx, full, u.ID)
			if err != nil && !errors.Is(err, oci.ErrUploadUnknown) {
				return err
			}
		}
		if !ended {
			r.receiving[u.Repo] = true
			r.report.Later++
		} else if err := r.tell(Item{Repo: full, Kind: Upload, Name: string(u.ID), Bytes: u.Size}); err != nil {
			return err
		}
		if err := r.Step(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}
