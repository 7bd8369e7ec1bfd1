// Package dedupe makes repositories share the space of equal blobs that were
// stored apart: by another program, while links were not wanted, or without an
// index. It owns the order in which a store is gone through and the progress
// of that; what a link is, the store knows (oci.Copies).
//
// Invariants: nothing is ever deleted on the word of the index, and no blob is
// missing at any moment. Work that was done is not done again: blobs that
// share their space already cost a look and nothing more, and repositories
// that have not changed since the last walk ended are not looked into. Memory
// is bounded, whatever the size of the store.
package dedupe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"berth/oci"
	"berth/tasks"
)

// Store is what the job needs of a store.
type Store interface {
	oci.Repos
	oci.Copies
}

// Options of a run. The zero value is usable.
type Options struct {
	Log *slog.Logger     // nil: discard
	Now func() time.Time // nil: time.Now
	// Round paces the run and is told how far it is. nil: the run has a thread
	// of the least priority to itself, and goes on without a pause.
	Round *tasks.Round
	// All looks into every repository, also those that have not changed.
	All bool
	// Entries is how many blobs are kept in memory at a time, 40 bytes each; a
	// store with more is gone through several times. 0: 65536.
	Entries int
}

// Report tells what a run did.
type Report struct {
	Repositories int64 // that were looked into
	Unchanged    int64 // that were not, since nothing had changed in them
	Blobs        int64 // that were looked at
	Linked       int64 // blobs that share another's space now
	BytesFreed   int64
	Failed       int64 // copies that could not be linked
}

func (r Report) String() string {
	said := fmt.Sprintf("%d repositories looked into, %d unchanged, %d blobs, %d linked, %d bytes freed",
		r.Repositories, r.Unchanged, r.Blobs, r.Linked, r.BytesFreed)
	if r.Failed > 0 {
		said += fmt.Sprintf("; %d copies could not be linked", r.Failed)
	}
	return said
}

const (
	defaultEntries = 1 << 16
	// saveEvery is how often progress is kept.
	saveEvery = 30 * time.Second
	// coarse is by how much the times of files may be behind the clock.
	coarse = 20 * time.Millisecond
)

// Run goes through a store until ctx ends, and goes on there the next time.
// locations are hints where equal blobs may lie;
// nil: none. A context that ends is an error; what was done until then stays
// done and is in the report.
func Run(ctx context.Context, store Store, locations oci.Locations, opts Options) (Report, error) {
	j := &job{store: store, locations: locations, opts: opts, log: opts.Log, now: opts.Now}
	j.opts.Entries = cmp.Or(opts.Entries, defaultEntries)
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	if j.now == nil {
		j.now = time.Now
	}
	run := j.run
	if opts.Round == nil {
		run = func(ctx context.Context) error { return tasks.Low(ctx, j.run) }
	}
	err := run(ctx)
	return j.report, err
}

// job is one run.
type job struct {
	store     Store
	locations oci.Locations
	opts      Options
	log       *slog.Logger
	now       func() time.Time
	report    Report
	progress  progress
	saved     time.Time
	noted     int // notes to the index since it was flushed
	// stamps has when the blobs of the repositories had changed last when they
	// were looked into; disturbed: somebody else changed them since.
	stamps    map[oci.Repo]time.Time
	disturbed bool
}

// extent is how much there is to do.
type extent int

const (
	nothing extent = iota // nothing has changed since the last walk ended
	some                  // repositories that have changed, by the index
	all                   // every blob is compared with every other
)

func (j *job) run(ctx context.Context) error {
	var err error
	if j.progress, err = load(j.store); err != nil {
		return fmt.Errorf("read the progress of dedupe: %w", err)
	}
	j.saved = j.now()
	if j.opts.All {
		j.progress.Since = time.Time{}
	}
	todo, err := j.extent(ctx)
	if err != nil || todo == nothing {
		return err
	}
	if j.progress.Began.IsZero() {
		j.progress.Began = j.now()
	}
	if todo == all {
		err = j.full(ctx)
	} else {
		err = j.changed(ctx)
	}
	since := j.progress.Began
	if err == nil && !j.disturbed {
		since, err = j.undisturbed(ctx, since)
	}
	if err != nil {
		return errors.Join(err, j.save())
	}
	j.progress = progress{Version: progressVersion, Since: since}
	return j.save()
}

// hasIndex tells whether the index knows every blob that berth has stored.
func (j *job) hasIndex(ctx context.Context) bool {
	if j.locations == nil {
		return false
	}
	rebuild, ok := j.locations.(oci.LocationsRebuild)
	if !ok {
		return true
	}
	complete, err := rebuild.Complete(ctx)
	return err == nil && complete
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// extent tells what there is to do: everything the first time, after a walk
// that did not end, and where something has changed and there is no index to
// ask about it.
func (j *job) extent(ctx context.Context) (extent, error) {
	if j.progress.Since.IsZero() || !j.progress.Began.IsZero() {
		return all, nil
	}
	unchanged := int64(0)
	err := j.store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		if at, err := j.store.BlobsChanged(ctx, repo); err == nil && !at.Before(j.progress.Since) {
			return errEnough
		}
		unchanged++
		return nil
	})
	switch {
	case err == nil:
		j.report.Unchanged = unchanged
		return nothing, nil
	case !errors.Is(err, errEnough):
		return nothing, err
	case j.hasIndex(ctx):
		return some, nil
	}
	return all, nil
}

// undisturbed is the time up to which everything was compared: that of the
// end, if no repository was changed by somebody else while the walk ran, and
// that of its beginning otherwise.
func (j *job) undisturbed(ctx context.Context, began time.Time) (time.Time, error) {
	now := j.now()
	err := j.store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		at, err := j.store.BlobsChanged(ctx, repo)
		stamp, seen := j.stamps[repo]
		if err == nil && (seen && !at.Equal(stamp) || !seen && !at.Before(began)) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return began, nil
	}
	last := now.Add(-coarse)
	for _, stamp := range j.stamps {
		if !stamp.Before(last) {
			last = stamp.Add(1)
		}
	}
	return last, err
}

// visit looks into one repository, and notes when its blobs had changed last
// after that.
func (j *job) visit(ctx context.Context, repo oci.Repo, look func(oci.Digest, oci.Copy) error) error {
	before, err := j.store.BlobsChanged(ctx, repo)
	if err != nil {
		return err
	}
	linked := j.report.Linked
	if stamp, seen := j.stamps[repo]; seen && !before.Equal(stamp) {
		j.disturbed = true
	}
	err = j.store.WalkCopies(ctx, repo, func(d oci.Digest, c oci.Copy) error {
		freed := j.report.BytesFreed
		if err := look(d, c); err != nil {
			return err
		}
		return j.opts.Round.Step(ctx, j.report.BytesFreed-freed)
	})
	if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
		return err
	}
	j.opts.Round.Progress(j.report.Repositories, 0, "repositories")
	after := before
	if j.report.Linked != linked {
		if after, err = j.store.BlobsChanged(ctx, repo); err != nil {
			return err
		}
	}
	if j.stamps == nil {
		j.stamps = make(map[oci.Repo]time.Time)
	}
	j.stamps[repo] = after
	return nil
}

// relink makes one repository's blob share another's space. It reports whether
// from's copy is one to go on with.
func (j *job) relink(ctx context.Context, d oci.Digest, from, to oci.Repo) (good bool, err error) {
	freed, err := j.store.Relink(ctx, d, from, to)
	switch {
	case err == nil:
		j.report.Linked++
		j.report.BytesFreed += freed
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, oci.ErrBlobUnknown), errors.Is(err, oci.ErrNameUnknown):
		return false, nil // deleted meanwhile; which of the two does not matter
	case errors.Is(err, oci.ErrReadOnly), errors.Is(err, oci.ErrUnavailable), errors.Is(err, oci.ErrStorageFull):
		return false, err
	}
	j.report.Failed++
	if !errors.Is(err, errors.ErrUnsupported) {
		j.log.Warn("two copies of a blob stay apart", "digest", d, "repository", to, "other", from, "error", err)
	}
	return errors.Is(err, oci.ErrSizeInvalid), nil
}

// note tells the index of a blob. It lets the index write from time to time,
// so that it drops nothing.
func (j *job) note(ctx context.Context, d oci.Digest, repo oci.Repo) {
	if j.locations == nil || j.locations.Add(ctx, d, repo) != nil {
		return
	}
	if j.noted++; j.noted%512 == 0 {
		if f, ok := j.locations.(interface{ Flush(context.Context) error }); ok {
			_ = f.Flush(ctx) // one that fails is rebuilt
		}
	}
}

// Rebuild makes the function that walks a store to rebuild its index: it adds
// every blob of every repository.
func Rebuild(store interface {
	oci.Repos
	oci.Blobs
}) func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
	return func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
		return tasks.Low(ctx, func(ctx context.Context) error {
			return store.WalkRepos(ctx, "", func(repo oci.Repo) error {
				err := store.WalkBlobs(ctx, repo, func(d oci.Digest, _ oci.BlobInfo) error { return add(d, repo) })
				if errors.Is(err, oci.ErrNameUnknown) {
					return nil
				}
				return err
			})
		})
	}
}
