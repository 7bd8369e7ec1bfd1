package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"berth/cache"
	"berth/config"
	"berth/fsstore"
	"berth/oci"
	"berth/tasks/dedupe"
	"berth/tasks/gc"
	"berth/tasks/scrub"
)

// localRoot is the store of one root directory, with its dedupe index and the
// work that goes on beside requests, from openLocal to Close.
type localRoot struct {
	*fsstore.Store
	config config.Root
	name   string       // of a subpath, "/usb"; "": the root directory
	index  *cache.Index // nil: none
	log    *slog.Logger
	upkeep *upkeep       // nil: there is none
	gc     *gc.Collector // of the job of that name, nil before its first round

	stop  context.CancelFunc
	under sync.WaitGroup // the work under way

	scrubbed atomic.Pointer[scrub.Report] // what the last round found; nil: none has ended
}

var _ oci.Store = (*localRoot)(nil)

// openLocal opens the store of a root directory, which the rest of berth calls
// by a name. With upkeep its jobs are done until Close.
func openLocal(name string, root config.Root, log *slog.Logger, upkeep *upkeep) (*localRoot, error) {
	l := &localRoot{config: root, name: name, log: log, upkeep: upkeep}
	opts := storeOptions(root, log)
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
	l.start()
	return l, nil
}

func storeOptions(root config.Root, log *slog.Logger) fsstore.Options {
	return fsstore.Options{
		Root:     root.RootDirectory,
		Commit:   root.Commit,
		ReadOnly: root.ReadOnly,
		MinFree:  minFree(root.MinFree),
		Dedupe:   root.Dedupe,
		Log:      log,
	}
}

// locations is the dedupe index as the port, nil where there is none.
func (l *localRoot) locations() oci.Locations {
	if l.index == nil {
		return nil
	}
	return l.index
}

// start begins the work beside requests.
func (l *localRoot) start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.work(ctx, "upkeep of the storage ended", l.Store.Run)
	if l.index != nil {
		l.work(ctx, "the dedupe index ended", l.index.Run)
	}
	if l.upkeep != nil {
		l.upkeep.open(l)
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

// Close ends the work and closes the store.
func (l *localRoot) Close() error {
	if l.upkeep != nil {
		l.upkeep.close(l)
	}
	l.stop()
	l.under.Wait()
	return l.Store.Close()
}
