package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// TestSlowEnd: an announcement of which nothing certain is known stands until the
// end that the store has told, and what may come after that, also where the store
// took long to tell it.
func TestSlowEnd(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a := p.open()
	a.store.Next("PrepareDeletion", func() { p.clock.advance(4 * time.Second) })
	a.store.Once("DeleteBlobsBefore", ocitest.Before, errors.New("the connection was cut"))
	var counted time.Time
	withdrawn := make(chan time.Duration, 1)
	a.store.Next("SwapIndex", func() {
		counted = p.clock.Now()
		a.store.Next("SwapIndex", func() { withdrawn <- p.clock.Now().Sub(counted) })
	})
	go func() { _, _ = a.CollectBlobs(a.ctx(), repo, a.version(repo), []oci.Digest{d}) }()
	var after time.Duration
	eventually(t, func() bool {
		select {
		case after = <-withdrawn:
			return true
		default:
			if a.store.Calls("DeleteBlobsBefore") > 0 {
				p.clock.advance(100 * time.Millisecond)
			}
			return false
		}
	})
	if after < 6*time.Second {
		t.Fatalf("withdrawn after %v", after)
	}
}

// TestSleepingMachine: a process whose clock stands while it is paused between
// the announcement and the deletion deletes nothing any more when it goes on.
func TestSleepingMachine(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	replica, asleep := ocitest.NewReplica(p.memory), &ticker{now: time.Unix(1e9, 0)}
	a := registry.New(replica, registry.Options{Remember: delay, Now: asleep.Now, Sparse: registry.SparseNone})
	asleep.advance(3 * delay)
	b := p.open()
	_, version, err := p.memory.LoadIndex(t.Context(), repo, "")
	b.ok(err)
	replica.Next("DeleteBlobsBefore", func() {
		pushed := make(chan error, 1)
		go func() { pushed <- tryPush(b, needs(d), "x") }()
		eventually(t, func() bool { return b.store.Calls("LoadIndex") >= 4 })
		p.clock.advance(time.Hour)
		b.ok(<-pushed)
	})
	done := make(chan error, 1)
	go func() {
		_, err := a.CollectBlobs(t.Context(), repo, version, []oci.Digest{d})
		done <- err
	}()
	eventually(t, func() bool { return replica.Calls("DeleteBlobsBefore") == 1 && p.index().Tagged("x") != nil })
	asleep.advance(time.Hour)
	b.is(<-done, ocitest.ErrTooLate)
	same(t, "there", p.there(d), true)
	same(t, "announced", len(p.index().Condemned()), 0)
}

// TestNoIndexComesBack: a write that is repeated late, on the condition that the
// index is the one that it was to replace, changes nothing, also where tags are
// what they were then and a version is a hash of the bytes.
func TestNoIndexComesBack(t *testing.T) {
	p := sharing(t)
	p.memory.ByContent = true
	a := p.open()
	one, two := a.image("one"), a.image("two")
	a.push(two, "")
	a.push(one, "x")
	arrive := make(chan struct{})
	a.store.Delay(func() { <-arrive })
	a.store.Decide(func(method string) (ocitest.When, error) {
		if method == "SwapIndex" {
			return ocitest.Twice, nil
		}
		return ocitest.Never, nil
	})
	a.push(two, "x")
	a.store.Decide(nil)
	a.push(one, "x")
	close(arrive)
	a.store.Wait()
	a.pulls(byTag("x"), one)
	p.open().pulls(byTag("x"), one)
}

// TestAbandonedPush: a push whose client has gone is not begun anew when another
// process has changed the index meanwhile: the client may have pushed there.
func TestAbandonedPush(t *testing.T) {
	p := sharing(t)
	a, b := p.open(), p.open()
	one, two := a.image("one"), a.image("two")
	a.push(one, "")
	ctx, leave := context.WithCancel(t.Context())
	written := make(chan struct{})
	b.store.Next("SwapIndex", func() {
		leave()
		a.push(two, "x")
		b.store.Next("LoadIndex", func() { close(written) })
	})
	_, err := b.PushManifest(ctx, repo, registry.ManifestPush{Ref: byTag("x"), Content: one})
	b.is(err, context.Canceled)
	<-written
	b.push(two, "y") // takes its turn after it
	a.pulls(byTag("x"), two)
	b.pulls(byTag("x"), two)
}

// TestStatAsks: a process that has seen a blob, and knows that it is there as far
// as pushes are concerned, asks the store all the same when a client does: the
// client may send nothing on that word.
func TestStatAsks(t *testing.T) {
	p := sharing(t)
	p.garbage("content")
	a, b := p.open(), p.open()
	b.pulls(byTag("another"), b.image("another"))
	d := b.blob("more")
	for range 3 {
		before := b.store.Calls("StatBlob")
		_, err := b.StatBlob(b.ctx(), repo, d)
		b.ok(err)
		same(t, "requests", b.store.Calls("StatBlob")-before, 1)
	}
	a.ok(a.DeleteBlob(a.ctx(), repo, d))
	_, err := b.StatBlob(b.ctx(), repo, d)
	b.is(err, oci.ErrBlobUnknown)
	b.is(b.Mount(b.ctx(), repo, repo, d), oci.ErrBlobUnknown)
	b.is(b.Mount(b.ctx(), repo, "", d), oci.ErrBlobUnknown)
	same(t, "there", p.there(d), false)
}
