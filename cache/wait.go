package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dgraph-io/badger/v4"

	"berth/oci"
)

// await asks for the index to be open and waits until done, which is called
// under mu, says so. oci.ErrNoHint when that is not to be expected soon.
func (x *Index) await(ctx context.Context, done func() bool) error {
	defer x.hold()()
	var late <-chan time.Time
	for {
		x.mu.Lock()
		finished, stage, changed := done(), x.stage, x.changed
		x.asked = true
		x.mu.Unlock()
		if finished {
			return nil
		}
		if stage == stopped || stage == out {
			return oci.ErrNoHint
		}
		x.poke()
		if stage == ready {
			late = nil
		} else if late == nil {
			late = time.After(x.opt.openWait)
		}
		select {
		case <-changed:
		case <-late:
			return oci.ErrNoHint
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold keeps the index from being closed for want of use, until the function
// that it returns is called.
func (x *Index) hold() (release func()) {
	count := func(n int) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.users += n
		x.used = time.Now()
	}
	count(1)
	return func() { count(-1) }
}

// note queues changes about a digest, to be written by Run.
func (x *Index) note(ctx context.Context, d oci.Digest, changes []change) error {
	key, err := keyOf(d)
	if err != nil {
		return oci.ErrNoHint
	}
	if len(changes) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = time.Now()
	if x.stage == stopped || x.stage == out || x.parked {
		x.queue.lossy = true
		return oci.ErrNoHint
	}
	if !x.queue.add(key, changes) {
		return oci.ErrNoHint
	}
	if x.queue.length == len(changes) || x.queue.length > queueLimit/4 {
		x.poke()
	}
	return nil
}

// poke wakes Run.
func (x *Index) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// tell wakes those who wait for a change. It needs mu.
func (x *Index) tell() {
	close(x.changed)
	x.changed = make(chan struct{})
}

// fail notes that the files are not to be trusted; Run wipes them.
func (x *Index) fail(cause error) {
	x.mu.Lock()
	if x.failure == nil {
		x.failure = cause
	}
	x.mu.Unlock()
	x.poke()
}

// read returns the holders that are written for a key.
func (x *Index) read(key string) (repos []oci.Repo, err error) {
	x.gate.RLock()
	defer x.gate.RUnlock()
	if x.db == nil {
		return nil, oci.ErrNoHint
	}
	err = guard(func() error {
		return x.db.View(func(txn *badger.Txn) (err error) {
			repos, err = holders(txn, key)
			return err
		})
	})
	if err != nil {
		x.fail(err)
		return nil, oci.ErrNoHint
	}
	return repos, nil
}

// holders reads one entry within a transaction; none where there is none.
func holders(txn *badger.Txn, key string) (repos []oci.Repo, err error) {
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = item.Value(func(value []byte) (err error) {
		repos, err = decodeHolders(value)
		return err
	})
	return repos, err
}

// guard turns a panic within fn, a fault in a file that is mapped into memory
// included, into an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %.200v", r)
		}
	}()
	return fn()
}

// errStuck: Badger did not return.
var errStuck = errors.New("badger does not come back")

// bounded runs fn under guard and gives it up after a time: Badger repeats
// forever what fails for want of space. What was given up is left to itself.
func bounded(limit time.Duration, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- guard(fn) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errStuck
	}
}
