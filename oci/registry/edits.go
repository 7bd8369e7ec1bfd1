package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/oci"
)

// edit is one change to a repository's index. Its functions run in the
// repository's leader, one edit after the other, so that what they see of the
// repository's manifests does not change under them.
type edit struct {
	// at is the version of the index, as it is stored and without other edits,
	// that the edit is for: else it fails with ErrConflict. "": any will do.
	at oci.Version
	// apply is the change, pure. It may be applied again, to a newer index.
	apply func(*oci.Index) (*oci.Index, error)
	// before runs when apply succeeded and before the index is written; nil
	// for none. Its failure fails the edit.
	before func(ctx context.Context) error
	// after runs when the index that has the edit, and others, is written; nil
	// for none.
	after func(ctx context.Context, now *oci.Index) error
	// finally runs when the edit is over, whatever became of it; nil for none.
	finally func()

	// abandoned is closed when nobody waits for the edit any more: then it is
	// not begun, nor begun anew. nil: it is carried out in any case.
	abandoned <-chan struct{}

	err     error
	settled bool          // what apply returned depends on nothing unwritten
	done    chan struct{} // closed when err is final
}

// desk is where edits wait. Those of one repository are carried out by its
// leader, a goroutine that ends when none is left: all that came while it wrote
// the index go into the next writing together.
type desk struct {
	mu      sync.Mutex           // guards waiting
	waiting map[oci.Repo][]*edit // a key exists while the repository has a leader
}

// maxConflicts is how often one writing is repeated when somebody else, another
// process or replica, changed the index first.
const maxConflicts = 20

// edit carries out an edit and returns its error. When ctx ends earlier it
// returns ctx's error, and the edit may still happen, if the index is written at
// that moment: but not where others have changed that meanwhile. So what a client
// gave up on never undoes what it has done since by another process.
func (r *Registry) edit(ctx context.Context, repo oci.Repo, e *edit) error {
	e.done, e.abandoned = make(chan struct{}), ctx.Done()
	r.desk.mu.Lock()
	waiting, led := r.desk.waiting[repo]
	if !led {
		repo = oci.Repo(strings.Clone(string(repo)))
	}
	r.desk.waiting[repo] = append(waiting, e)
	r.desk.mu.Unlock()
	if !led {
		go r.lead(context.WithoutCancel(ctx), repo)
	}
	select {
	case <-e.done:
		if errors.Is(e.err, errAbandoned) {
			return context.Cause(ctx)
		}
		return e.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lead carries out a repository's edits until none is waiting.
func (r *Registry) lead(ctx context.Context, repo oci.Repo) {
	for {
		// Let the pushes that are ready come along: fewer writings for all.
		runtime.Gosched()
		r.desk.mu.Lock()
		batch := r.desk.waiting[repo]
		if len(batch) == 0 {
			delete(r.desk.waiting, repo)
			r.desk.mu.Unlock()
			return
		}
		r.desk.waiting[repo] = nil
		r.desk.mu.Unlock()

		r.commit(ctx, repo, batch)
		for _, e := range batch {
			if e.finally != nil {
				e.finally()
			}
			close(e.done)
		}
	}
}

// commit writes the index with all edits of a batch in it, and gives each its
// error.
func (r *Registry) commit(ctx context.Context, repo oci.Repo, batch []*edit) {
	defer func() {
		if v := recover(); v != nil {
			r.opts.Log.Error("an edit of an index panicked", "repository", repo, "panic", v, "stack", string(debug.Stack()))
			fail(batch, fmt.Errorf("repository %s: an edit of the index panicked: %v", repo, v))
		}
	}()
	shared := r.isShared(repo)
	for conflicts := 0; ; conflicts++ {
		now, err := r.tryCommit(ctx, repo, batch, shared && conflicts == 0)
		if errors.Is(err, errStale) {
			for _, e := range batch {
				e.settled = false
			}
			now, err = r.tryCommit(ctx, repo, batch, false)
		}
		switch {
		case err == nil:
			r.finish(ctx, batch, now)
			return
		case !errors.Is(err, oci.ErrConflict):
			fail(batch, err)
			return
		case conflicts == maxConflicts:
			fail(batch, oci.Errorf(oci.ErrUnavailable, "repository %s: its index was changed %d times by others while it was to be written; try again", repo, conflicts))
			return
		case conflicts > 2: // others are busy there
			time.Sleep(time.Duration(conflicts) * time.Millisecond)
		}
	}
}

// errStale: an edit is not to be decided by an index that may be out of date.
var errStale = errors.New("the index may have changed")

// tryCommit loads the index, applies the edits and writes it, if there is a
// change. It returns the index that has them. With guess the index that is in
// memory is taken for the present one, which saves a request: if it is written,
// it was. Where not all edits are, it fails with errStale.
func (r *Registry) tryCommit(ctx context.Context, repo oci.Repo, batch []*edit, guess bool) (*oci.Index, error) {
	s, err := r.base(ctx, repo, guess)
	if err != nil {
		return nil, err
	}
	next := s.index
	for _, e := range batch {
		next = e.applyTo(ctx, s, next)
		if guess && (e.err != nil || next == s.index) {
			return nil, errStale
		}
	}
	if next == s.index {
		return next, nil
	}
	if r.isShared(repo) {
		next = stamped(next)
	}
	buffer, _ := r.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer r.buffers.Put(buffer) // no store keeps it
	*buffer = next.AppendJSON(slices.Grow((*buffer)[:0], next.JSONSize()))
	s.replacing.Store(true)
	defer s.replacing.Store(false)
	version, err := r.store.SwapIndex(ctx, repo, s.version, *buffer)
	if err != nil {
		return nil, err
	}
	r.keep(repo, s, next, version)
	return next, nil
}

// stamped is an index whose bytes no other write has made. One whose annotations
// make no sense stays as it is.
func stamped(index *oci.Index) *oci.Index {
	if unlike, err := index.Stamp(newEpoch()); err == nil {
		return unlike
	}
	return index
}

// base is the index that edits are applied to.
func (r *Registry) base(ctx context.Context, repo oci.Repo, guess bool) (*state, error) {
	if guess {
		s, ok := r.states.get(repo)
		if !ok {
			return nil, errStale
		}
		return s, nil
	}
	return r.loadOrNew(ctx, repo)
}

// applyTo applies the edit to next, which holds the edits before it, and
// returns what it made of it. written is the index as it is stored.
func (e *edit) applyTo(ctx context.Context, written *state, next *oci.Index) *oci.Index {
	if e.at != "" && (e.at != written.version || next != written.index) {
		e.err, e.settled = oci.ErrConflict, true
		return next
	}
	if e.isAbandoned() {
		e.err, e.settled = errAbandoned, true
		return next
	}
	made, err := e.apply(next)
	if err == nil && e.before != nil {
		err = e.before(ctx)
	}
	if e.err = err; err != nil {
		made = next
	}
	e.settled = made == written.index && (err != nil || e.after == nil)
	return made
}

// errAbandoned: the caller's context has ended.
var errAbandoned = errors.New("nobody waits for it")

// isAbandoned tells whether nobody waits for the edit.
func (e *edit) isAbandoned() bool {
	select {
	case <-e.abandoned:
		return true
	default:
		return false
	}
}

// finish ends edits whose index is written.
func (r *Registry) finish(ctx context.Context, batch []*edit, now *oci.Index) {
	for _, e := range batch {
		if e.err == nil && e.after != nil {
			e.err = e.after(ctx, now)
		}
	}
}

// fail gives an error to all edits that depended on an index not written.
func fail(batch []*edit, err error) {
	for _, e := range batch {
		if !e.settled {
			e.err = err
		}
	}
}
