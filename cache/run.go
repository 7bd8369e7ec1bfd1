package cache

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"berth/oci"
)

// forever is longer than anything Run waits for.
const forever = 24 * time.Hour

// tidyAfter is how long after the last write memory is given back: Badger lets
// go of one of at most eight buffers every two seconds.
const tidyAfter = 20 * time.Second

// writer is what Run alone knows and does.
type writer struct {
	*Index
	lock    *os.File   // holds the directory, while it is open
	sink    *errorSink // of the Badger in use
	state   *os.File   // the state file, while the index is open
	retry   time.Time  // when to try again after a failure
	strikes int        // failures since the index last closed well
	said    string     // what was logged last, so that it is logged once

	wrote  time.Time // when something was written last
	untidy bool      // and memory was not given back since

	rebuild   context.CancelFunc // nil while none runs
	rebuilt   chan error
	rebuildAt time.Time
}

// Run opens the index when it is wanted, writes what was noted, closes it when
// it is idle, wipes it when it cannot be trusted, and has it rebuilt, until ctx
// ends; then it writes what waits, closes, and returns nil. It returns an error
// only where it runs already.
func (x *Index) Run(ctx context.Context) error {
	x.mu.Lock()
	if x.stage != stopped {
		x.mu.Unlock()
		return errors.New("the dedupe index runs already")
	}
	x.stage = closed
	x.tell()
	x.mu.Unlock()

	w := &writer{Index: x, rebuilt: make(chan error, 1)}
	defer w.finish()
	timer := time.NewTimer(forever)
	defer timer.Stop()
	for {
		timer.Reset(w.turn(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		case <-timer.C:
		case err := <-w.rebuilt:
			w.endRebuild(err)
		}
	}
}

// turn does what there is to do, and tells when to look again.
func (w *writer) turn(ctx context.Context) time.Duration {
	w.mu.Lock()
	failure, reset := w.failure, w.reset
	wanted := w.asked || !w.queue.empty() || reset || failure != nil || w.stage == out
	w.mu.Unlock()
	if failure != nil {
		w.give(failure)
	}
	if w.db == nil {
		if wait := time.Until(w.retry); wait > 0 {
			return wait
		}
		if !wanted {
			return forever
		}
		if !w.open(reset) {
			return time.Until(w.retry)
		}
	} else if reset {
		w.stopRebuild()
		w.close()
		return 0
	}
	wait := w.write()
	return min(wait, w.startRebuild(ctx), w.rest())
}

// finish ends Run.
func (w *writer) finish() {
	w.stopRebuild()
	w.mu.Lock()
	w.queue.hurry = true
	w.mu.Unlock()
	if w.db != nil {
		w.write()
		w.close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage = stopped
	w.queue.drop()
	w.tell()
}

// rest closes the index when nobody has used it for long enough.
func (w *writer) rest() time.Duration {
	if w.db == nil {
		return forever
	}
	w.mu.Lock()
	left := w.opt.Idle - time.Since(w.used)
	busy := !w.queue.empty() || w.users > 0 || w.rebuild != nil
	w.mu.Unlock()
	switch {
	case busy:
		return w.opt.Idle
	case left > 0:
		return min(left, w.tidy())
	case w.opt.Free() < w.opt.Floor:
		return w.opt.Idle // to close it needs space
	case !w.retire():
		return 0
	}
	w.close()
	w.strikes = 0
	return forever
}

// retire says that the index is closed, unless somebody has come who uses it: who
// comes from then on waits until it is open again.
func (w *writer) retire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users > 0 || !w.queue.empty() {
		return false
	}
	w.stage = closed
	w.tell()
	return true
}

// tidy gives back the memory that Badger used while it built tables, once it has
// let go of it, which is some seconds after the last write.
func (w *writer) tidy() time.Duration {
	if !w.untidy {
		return forever
	}
	if wait := tidyAfter - time.Since(w.wrote); wait > 0 {
		return wait
	}
	w.untidy = false
	debug.FreeOSMemory()
	return forever
}

// startRebuild has the index rebuilt when it is not complete.
func (w *writer) startRebuild(ctx context.Context) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.db == nil || w.opt.Rebuild == nil || w.rebuild != nil || w.parked || w.meta.complete {
		return forever
	}
	if wait := time.Until(w.rebuildAt); wait > 0 {
		return wait
	}
	ctx, w.rebuild = context.WithCancel(ctx)
	w.queue.lossy = false
	w.opt.Log.Info("rebuilding the dedupe index", "dir", w.opt.Dir)
	go func() {
		w.rebuilt <- guard(func() error { return w.opt.Rebuild(ctx, w.adder(ctx)) })
	}()
	return forever
}

// adder makes the function that a rebuild adds entries with: it waits while
// the queue is half full, so that pushes find room beside it.
func (x *Index) adder(ctx context.Context) func(oci.Digest, oci.Repo) error {
	return func(d oci.Digest, repo oci.Repo) error {
		err := x.await(ctx, func() bool {
			return x.parked || x.stage == ready && x.queue.length < queueLimit/2
		})
		if err != nil {
			return err
		}
		return x.Add(ctx, d, repo)
	}
}

// stopRebuild ends a rebuild and waits for it.
func (w *writer) stopRebuild() {
	if w.rebuild != nil {
		w.rebuild()
		<-w.rebuilt
		w.rebuild = nil
	}
}

// endRebuild takes a rebuild's result.
func (w *writer) endRebuild(err error) {
	w.rebuild()
	w.rebuild = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.queue.lossy {
		err = errors.New("entries were dropped meanwhile")
	}
	if err != nil {
		w.rebuildAt = time.Now().Add(time.Minute)
		w.opt.Log.Warn("rebuilding the dedupe index failed; it is tried again in a minute", "dir", w.opt.Dir, "error", err)
		return
	}
	w.queue.completing = true
	w.strikes = 0
	w.opt.Log.Info("the dedupe index is rebuilt", "dir", w.opt.Dir)
}
