package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"berth/s3lite"
)

// Lease is what one process at a time holds: an object that its holder writes
// anew now and then. Nobody compares clocks of different machines: who wants a
// lease that another one holds watches on its own clock that it was not renewed
// for the lease's life.
//
// It guards no data by itself: a holder that was asleep may do its next step
// late. Held is to be asked before each, and the steps have to bear it.
type Lease struct {
	store *Store
	key   string
	life  time.Duration

	mu    sync.Mutex // guards all below
	etag  string     // of the object, when it was seen last
	since time.Time  // when that was seen first
	mine  bool
}

// leaseNote is what the object says.
type leaseNote struct {
	Owner string `json:"owner,omitempty"` // for people
	Nonce string `json:"nonce"`           // makes each state another
	Free  bool   `json:"free,omitempty"`
}

// NewLease is a lease by its name, which nobody holds for longer than life
// after its holder has died.
func (s *Store) NewLease(name string, life time.Duration) *Lease {
	return &Lease{store: s, key: s.keys.lease(name), life: life}
}

// Held tells whether this process holds the lease, with a third of its life to
// go: others do not take it before all of that has passed.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held()
}

func (l *Lease) held() bool { return l.mine && l.store.opts.Now().Sub(l.since) < l.life*2/3 }

// Try takes the lease, or renews it when a third of its life is over, and tells
// whether this process holds it. Who does not get it calls it again later: only
// so it is seen that the holder is gone.
func (l *Lease) Try(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held() && l.store.opts.Now().Sub(l.since) < l.life/3 {
		return true, nil
	}
	begun := l.store.opts.Now()
	if !l.mine {
		free, err := l.watch(ctx, begun)
		if err != nil || !free {
			return false, err
		}
	}
	etag, err := l.write(ctx, leaseNote{Owner: l.store.opts.Owner, Nonce: rand.Text()})
	l.mine = err == nil
	if errors.Is(err, errStale) {
		l.etag, l.since = "", begun // somebody else has it, since nobody knows when
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.etag, l.since = etag, begun // from before the write: others count from after it
	return true, nil
}

// watch looks whether the lease can be taken: it is not there, or was given
// back, or has not been renewed for its life.
func (l *Lease) watch(ctx context.Context, now time.Time) (free bool, err error) {
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
func (l *Lease) write(ctx context.Context, note leaseNote) (string, error) {
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

// Release gives the lease back, so that another process need not wait.
func (l *Lease) Release(ctx context.Context) error {
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
