package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"berth/config"
	"berth/oci"
	"berth/tasks"
	"berth/tasks/dedupe"
	"berth/tasks/gc"
	"berth/tasks/scrub"
)

// rootStore is what the work of a root needs of its store, wherever that keeps
// its content.
type rootStore interface {
	oci.Store
	// ReadOnly tells whether nothing can be written there.
	ReadOnly() bool
	// Run does the store's own upkeep until ctx ends.
	Run(ctx context.Context) error
	Close() error
}

// rootIndex is a dedupe index, and what it does beside requests.
type rootIndex interface {
	oci.Locations
	Run(ctx context.Context) error
}

// rebuildFunc tells a dedupe index which blobs each repository holds.
type rebuildFunc = func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error

// openRoot is one root from its opening to its end: its store with the dedupe
// index, and the work that goes on beside requests.
type openRoot struct {
	store  rootStore
	config config.Root
	name   string    // of a subpath, "/usb"; "": the root directory
	index  rootIndex // nil: none
	log    *slog.Logger
	upkeep *upkeep       // nil: there is none
	gc     *gc.Collector // of the job of that name, nil before its first round
	// share is the job dedupe, which makes what is stored as the configuration
	// wants it; nil: there is none.
	share func(ctx context.Context, r *tasks.Round) error

	stop  context.CancelFunc
	under sync.WaitGroup // the work under way

	scrubbed atomic.Pointer[scrub.Report] // what the last round found; nil: none has ended
	scrubDue atomic.Bool                  // a round was due when the root was opened, and has not ended

	// clean is, plus one, how many writes the registry had counted when the last
	// round of garbage collection began that left nothing for later; 0: none did.
	clean atomic.Uint64
	debt  debt
}

// locations is the dedupe index as the port, nil where there is none.
func (o *openRoot) locations() oci.Locations {
	if o.index == nil {
		return nil
	}
	return o.index
}

// start begins the work beside requests.
func (o *openRoot) start() {
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.work(ctx, "upkeep of the storage ended", o.store.Run)
	if o.index != nil {
		o.work(ctx, "the dedupe index ended", o.index.Run)
	}
	if o.upkeep != nil {
		o.upkeep.open(o)
	}
}

// work runs something until ctx ends.
func (o *openRoot) work(ctx context.Context, failed string, run func(context.Context) error) {
	o.under.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			o.log.Error(failed, "error", err)
		}
	})
}

// rebuild tells the dedupe index which blobs each repository holds.
func (o *openRoot) rebuild(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
	return dedupe.Rebuild(o.store)(ctx, add)
}

// end ends the work and closes the store.
func (o *openRoot) end() error {
	if o.upkeep != nil {
		o.upkeep.close(o)
	}
	o.stop()
	o.under.Wait()
	return o.store.Close()
}
