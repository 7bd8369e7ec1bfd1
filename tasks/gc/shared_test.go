package gc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/gc"
)

// replicas are worlds over one store.
type replicas struct {
	t      *testing.T
	clock  *clock
	memory *ocitest.Memory
}

func sharing(t *testing.T) *replicas {
	r := &replicas{t: t, clock: &clock{now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, memory: ocitest.NewMemory()}
	r.memory.Now = r.clock.Now
	return r
}

// open is another process. wrap takes capabilities from its store; nil: none.
func (r *replicas) open(now func() time.Time, wrap func(*ocitest.Replica) oci.Store) *world {
	replica := ocitest.NewReplica(r.memory)
	var store oci.Store = replica
	if wrap != nil {
		store = wrap(replica)
	}
	w := &world{t: r.t, clock: r.clock, store: replica.Faults}
	w.Registry = registry.New(store, registry.Options{Remember: delay, Now: now})
	w.opts = gc.Options{Registry: w.Registry, Store: store, Delay: delay, Now: now}
	w.gc = gc.New(w.opts)
	return w
}

// run does a round and returns what went.
func (w *world) run() string {
	w.t.Helper()
	_, went := w.round(false)
	return went
}

// timeless is a store that does not tell the time, and knows no leases.
type timeless struct{ ports }

type ports interface {
	oci.Store
	oci.Shared
}

func TestSharedOneCollects(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	a.push("v1", a.image("m"))
	a.blob("garbage")
	r.clock.advance(3 * delay)
	a.store.Next("DeleteBlobsBefore", func() {
		report, went := b.round(false)
		same(t, "what another collects meanwhile", went, "")
		same(t, "elsewhere", fmt.Sprint(report.Elsewhere, report), "true another process collects the garbage of this store")
		_, dry := b.round(true)
		same(t, "what it would collect", dry, "blob garbage")
	})
	same(t, "collected", a.run(), "blob garbage")
	report, went := b.round(false)
	same(t, "afterwards", fmt.Sprintf("%v %q", report.Elsewhere, went), `false ""`)
	a.whole(manifest("m"))
}

// TestSharedOrphans: a manifest that lost its tag at another process, however
// old, is kept for the delay, and its blobs with it.
func TestSharedOrphans(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	old := a.image("old")
	a.push("v1", old)
	r.clock.advance(3 * delay)
	same(t, "collected", b.run(), "")
	a.push("v1", a.image("new"))
	same(t, "collected at once", b.run(), "")
	a.whole(old)
	r.clock.advance(delay - time.Second)
	same(t, "collected before the delay", b.run(), "")
	r.clock.advance(2 * time.Second)
	same(t, "collected", b.run(), "blob config old, blob layer old, manifest "+short(digest(old)))
	a.push("v2", a.image("new")) // it is known there
	r.clock.advance(3 * delay)
	same(t, "collected with the delay", b.run(), "blob "+short(digest(old)))
	a.ok(a.DeleteManifest(a.ctx(), repo, oci.Reference{Tag: "v2"}))
	a.ok(a.DeleteManifest(a.ctx(), repo, oci.Reference{Tag: "v1"}))
	same(t, "collected at once", b.run(), "")
	r.clock.advance(delay)
	a.push("v3", a.image("new"))
	same(t, "collected though it has a tag again", b.run(), "")
	a.whole(a.image("new"))
}

// TestSharedBatches: many blobs cost few announcements.
func TestSharedBatches(t *testing.T) {
	r := sharing(t)
	a := r.open(r.clock.Now, nil)
	a.push("v1", a.image("m"))
	for i := range 400 {
		a.blob(fmt.Sprint("garbage ", i))
	}
	r.clock.advance(3 * delay)
	swaps := a.store.Calls("SwapIndex")
	same(t, "collected", fmt.Sprint(strings.Count(a.run(), "garbage")), "400")
	same(t, "swaps", fmt.Sprint(a.store.Calls("SwapIndex")-swaps), "6")
	same(t, "deletions", fmt.Sprint(a.store.Calls("DeleteBlobsBefore")), "3")
	swaps = a.store.Calls("SwapIndex")
	same(t, "collected again", a.run(), "")
	same(t, "swaps for nothing", fmt.Sprint(a.store.Calls("SwapIndex")-swaps), "0")
	a.whole(manifest("m"))
}

// TestSharedClock: ages are told by the store's clock, whatever the process's
// own shows; where the store cannot tell, they have to be greater.
func TestSharedClock(t *testing.T) {
	for _, skew := range []time.Duration{-24 * time.Hour, 0, 24 * time.Hour} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			r := sharing(t)
			a := r.open(func() time.Time { return r.clock.Now().Add(skew) }, nil)
			a.push("v1", a.image("m"))
			r.clock.advance(3 * delay)
			a.ok(r.memory.PutBlob(a.ctx(), repo, digest([]byte("x")), []byte("x")))
			r.clock.advance(delay - time.Second)
			same(t, "collected before the delay", a.run(), "")
			r.clock.advance(time.Second)
			same(t, "collected", a.run(), "blob x")
		})
	}
	r := sharing(t)
	a := r.open(r.clock.Now, func(p *ocitest.Replica) oci.Store { return timeless{p} })
	a.push("v1", a.image("m"))
	r.clock.advance(3 * delay)
	a.ok(r.memory.PutBlob(a.ctx(), repo, digest([]byte("x")), []byte("x")))
	r.clock.advance(delay + 15*time.Minute - time.Second)
	same(t, "collected before the margin", a.run(), "")
	r.clock.advance(time.Second)
	same(t, "collected", a.run(), "blob x")
}

// TestSharedAfterDeath: what a process announced and did not delete is in
// nobody's way after the next round, and goes with it.
func TestSharedAfterDeath(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	a.push("v1", a.image("m"))
	a.blob("garbage")
	r.clock.advance(3 * delay)
	dead := errors.New("dead")
	a.store.Decide(func(method string) (ocitest.When, error) {
		if method == "SwapIndex" {
			return ocitest.After, dead
		}
		return ocitest.Never, nil
	})
	same(t, "collected", a.run(), "")
	data, _, err := r.memory.LoadIndex(a.ctx(), repo, "")
	a.ok(err)
	if !strings.Contains(string(data), oci.AnnotationCondemned) {
		t.Fatalf("nothing is announced: %s", data)
	}
	var went []string
	done := make(chan error)
	loads := b.store.Calls("LoadIndex")
	go func() {
		_, err := b.gc.Run(b.ctx(), nil, gc.Request{Each: func(i gc.Item) error {
			went = append(went, i.Name)
			return nil
		}})
		done <- err
	}()
	for end := time.Now().Add(time.Minute); b.store.Calls("LoadIndex") < loads+3 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.clock.advance(time.Minute)
	b.ok(<-done)
	same(t, "collected", fmt.Sprint(went), fmt.Sprint([]oci.Digest{digest([]byte("garbage"))}))
	data, _, err = r.memory.LoadIndex(b.ctx(), repo, "")
	b.ok(err)
	if strings.Contains(string(data), oci.AnnotationCondemned) {
		t.Fatalf("it is announced still: %s", data)
	}
}

// TestSharedUnsure: deletions of which it is not known what became of them are
// tried again in the same round, and those of other repositories are not given
// up for them; but a store that stays away ends the round.
func TestSharedUnsure(t *testing.T) {
	for failures, want := range map[int]string{1: "blob garbage", 3: "blob garbage", 4: ""} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			r := sharing(t)
			a := r.open(r.clock.Now, nil)
			a.push("v1", a.image("m"))
			a.blob("garbage")
			r.clock.advance(3 * delay)
			left := failures
			a.store.Decide(func(method string) (ocitest.When, error) {
				if method != "DeleteBlobsBefore" || left == 0 {
					return ocitest.Never, nil
				}
				left--
				return ocitest.Before, oci.ErrUnavailable
			})
			ends := 0 // what may be under way is waited for
			a.store.Around(func(method string) {
				if method != "DeleteBlobsBefore" {
					return
				}
				if ends++; ends%2 == 0 {
					r.clock.advance(time.Minute)
				}
			})
			var went []string
			_, err := a.gc.Run(a.ctx(), nil, gc.Request{Each: func(i gc.Item) error {
				went = append(went, string(i.Kind)+" garbage")
				return nil
			}})
			same(t, "collected", strings.Join(went, ", "), want)
			if errors.Is(err, oci.ErrUnavailable) != (want == "") {
				t.Errorf("the round's error is %v", err)
			}
			a.whole(manifest("m"))
		})
	}
}

// TestSharedManifestComesAgain: a manifest that is deleted while a collector
// looks into it, and pushed again before anything goes, keeps what it names.
func TestSharedManifestComesAgain(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	image := a.image("m")
	a.push("v1", image)
	r.clock.advance(3 * delay)
	b.store.Next("OpenBlob", func() {
		a.ok(a.DeleteManifest(a.ctx(), repo, oci.Reference{Digest: digest(image)}))
	})
	b.store.Next("SwapIndex", func() { a.push("v1", image) })
	_, err := b.gc.Run(b.ctx(), nil, gc.Request{})
	b.ok(err)
	a.whole(image)
}

// TestSharedChildGoes: an index of a manifest that a client was told of by another
// process, as the last thing before it was collected, is not accepted without it,
// also where indexes may name what is not there.
func TestSharedChildGoes(t *testing.T) {
	for name, tell := range map[string]func(*world, []byte){
		"it is pushed again": func(a *world, m []byte) { a.push("", m) },
		"it is asked for": func(a *world, m []byte) {
			_, err := a.Manifest(a.ctx(), repo, oci.Reference{Digest: digest(m)})
			a.ok(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := sharing(t)
			a, b, c := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
			child := a.image("child")
			a.push("", child)
			r.clock.advance(3 * delay)
			same(t, "seen", b.run(), "")
			r.clock.advance(2 * delay)
			b.store.Next("SwapIndex", func() { tell(a, child) })
			same(t, "collected", b.run(), "blob config child, blob layer child, manifest "+short(digest(child)))
			r.clock.advance(delay - time.Second)
			for _, p := range []*world{b, c} { // and what others see that collect later
				same(t, "collected before the delay", p.run(), "")
			}
			whole := index(child)
			for _, p := range []*world{a, c} {
				if err := p.tryPush("v1", whole); !errors.Is(err, oci.ErrManifestBlobUnknown) {
					t.Fatalf("the push without it: %v", err)
				}
			}
			if err := c.tryPush("", child); !errors.Is(err, oci.ErrManifestBlobUnknown) {
				t.Fatalf("the push of the child without its blobs: %v", err)
			}
			c.push("", c.image("child"))
			a.push("v1", whole)
			r.clock.advance(3 * delay)
			same(t, "collected", b.run()+c.run(), "")
			a.whole(whole)
			a.whole(child)
		})
	}
}

// TestSharedChildGone: when the delay has passed an index may lack the manifest,
// as it may one that never was there.
func TestSharedChildGone(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	child := a.image("child")
	a.push("", child)
	for range 4 {
		r.clock.advance(2 * delay)
		b.run()
	}
	same(t, "there", fmt.Sprint(r.memory.StatBlob(a.ctx(), repo, digest(child))), fmt.Sprint(oci.BlobInfo{}, oci.ErrBlobUnknown))
	a.push("v1", index(child, manifest("never")))
}

// TestSharedStaleList: a collector that has listed the blobs before another one
// took a manifest from the index leaves its content alone.
func TestSharedStaleList(t *testing.T) {
	r := sharing(t)
	a := r.open(r.clock.Now, nil)
	b := r.open(r.clock.Now, func(p *ocitest.Replica) oci.Store { return timeless{p} }) // without a lease
	c := r.open(r.clock.Now, func(p *ocitest.Replica) oci.Store { return timeless{p} })
	child := a.image("child")
	a.push("", child)
	r.clock.advance(3 * delay)
	same(t, "seen", b.run()+c.run(), "")
	r.clock.advance(2 * delay)
	c.store.Next("OpenBlob", func() { // as it is about to take the manifest from the index, too
		same(t, "collected", b.run(), "blob config child, blob layer child, manifest "+short(digest(child)))
	})
	_, err := c.gc.Run(c.ctx(), nil, gc.Request{})
	c.ok(err)
	if err := a.tryPush("v1", index(child)); !errors.Is(err, oci.ErrManifestBlobUnknown) {
		t.Fatalf("the push without it: %v", err)
	}
}

// TestSharedFull: where the store has no space left, manifests go all the same.
func TestSharedFull(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	a.push("", a.image("m"))
	r.clock.advance(3 * delay)
	same(t, "seen", b.run(), "")
	r.clock.advance(2 * delay)
	b.store.Decide(func(method string) (ocitest.When, error) {
		if method == "PutBlob" {
			return ocitest.Before, oci.ErrStorageFull
		}
		return ocitest.Never, nil
	})
	same(t, "collected", b.run(), "blob config m, blob layer m, manifest "+short(digest(manifest("m"))))
	same(t, "collected next", b.run(), "blob "+short(digest(manifest("m"))))
}

// TestSharedBusy: what goes from the index goes from one that changes all the time,
// too, however long the preparations take.
func TestSharedBusy(t *testing.T) {
	r := sharing(t)
	a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
	var want []string
	for i := range 10 {
		child := a.image(fmt.Sprint("m", i))
		a.push("", child)
		want = append(want, "manifest "+short(digest(child)))
	}
	moved := [][]byte{a.image("one"), a.image("two")}
	a.push("one", moved[0])
	a.push("two", moved[1])
	r.clock.advance(3 * delay)
	same(t, "seen", b.run(), "")
	r.clock.advance(2 * delay)
	changes := 0
	b.store.Around(func(method string) {
		if method == "PutBlob" {
			changes++
			a.push("v1", moved[changes%2])
			r.clock.advance(2 * time.Minute) // and once more after the call
		}
	})
	went := b.run()
	for _, one := range want {
		if !strings.Contains(went, one) {
			t.Errorf("%s is left; collected are %s", one, went)
		}
	}
	if changes > 100 {
		t.Errorf("the content of 10 manifests was stored %d times", changes/2)
	}
}

// TestSharedSession: with the shortest delay, too, no session is ended to which
// another process may be writing.
func TestSharedSession(t *testing.T) {
	for _, offline := range []bool{false, true} {
		r := sharing(t)
		a, b := r.open(r.clock.Now, nil), r.open(r.clock.Now, nil)
		b.opts.Delay, b.opts.Offline = 0, offline
		b.gc = gc.New(b.opts)
		_, err := a.StartUpload(a.ctx(), repo, oci.SHA256)
		a.ok(err)
		r.clock.advance(2 * time.Minute)
		same(t, "ended while it may be used", b.run(), "")
		r.clock.advance(3 * time.Minute)
		same(t, "ended", b.run(), "upload "+string(repo))
	}
}
