package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"berth/cache"
	"berth/config"
	"berth/fsstore"
	"berth/oci"
	"berth/tasks/dedupe"
)

// enforceAfter is how long after a root was opened its blobs are looked
// through for dedupe: a start has better things to do.
const enforceAfter = 30 * time.Second

// localRoot is the store of one root directory, with its dedupe index and the
// work that goes on beside requests, from openLocal to Close.
type localRoot struct {
	*fsstore.Store
	index *cache.Index // nil: none
	log   *slog.Logger
	dir   string

	stop  context.CancelFunc
	under sync.WaitGroup // the work under way

	rounds *atomic.Int64 // of work in the background under way; nil: there are none
}

var _ oci.Store = (*localRoot)(nil)

// openLocal opens the store of a root directory. With rounds, where those of
// work in the background are counted while they are under way, dedupe is
// enforced a while after that on what is stored.
func openLocal(root config.Root, log *slog.Logger, rounds *atomic.Int64) (*localRoot, error) {
	l := &localRoot{log: log, dir: root.RootDirectory, rounds: rounds}
	opts := fsstore.Options{
		Root:     root.RootDirectory,
		Commit:   root.Commit,
		ReadOnly: root.ReadOnly,
		MinFree:  minFree(root.MinFree),
		Dedupe:   root.Dedupe,
		Log:      log,
	}
	if root.Dedupe && !root.ReadOnly {
		l.index = cache.New(cache.Options{
			Dir:     filepath.Join(root.RootDirectory, ".berth", "index"),
			Log:     log,
			Rebuild: l.rebuild,
		})
	}
	opts.Locations = l.locations()
	var err error
	if l.Store, err = fsstore.Open(opts); err != nil {
		return nil, err
	}
	if l.Store.ReadOnly() {
		l.index = nil // the medium is
	}
	l.start(rounds != nil && root.Dedupe && !l.ReadOnly())
	return l, nil
}

// locations is the dedupe index as the port, nil where there is none.
func (l *localRoot) locations() oci.Locations {
	if l.index == nil {
		return nil
	}
	return l.index
}

// start begins the work beside requests.
func (l *localRoot) start(enforce bool) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.work(ctx, "upkeep of the storage ended", l.Store.Run)
	if l.index != nil {
		l.work(ctx, "the dedupe index ended", l.index.Run)
	}
	if enforce {
		l.work(ctx, "dedupe ended before all was looked through; it goes on after the next start", l.enforceLater)
	}
}

// work runs something until ctx ends.
func (l *localRoot) work(ctx context.Context, failed string, run func(context.Context) error) {
	l.under.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			l.log.Error(failed, "error", err)
		}
	})
}

// rebuild tells the dedupe index which blobs each repository holds.
func (l *localRoot) rebuild(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
	return dedupe.Rebuild(l.Store)(ctx, add)
}

// enforceLater is enforce, when the start is over.
func (l *localRoot) enforceLater(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(enforceAfter):
	}
	l.rounds.Add(1)
	defer l.rounds.Add(-1)
	report, err := l.enforce(ctx)
	if report.Linked+report.Failed > 0 {
		l.log.Info("blobs that several repositories hold share their space", "root", l.dir, "linked", report.Linked,
			"freed", report.BytesFreed, "failed", report.Failed)
	}
	return err
}

// Close ends the work and closes the store.
func (l *localRoot) Close() error {
	l.stop()
	l.under.Wait()
	return l.Store.Close()
}
