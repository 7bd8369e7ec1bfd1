package registry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// held makes the store's next SwapIndex wait. It returns a channel that is
// closed when it does, and what lets it go on.
func (f *fixture) held() (waiting chan struct{}, resume func()) {
	waiting, gate := make(chan struct{}), make(chan struct{})
	f.store.Next("SwapIndex", func() {
		close(waiting)
		<-gate
	})
	return waiting, func() { close(gate) }
}

// Pushes that come while the index is written go into the next writing
// together.
func TestPushesShareWritings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		var bodies [][]byte
		for i := range 51 {
			bodies = append(bodies, f.image(fmt.Sprint(i)))
		}
		waiting, resume := f.held()
		var wg sync.WaitGroup
		wg.Go(func() { f.check(f.pushErr(bodies[0], "t0", nil)) })
		<-waiting
		for i := 1; i < len(bodies); i++ {
			wg.Go(func() { f.check(f.pushErr(bodies[i], oci.Tag(fmt.Sprint("t", i)), nil)) })
		}
		synctest.Wait() // all 50 wait for the first
		resume()
		wg.Wait()
		same(t, "writings", f.store.Calls("SwapIndex"), 2)
		for i, body := range bodies {
			f.pulls(byTag(oci.Tag(fmt.Sprint("t", i))), body)
		}
	})
}

// One edit's failure is its own; a failed writing fails what it held, and
// nothing after it.
func TestFailuresAreSeparate(t *testing.T) {
	for _, when := range []ocitest.When{ocitest.Before, ocitest.After} {
		synctest.Test(t, func(t *testing.T) {
			f := setUp(t, registry.Options{})
			first, a, b := f.image("first"), f.image("a"), f.image("b")
			waiting, resume := f.held()
			var wg sync.WaitGroup
			wg.Go(func() { f.check(f.pushErr(first, "first", nil)) })
			<-waiting
			var errA, errB, errTag error
			wg.Go(func() { errA = f.pushErr(a, "a", nil) })
			wg.Go(func() { errB = f.pushErr(b, "b", []string{"sha256:0"}) })
			wg.Go(func() { errTag = f.DeleteManifest(f.ctx(), repo, byTag("none")) })
			synctest.Wait()
			resume()
			wg.Wait()
			f.ok(errA)
			f.is(errB, oci.ErrPrecondition)
			// Deleting fails at once, for the repository is not there yet.
			if !errors.Is(errTag, oci.ErrManifestUnknown) && !errors.Is(errTag, oci.ErrNameUnknown) {
				t.Fatal(errTag)
			}
			f.store.Once("SwapIndex", when, oci.ErrStorageFull)
			f.is(f.pushErr(b, "b", nil), oci.ErrStorageFull)
			if when == ocitest.After { // it happened all the same
				f.pulls(byTag("b"), b)
			} else {
				f.gone(byTag("b"))
			}
			f.ok(f.pushErr(b, "b", nil))
			f.pulls(byTag("a"), a)
			f.pulls(byTag("b"), b)
			f.pulls(byTag("first"), first)
		})
	}
}

// check is ok for other goroutines than the test's.
func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) pushErr(content []byte, tag oci.Tag, ifMatch []string) error {
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag(tag), Content: content, IfMatch: ifMatch})
	return err
}

// Somebody else, another process or replica, changes the index at the same time.
func TestConflicts(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.push(f.image("m"), "v1")
	other := registry.New(f.store, registry.Options{})
	left := 5
	var interfere func()
	interfere = func() {
		if left--; left >= 0 {
			_, err := other.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag(oci.Tag(fmt.Sprint("other", left))), Content: f.image("n")})
			f.check(err)
			f.store.Next("SwapIndex", interfere)
		}
	}
	f.store.Next("SwapIndex", interfere)
	f.push(f.image("m"), "v2")
	same(t, "tags", f.tags(), "[other0 other1 other2 other3 other4 v1 v2]")
}

func TestConflictsWithoutEnd(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.store.Decide(func(method string) (ocitest.When, error) {
		if method == "SwapIndex" {
			return ocitest.Before, oci.ErrConflict
		}
		return ocitest.Never, nil
	})
	synctest.Test(t, func(t *testing.T) {
		f.is(f.pushErr(f.image("m"), "v1", nil), oci.ErrUnavailable)
	})
	if n := f.store.Calls("SwapIndex"); n > 50 {
		t.Errorf("%d attempts", n)
	}
}

// A client that goes away does not take others' edits with it.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		a, b := f.image("a"), f.image("b")
		waiting, resume := f.held()
		ctx, cancel := context.WithCancel(f.ctx())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := f.PushManifest(ctx, repo, registry.ManifestPush{Ref: byTag("a"), Content: a}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		<-waiting
		wg.Go(func() { f.check(f.pushErr(b, "b", nil)) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		resume()
		wg.Wait()
		f.pulls(byTag("a"), a) // it was on its way
		f.pulls(byTag("b"), b)
	})
}

func TestPanicInTheStore(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	f.store.Next("SwapIndex", func() { panic("at the disco") })
	if err := f.pushErr(m, "v1", nil); err == nil || !strings.Contains(err.Error(), "disco") {
		t.Fatal(err)
	}
	f.push(m, "v1")
	f.pulls(byTag("v1"), m)
}

func TestNoGoroutineIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when one is
		f := setUp(t, registry.Options{})
		for i := range 50 {
			body := f.image("m")
			_, err := f.PushManifest(f.ctx(), oci.Repo(fmt.Sprint("r", i)), registry.ManifestPush{Ref: byTag("x"), Content: body})
			f.is(err, oci.ErrManifestBlobUnknown)
			f.push(body, oci.Tag(fmt.Sprint("t", i)))
		}
		f.pulls(byTag("t49"), f.image("m"))
	})
}

// A push that has stored its manifest, and waits for its turn, while the same
// manifest is deleted.
func TestPushWhileDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		m := f.image("m")
		d := f.push(m, "v1")
		waiting, resume := f.held()
		var wg sync.WaitGroup
		wg.Go(func() { f.check(f.DeleteManifest(f.ctx(), repo, byDigest(d))) })
		<-waiting
		wg.Go(func() { f.check(f.pushErr(m, "v2", nil)) })
		synctest.Wait() // the push waits; its content is there, and will be removed
		resume()
		wg.Wait()
		f.gone(byTag("v1"))
		f.pulls(byTag("v2"), m)
		_, err := f.store.StatBlob(f.ctx(), repo, d)
		f.ok(err)
	})
}

// Blobs deleted while a manifest of the same content is pushed.
func TestPushWhileDeletedAsBlob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		other, m := f.image("other"), f.image("m")
		d := f.blob(string(m))
		waiting, resume := f.held()
		var wg sync.WaitGroup
		wg.Go(func() { f.check(f.pushErr(other, "other", nil)) })
		<-waiting
		wg.Go(func() { f.check(f.DeleteBlob(f.ctx(), repo, d)) })
		synctest.Wait()
		wg.Go(func() { f.check(f.pushErr(m, "v2", nil)) })
		synctest.Wait()
		resume()
		wg.Wait()
		f.Registry = registry.New(f.store, registry.Options{}) // nothing in memory
		f.pulls(byTag("v2"), m)
	})
}

// Whatever happens at once, and whatever fails in between: an entry never
// points at content that is not there, and what was answered last holds.
func TestPushesAndDeletesAtRandom(t *testing.T) {
	for seed := range uint64(6) {
		f := setUp(t, registry.Options{CacheBytes: 64 << 10})
		var bodies [][]byte
		for i := range 4 {
			bodies = append(bodies, f.image(fmt.Sprint(i)))
		}
		if seed >= 3 {
			rnd := rand.New(rand.NewPCG(seed, 2))
			f.store.Decide(func(method string) (ocitest.When, error) {
				if rnd.IntN(8) > 0 || method == "LoadIndex" {
					return ocitest.Never, nil
				}
				return []ocitest.When{ocitest.Before, ocitest.After}[rnd.IntN(2)], errors.New("random fault")
			})
		}
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(worker)+10))
				for range 100 {
					f.random(rnd, bodies)
				}
			})
		}
		wg.Wait()
		f.store.Decide(nil)
		f.consistent()
	}
}

func (f *fixture) random(rnd *rand.Rand, bodies [][]byte) {
	body := bodies[rnd.IntN(len(bodies))]
	tag := oci.Tag(fmt.Sprint("t", rnd.IntN(3)))
	switch rnd.IntN(6) {
	case 0, 1:
		_ = f.pushErr(body, tag, nil)
	case 2:
		_ = f.DeleteManifest(f.ctx(), repo, byDigest(digest(body)))
	case 3:
		_ = f.DeleteManifest(f.ctx(), repo, byTag(tag))
	case 4:
		_ = f.DeleteBlob(f.ctx(), repo, digest(body))
	case 5:
		if m, err := f.Manifest(f.ctx(), repo, byTag(tag)); err == nil && digest(m.Content) != m.Digest {
			f.t.Errorf("%s has other content", m.Digest)
		}
	}
	runtime.Gosched()
}

// consistent checks that every entry of the index has its content.
func (f *fixture) consistent() {
	f.t.Helper()
	data, _, err := f.store.LoadIndex(f.ctx(), repo, "")
	f.ok(err)
	x, err := oci.ParseIndex(data)
	f.ok(err)
	for e := range x.Entries {
		if _, err := f.store.StatBlob(f.ctx(), repo, e.Digest); err != nil {
			f.t.Fatalf("%s: %v", e.Raw, err)
		}
	}
}

// Pushes of one tag at once: one of them is last, and nothing is lost.
func TestPushesOfOneTag(t *testing.T) {
	f := setUp(t, registry.Options{})
	var bodies [][]byte
	for i := range 16 {
		bodies = append(bodies, f.image(fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for _, body := range bodies {
		wg.Go(func() { f.check(f.pushErr(body, "v1", nil)) })
	}
	wg.Wait()
	same(t, "tags", f.tags(), "[v1]")
	for _, body := range bodies {
		f.pulls(byDigest(digest(body)), body)
	}
}

// Of many that create a tag with If-None-Match: *, one succeeds, though none saw
// it when it came.
func TestOnlyOneCreates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		waiting, resume := f.held()
		var wg sync.WaitGroup
		results := make([]error, 12)
		for i := range results {
			body := f.image(fmt.Sprint(i))
			wg.Go(func() {
				_, results[i] = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("v1"), Content: body, IfNoneMatch: []string{"*"}})
			})
		}
		<-waiting
		synctest.Wait()
		resume()
		wg.Wait()
		won := 0
		for i, err := range results {
			if err == nil {
				won++
				f.pulls(byTag("v1"), f.image(fmt.Sprint(i)))
			} else {
				f.is(err, oci.ErrPrecondition)
			}
		}
		same(t, "winners", won, 1)
	})
}

// What changes nothing succeeds though the writing that its neighbours need
// fails; what depends on them fails with them.
func TestWritingFailsOnlyWhatItHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, registry.Options{})
		there, first, a := f.image("there"), f.image("first"), f.image("a")
		f.push(there, "there")
		waiting, resume := f.held()
		var wg sync.WaitGroup
		wg.Go(func() { f.check(f.pushErr(first, "first", nil)) })
		<-waiting
		f.store.Once("SwapIndex", ocitest.Before, oci.ErrStorageFull)
		var same1, changed, same2 error
		wg.Go(func() { same1 = f.pushErr(there, "there", nil) })
		synctest.Wait()
		wg.Go(func() { changed = f.pushErr(a, "a", nil) })
		synctest.Wait()
		wg.Go(func() { same2 = f.pushErr(a, "a", nil) })
		synctest.Wait()
		resume()
		wg.Wait()
		f.ok(same1)
		f.is(changed, oci.ErrStorageFull)
		f.is(same2, oci.ErrStorageFull)
		same(t, "tags", f.tags(), "[first there]")
	})
}

// A manifest is stored, or not; the client cannot tell.
func TestPutBlobFails(t *testing.T) {
	for _, when := range []ocitest.When{ocitest.Before, ocitest.After} {
		f := setUp(t, registry.Options{})
		m := f.image("m")
		f.store.Once("PutBlob", when, oci.ErrStorageFull)
		f.is(f.pushErr(m, "v1", nil), oci.ErrStorageFull)
		f.gone(byTag("v1"))
		f.gone(byDigest(digest(m)))
		f.ok(f.pushErr(m, "v1", nil))
		f.pulls(byTag("v1"), m)
	}
}

// When the content cannot be removed the manifest is gone all the same, and the
// client learns of the failure.
func TestDeleteBlobFails(t *testing.T) {
	for _, when := range []ocitest.When{ocitest.Before, ocitest.After} {
		f := setUp(t, registry.Options{})
		m := f.image("m")
		d := f.push(m, "v1")
		f.store.Once("DeleteBlob", when, oci.ErrUnavailable)
		f.is(f.DeleteManifest(f.ctx(), repo, byDigest(d)), oci.ErrUnavailable)
		f.gone(byDigest(d))
		f.gone(byTag("v1"))
		f.push(m, "v1")
		f.pulls(byTag("v1"), m)
	}
}
