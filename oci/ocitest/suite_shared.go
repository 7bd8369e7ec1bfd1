package ocitest

import (
	"testing"
	"time"

	"berth/oci"
)

// shared tests a store that is an oci.Shared.
func (s suite) shared(t *testing.T) {
	if store, ok := s.open(t).(oci.Shared); !ok {
		t.Skip("one process has the store")
	} else if _, shared := store.Shared("a"); !shared {
		t.Skip("one process has the store")
	}
	s.run(t, map[string]func(*testing.T, *helper){
		"deletes what is there and what is not": sharedDeletes,
		"deletes nothing after the end":         sharedTooLate,
		"tells the time of what it stores":      sharedClock,
	})
}

func sharedDeletes(t *testing.T, h *helper) {
	one, two, other := h.put("a", "one"), h.put("a", "two"), h.put("a", "other")
	h.put("b", "one")
	missing := oci.SHA512.FromString("missing")
	store := h.Store.(oci.Shared)
	end := h.deletionEnd("a", time.Minute)
	for range 2 {
		h.ok(store.DeleteBlobsBefore(h.ctx(), "a", []oci.Digest{one, missing, two}, end))
		h.lacks("a", one)
		h.lacks("a", two)
		h.holds("a", other, "other")
		h.holds("b", one, "one")
	}
	h.ok(store.DeleteBlobsBefore(h.ctx(), "nowhere", []oci.Digest{one}, h.deletionEnd("nowhere", time.Minute)))
	h.ok(store.DeleteBlobsBefore(h.ctx(), "a", nil, end))
	h.put("a", "one")
	h.holds("a", one, "one")
}

// deletionEnd is one by the store's clock.
func (h *helper) deletionEnd(repo oci.Repo, within time.Duration) time.Time {
	h.t.Helper()
	end, err := h.Store.(oci.Shared).PrepareDeletion(h.ctx(), repo, nil, within)
	h.ok(err)
	return end
}

func sharedTooLate(t *testing.T, h *helper) {
	d := h.put("a", "content")
	store := h.Store.(oci.Shared)
	late, _ := store.Shared("a")
	if err := store.DeleteBlobsBefore(h.ctx(), "a", []oci.Digest{d}, h.deletionEnd("a", -late-time.Second)); err == nil {
		t.Fatal("a deletion that comes too late succeeds")
	}
	h.holds("a", d, "content")
}

func sharedClock(t *testing.T, h *helper) {
	clock, ok := h.Store.(oci.Clock)
	if !ok {
		t.Skip("the process's clock is held to be the store's")
	}
	before, err := clock.StoreTime(h.ctx())
	h.ok(err)
	info, err := h.StatBlob(h.ctx(), "a", h.put("a", "content"))
	h.ok(err)
	after, err := clock.StoreTime(h.ctx())
	h.ok(err)
	// Times may be in whole seconds.
	if info.Modified.Before(before.Add(-time.Second)) || info.Modified.After(after.Add(time.Second)) {
		t.Fatalf("stored at %v, between %v and %v", info.Modified, before, after)
	}
}

// LeaseWorld is a place of leases, empty at first, and the processes that share
// it.
type LeaseWorld struct {
	// Open is another process.
	Open func() oci.Leaser
	// Pass lets time pass for all of them.
	Pass func(time.Duration)
	// Term is that of the leases here: the shortest that is told apart from
	// nothing.
	Term time.Duration
}

// Leases tests what every oci.Leaser must do; world makes a new LeaseWorld.
func Leases(t *testing.T, world func(*testing.T) LeaseWorld) {
	for name, test := range map[string]func(*testing.T, *leaseHelper){
		"one at a time":                        leaseOne,
		"released":                             leaseReleased,
		"taken over from one that is silent":   leaseSilent,
		"not taken over while it is renewed":   leaseRenewed,
		"not taken over without having looked": leaseUnseen,
		"names":                                leaseNames,
		"one of many":                          leaseRace,
	} {
		t.Run(name, func(t *testing.T) { test(t, &leaseHelper{t, world(t)}) })
	}
}

type leaseHelper struct {
	t *testing.T
	LeaseWorld
}

// has takes a lease.
func (h *leaseHelper) has(p oci.Leaser, name string) oci.Lease {
	h.t.Helper()
	l, err := p.Lease(h.t.Context(), name, h.Term)
	if err != nil {
		h.t.Fatal(err)
	}
	h.lost(l, false)
	return l
}

// refused fails the test if a lease can be taken.
func (h *leaseHelper) refused(p oci.Leaser, name string) {
	h.t.Helper()
	l, err := p.Lease(h.t.Context(), name, h.Term)
	(&helper{t: h.t}).is(err, oci.ErrConflict)
	if l != nil {
		h.t.Fatal("there is a lease beside the error")
	}
}

func (h *leaseHelper) lost(l oci.Lease, want bool) {
	h.t.Helper()
	same(h.t, "lost", l.Lost(), want)
}

func (h *leaseHelper) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func leaseOne(t *testing.T, h *leaseHelper) {
	a, b := h.Open(), h.Open()
	l := h.has(a, "gc")
	h.refused(b, "gc")
	h.refused(a, "gc")
	h.ok(l.Renew(t.Context()))
	h.refused(b, "gc")
	h.lost(l, false)
}

func leaseReleased(t *testing.T, h *leaseHelper) {
	a, b := h.Open(), h.Open()
	l := h.has(a, "gc")
	h.refused(b, "gc")
	h.ok(l.Release(t.Context()))
	h.lost(l, true)
	other := h.has(b, "gc")
	h.ok(l.Release(t.Context())) // nothing of the other's
	(&helper{t: t}).is(l.Renew(t.Context()), oci.ErrConflict)
	h.refused(a, "gc")
	h.lost(other, false)
	h.ok(other.Renew(t.Context()))
}

func leaseSilent(t *testing.T, h *leaseHelper) {
	a, b, c := h.Open(), h.Open(), h.Open()
	l := h.has(a, "gc")
	h.refused(b, "gc")
	h.Pass(2 * h.Term)
	h.lost(l, true)
	h.refused(c, "gc") // it looks for the first time
	other := h.has(b, "gc")
	h.refused(c, "gc")
	(&helper{t: t}).is(l.Renew(t.Context()), oci.ErrConflict)
	h.ok(l.Release(t.Context()))
	h.refused(a, "gc")
	h.lost(l, true)
	h.lost(other, false)
}

func leaseRenewed(t *testing.T, h *leaseHelper) {
	a, b := h.Open(), h.Open()
	l := h.has(a, "gc")
	for range 4 {
		h.refused(b, "gc")
		h.Pass(h.Term / 2)
		h.ok(l.Renew(t.Context()))
	}
	h.refused(b, "gc")
	h.lost(l, false)
}

func leaseUnseen(t *testing.T, h *leaseHelper) {
	l := h.has(h.Open(), "gc")
	h.Pass(4 * h.Term)
	h.lost(l, true)
	b := h.Open()
	h.refused(b, "gc")
	h.Pass(h.Term / 2)
	h.refused(b, "gc")
	h.Pass(h.Term)
	h.has(b, "gc")
}

func leaseNames(t *testing.T, h *leaseHelper) {
	a := h.Open()
	h.has(a, "gc")
	h.has(a, "writer")
	h.refused(h.Open(), "writer")
}

func leaseRace(t *testing.T, h *leaseHelper) {
	const processes = 8
	won := make(chan bool, processes)
	for range processes {
		p := h.Open()
		go func() {
			_, err := p.Lease(t.Context(), "gc", h.Term)
			won <- err == nil
		}()
	}
	winners := 0
	for range processes {
		if <-won {
			winners++
		}
	}
	same(t, "winners", winners, 1)
}
