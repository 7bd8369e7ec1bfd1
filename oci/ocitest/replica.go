package ocitest

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/oci"
)

// Replica is a Memory as one of several processes sees it that share it: with
// faults of its own, and with its own memory of leases.
type Replica struct {
	*Faults

	memory *Memory

	mu   sync.Mutex // guards seen
	seen map[string]sight
}

var (
	_ oci.Store       = (*Replica)(nil)
	_ oci.Shared      = (*Replica)(nil)
	_ oci.Clock       = (*Replica)(nil)
	_ oci.Leaser      = (*Replica)(nil)
	_ oci.Quarantiner = (*Replica)(nil)
)

// NewReplica makes another process's view of a store.
func NewReplica(m *Memory) *Replica {
	return &Replica{Faults: NewFaults(m), memory: m, seen: map[string]sight{}}
}

// replicaLate is how late a deletion may take effect.
const replicaLate = time.Second

// ErrTooLate is how a deletion fails that comes after its end.
var ErrTooLate = errors.New("the request is too old")

// Shared implements oci.Shared.
func (r *Replica) Shared(oci.Repo) (late time.Duration, shared bool) { return replicaLate, true }

// PrepareDeletion implements oci.Shared.
func (r *Replica) PrepareDeletion(_ context.Context, _ oci.Repo, _ []oci.Digest, within time.Duration) (end time.Time, err error) {
	err = r.call("PrepareDeletion", func() error {
		end = r.memory.Now().Add(within)
		return nil
	})
	return end, err
}

// DeleteBlobsBefore implements oci.Shared, as a server does that refuses
// requests by their date.
func (r *Replica) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	return r.send("DeleteBlobsBefore", func() error {
		r.memory.mu.Lock()
		defer r.memory.mu.Unlock()
		if r.memory.Now().After(end.Add(replicaLate)) {
			return ErrTooLate
		}
		for _, d := range blobs {
			if err := r.memory.delete(repo, d); err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
				return err
			}
		}
		return nil
	})
}

// StoreTime implements oci.Clock.
func (r *Replica) StoreTime(context.Context) (now time.Time, err error) {
	err = r.call("StoreTime", func() error {
		now = r.memory.Now()
		return nil
	})
	return now, err
}

// QuarantineBlob implements oci.Quarantiner.
func (r *Replica) QuarantineBlob(ctx context.Context, repo oci.Repo, d oci.Digest, reason string) (q oci.Quarantined, err error) {
	err = r.call("QuarantineBlob", func() error {
		q, err = r.memory.QuarantineBlob(ctx, repo, d, reason)
		return err
	})
	return q, err
}

// QuarantineReason implements oci.Quarantiner.
func (r *Replica) QuarantineReason(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	return r.memory.QuarantineReason(ctx, repo, d)
}

// Has tells whether this process has a lease that nobody has taken over.
func (r *Replica) Has(name string) bool {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	is := r.memory.leases[name]
	return is != nil && is.holder != nil && is.holder.replica == r
}

// leased is a lease as it lies in the store.
type leased struct {
	holder  *replicaLease
	renewal int // another number with each renewal, and each holder
	term    time.Duration
}

// sight is when somebody saw the renewal of a lease first.
type sight struct {
	renewal int
	at      time.Time
}

// Lease implements oci.Leaser.
func (r *Replica) Lease(ctx context.Context, name string, term time.Duration) (l oci.Lease, err error) {
	err = r.call("Lease", func() error {
		l, err = r.take(name, term)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (r *Replica) take(name string, term time.Duration) (oci.Lease, error) {
	now := r.memory.Now()
	mine := &replicaLease{replica: r, name: name, term: term, renewed: now}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.memory.leases[name]
	if was == nil {
		was = &leased{}
		r.memory.leases[name] = was
	}
	if was.holder != nil {
		seen, known := r.seen[name]
		if !known || seen.renewal != was.renewal {
			r.seen[name] = sight{was.renewal, now}
			return nil, oci.ErrConflict
		}
		if now.Sub(seen.at) <= was.term {
			return nil, oci.ErrConflict
		}
	}
	was.holder, was.term = mine, term
	was.renewal++
	return mine, nil
}

// replicaLease is a lease as its holder knows it.
type replicaLease struct {
	replica *Replica
	name    string
	term    time.Duration

	mu      sync.Mutex // guards everything below; taken after Memory's
	renewed time.Time
	lost    bool
}

// Renew implements oci.Lease.
func (l *replicaLease) Renew(context.Context) error {
	now := l.replica.memory.Now()
	return l.replica.call("Renew", func() error {
		return l.change(func(is *leased) {
			is.renewal++
			l.renewed = now
		})
	})
}

// Release implements oci.Lease.
func (l *replicaLease) Release(context.Context) error {
	return l.replica.call("Release", func() error {
		err := l.change(func(is *leased) { is.holder = nil })
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost = true
		if errors.Is(err, oci.ErrConflict) {
			return nil
		}
		return err
	})
}

// change changes the lease, if it is still the holder's.
func (l *replicaLease) change(do func(*leased)) error {
	m := l.replica.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	is := m.leases[l.name]
	if l.over() || is == nil || is.holder != l {
		l.lost = true
		return oci.ErrConflict
	}
	do(is)
	return nil
}

// Lost implements oci.Lease.
func (l *replicaLease) Lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over()
}

// over tells whether the lease is lost; l.mu is held.
func (l *replicaLease) over() bool {
	l.lost = l.lost || l.replica.memory.Now().Sub(l.renewed) >= l.term
	return l.lost
}
