package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// lease is what one process at a time holds: an object that its holder writes
// anew now and then. Nobody compares clocks of different machines: who wants a
// lease that another one holds watches on its own clock that it was not renewed
// for the lease's life.
//
// It guards no data by itself: a holder that was asleep may do its next step
// late, and the steps have to bear it.
type lease struct {
	store *Store
	key   string
	life  time.Duration

	mu    sync.Mutex // guards all below
	etag  string     // of the object, when it was seen last
	since time.Time  // when that was seen first
	mine  bool
	turn  uint64 // counts how often it was taken
}

// leaseNote is what the object says.
type leaseNote struct {
	Owner string `json:"owner,omitempty"` // for people
	Nonce string `json:"nonce"`           // makes each state another
	Free  bool   `json:"free,omitempty"`
}

// newLease is a lease by its name, which nobody holds for longer than life
// after its holder has died.
func (s *Store) newLease(name string, life time.Duration) *lease {
	return &lease{store: s, key: s.keys.lease(name), life: life}
}

// margin is the part of a lease's life that its holder does not count on.
const margin = 3

// held tells whether this process holds the lease, with a third of its life to
// go: others do not take it before all of that has passed.
func (l *lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mine && l.age() < l.life-l.life/margin
}

// age is how long ago the lease was written or seen first.
func (l *lease) age() time.Duration { return l.store.opts.Now().Sub(l.since) }

// try takes the lease, or renews it when a third of its life is over, and tells
// whether this process holds it. Who does not get it calls it again later: only
// so it is seen that the holder is gone.
func (l *lease) try(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mine && l.age() < l.life/margin {
		return true, nil
	}
	return l.take(ctx)
}

// take takes the lease, or renews it; l.mu is held.
func (l *lease) take(ctx context.Context) (bool, error) {
	begun := l.store.opts.Now()
	if !l.mine {
		free, err := l.watch(ctx, begun)
		if err != nil || !free {
			return false, err
		}
		l.turn++
	}
	etag, err := l.write(ctx, leaseNote{Owner: l.store.opts.Owner, Nonce: rand.Text()})
	switch {
	case errors.Is(err, errStale):
		// Somebody else has it, since nobody knows when.
		l.etag, l.since, l.mine = "", begun, false
		return false, nil
	case err != nil:
		return false, err // who had it has it for as long as before
	}
	l.etag, l.since, l.mine = etag, begun, true // from before the write: others count from after it
	return true, nil
}

// watch looks whether the lease can be taken: it is not there, or was given
// back, or has not been renewed for its life.
func (l *lease) watch(ctx context.Context, now time.Time) (free bool, err error) {
	content, etag, err := l.store.read(ctx, l.key)
	if err != nil {
		return false, asStored(err)
	}
	if etag != l.etag || etag == "" {
		l.etag, l.since = etag, now
	}
	var note leaseNote
	// What makes no sense is a note of nobody's, and is waited for all the same.
	_ = json.Unmarshal(content, &note)
	return etag == "" || note.Free || now.Sub(l.since) >= l.life, nil
}

// write replaces the object that was seen last.
func (l *lease) write(ctx context.Context, note leaseNote) (string, error) {
	content, err := json.Marshal(note)
	if err != nil {
		return "", err
	}
	if l.store.honest() {
		return l.store.swapBytes(ctx, l.key, l.etag, content)
	}
	if _, etag, err := l.store.read(ctx, l.key); err != nil || etag != l.etag {
		return "", errors.Join(errStale, asStored(err))
	}
	if _, err := l.store.client.PutObject(ctx, l.key, s3lite.Bytes(content), s3lite.PutOptions{}); err != nil {
		return "", asStored(err)
	}
	if !l.mine {
		// Whoever wrote at the same time is done with it after a moment, and one
		// of all is left.
		if err := l.store.opts.Sleep(ctx, settle); err != nil {
			return "", err
		}
	}
	now, etag, err := l.store.read(ctx, l.key)
	if err == nil && string(now) != string(content) {
		err = errStale
	}
	return etag, err
}

// settle is how long a process waits without conditions of writes before it
// looks whether it is the one that got a lease.
const settle = 2 * time.Second

// release gives the lease back, so that another process need not wait.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mine {
		return nil
	}
	l.mine = false
	_, err := l.write(ctx, leaseNote{Nonce: rand.Text(), Free: true})
	if errors.Is(err, errStale) {
		return nil
	}
	return err
}

var _ oci.Leaser = (*Store)(nil)

// Lease is oci.Leaser.Lease.
func (s *Store) Lease(ctx context.Context, name string, term time.Duration) (oci.Lease, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	s.leasing.Lock()
	l := s.leases[name]
	if l == nil || l.life != term {
		l = s.newLease(name, term)
		s.leases[name] = l
	}
	s.leasing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mine && l.age() < l.life {
		return nil, oci.ErrConflict // this process has it
	}
	l.mine = false
	got, err := l.take(ctx)
	if err == nil && !got {
		err = oci.ErrConflict
	}
	if err != nil {
		return nil, err
	}
	return &taken{l, l.turn}, nil
}

// taken is a lease from when it was taken until it is lost.
type taken struct {
	lease *lease
	turn  uint64
}

// Renew implements oci.Lease.
func (t *taken) Renew(ctx context.Context) error {
	t.lease.mu.Lock()
	defer t.lease.mu.Unlock()
	if t.lost() {
		return oci.ErrConflict
	}
	got, err := t.lease.take(ctx)
	if err == nil && !got {
		return oci.ErrConflict
	}
	return err
}

// Lost implements oci.Lease.
func (t *taken) Lost() bool {
	t.lease.mu.Lock()
	defer t.lease.mu.Unlock()
	return t.lost()
}

func (t *taken) lost() bool {
	l := t.lease
	if l.turn == t.turn && l.age() >= l.life {
		l.mine = false // and stays so
	}
	return l.turn != t.turn || !l.mine
}

// Release implements oci.Lease.
func (t *taken) Release(ctx context.Context) error {
	if t.Lost() {
		return nil
	}
	return t.lease.release(ctx)
}
