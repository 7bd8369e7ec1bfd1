package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// processes are registries that share a store in memory, and a clock that
// stands.
type processes struct {
	t      *testing.T
	clock  *ticker
	memory *ocitest.Memory
}

func sharing(t *testing.T) *processes {
	p := &processes{t: t, clock: &ticker{now: time.Unix(1e9, 0)}, memory: ocitest.NewMemory()}
	p.memory.Now = p.clock.Now
	return p
}

// open is another process.
func (p *processes) open() *fixture { return p.openSparse(registry.SparseNone) }

func (p *processes) openSparse(sparse registry.Sparse) *fixture {
	replica := ocitest.NewReplica(p.memory)
	f := &fixture{t: p.t, store: replica.Faults, log: &logged{}}
	f.Registry = registry.New(replica, registry.Options{
		Remember: delay, Now: p.clock.Now, Sparse: sparse, Log: slog.New(slog.NewTextHandler(f.log, nil)),
	})
	return f
}

// garbage is a blob that nothing needs, of a repository with an image, and of
// which nobody was told lately.
func (p *processes) garbage(content string) oci.Digest {
	p.t.Helper()
	f := p.open()
	f.push(f.image("another"), "another")
	d := f.blob(content)
	p.clock.advance(3 * delay)
	return d
}

func (p *processes) index() *oci.Index {
	p.t.Helper()
	data, _, err := p.memory.LoadIndex(p.t.Context(), repo, "")
	if err != nil {
		p.t.Fatal(err)
	}
	x, err := oci.ParseIndex(data)
	if err != nil {
		p.t.Fatal(err)
	}
	return x
}

func (p *processes) there(d oci.Digest) bool {
	_, err := p.memory.StatBlob(p.t.Context(), repo, d)
	return err == nil
}

func tryPush(f *fixture, content []byte, tag oci.Tag) error {
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag(tag), Content: content})
	return err
}

// needs is an image manifest of blobs that are there already.
func needs(blobs ...oci.Digest) []byte {
	var list []string
	for _, d := range blobs {
		list = append(list, descriptor("application/x", d, 7))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, oci.MediaTypeManifest, list[0], strings.Join(list[1:], ",")))
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it takes too long")
		}
	}
}

func TestRemovalIsAnnounced(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a := p.open()
	before := p.index().Epoch()
	a.store.Next("DeleteBlobsBefore", func() {
		same(t, "announced", p.index().IsCondemned(d), true)
		same(t, "announced by itself", len(p.index().Condemned()), 1)
		same(t, "there", p.there(d), true)
	})
	same(t, "collected", a.collect(d), true)
	same(t, "there", p.there(d), false)
	same(t, "announced", len(p.index().Condemned()), 0)
	same(t, "another epoch", p.index().Epoch() != before, true)
	same(t, "swaps", a.store.Calls("SwapIndex"), 2)
	same(t, "deletions", a.store.Calls("DeleteBlobsBefore"), 1)
	same(t, "deletions without an end", a.store.Calls("DeleteBlob"), 0)
	same(t, "image", p.index().Tagged("another") != nil, true)
}

// TestToldStays: what a process told its own clients of is not collected by it.
func TestToldStays(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a := p.open()
	_, err := a.StatBlob(a.ctx(), repo, d)
	a.ok(err)
	same(t, "collected", a.collect(d), false)
	same(t, "swaps", a.store.Calls("SwapIndex"), 0)
}

// TestPushBesideCollection: whatever step of a push another process collects
// in, no manifest is acknowledged whose blob is gone.
func TestPushBesideCollection(t *testing.T) {
	for _, step := range []string{"LoadIndex", "StatBlob", "PutBlob", "SwapIndex"} {
		t.Run(step, func(t *testing.T) {
			p := sharing(t)
			d := p.garbage("content")
			a, b := p.open(), p.open()
			content := needs(d)
			b.store.Next(step, func() { same(t, "collected", a.collect(d), true) })
			b.is(tryPush(b, content, "x"), oci.ErrManifestBlobUnknown)
			same(t, "tagged", p.index().Tagged("x") == nil, true)
			b.blob("content")
			b.ok(tryPush(b, content, "x"))
			same(t, "there", p.there(d), true)
		})
	}
}

// TestCollectsByVersion: nothing is deleted by what an index was that another
// process has changed since.
func TestCollectsByVersion(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a, b := p.open(), p.open()
	seen := a.version(repo)
	b.ok(tryPush(b, needs(d), "x"))
	gone, err := a.CollectBlobs(a.ctx(), repo, seen, []oci.Digest{d})
	a.is(err, oci.ErrConflict)
	same(t, "collected", len(gone), 0)
	same(t, "announced", len(p.index().Condemned()), 0)
	same(t, "there", p.there(d), true)
}

// TestPushWaits: a push that needs what is being deleted waits for the end of
// that; another one does not.
func TestPushWaits(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a, b := p.open(), p.open()
	other := b.image("other")
	pushed := make(chan error, 1)
	a.store.Next("DeleteBlobsBefore", func() {
		go func() { pushed <- tryPush(b, needs(d), "x") }()
		eventually(t, func() bool { return b.store.Calls("LoadIndex") >= 3 })
		b.ok(tryPush(b, other, "other"))
		select {
		case err := <-pushed:
			t.Errorf("the push has not waited: %v", err)
			pushed <- err
		default:
		}
	})
	same(t, "collected", a.collect(d), true)
	b.is(<-pushed, oci.ErrManifestBlobUnknown)
	same(t, "other", p.index().Tagged("other") != nil, true)
}

// TestDeadProcess: one that dies while it deletes keeps a push waiting for a
// while, and what it has sent comes too late then.
func TestDeadProcess(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a, b := p.open(), p.open()
	dead, arrive := errors.New("dead"), make(chan struct{})
	a.store.Delay(func() { <-arrive })
	a.store.Once("DeleteBlobsBefore", ocitest.Later, dead)
	ctx, kill := context.WithCancel(t.Context())
	died := make(chan error, 1)
	go func() {
		_, err := a.CollectBlobs(ctx, repo, a.version(repo), []oci.Digest{d})
		died <- err
	}()
	eventually(t, func() bool { return a.store.Calls("DeleteBlobsBefore") == 1 })
	kill()
	a.is(<-died, dead)
	if !p.index().IsCondemned(d) {
		t.Fatal("not announced")
	}
	pushed := make(chan error, 1)
	go func() { pushed <- tryPush(b, needs(d), "x") }()
	eventually(t, func() bool { return b.store.Calls("LoadIndex") >= 4 })
	p.clock.advance(7 * time.Second)
	b.ok(<-pushed)
	close(arrive)
	a.store.Wait()
	same(t, "there", p.there(d), true)
	same(t, "announced", len(p.index().Condemned()), 0)
}

// TestPushOfKnown: a push asks for nothing that its process has seen since it
// knows the index, until something is deleted.
func TestPushOfKnown(t *testing.T) {
	p := sharing(t)
	p.garbage("content")
	a, b := p.open(), p.open()
	_, err := b.Manifest(b.ctx(), repo, byTag("another"))
	b.ok(err)
	one, two, three := b.blob("one"), b.blob("two"), oci.SHA256.FromString("three")
	a.ok(a.store.PutBlob(a.ctx(), "other", three, []byte("three")))
	b.ok(b.Mount(b.ctx(), repo, "other", three))
	requests := func() (n []int) {
		for _, method := range []string{"LoadIndex", "StatBlob", "PutBlob", "SwapIndex"} {
			n = append(n, b.store.Calls(method))
		}
		return n
	}
	cost := func(want ...int) func() {
		before := requests()
		return func() {
			t.Helper()
			after := requests()
			for i := range after {
				after[i] -= before[i]
			}
			if !slices.Equal(after, want) {
				t.Fatalf("requests %v, want %v", after, want)
			}
		}
	}
	check := cost(1, 0, 1, 1)
	b.ok(tryPush(b, needs(one, two, three), "x"))
	check()
	check = cost(1, 0, 1, 1)
	b.ok(tryPush(b, needs(two, one), "y"))
	check()

	a.ok(a.DeleteBlob(a.ctx(), repo, one))
	same(t, "there", p.there(one), false)
	check = cost(1, 2, 0, 0)
	b.is(tryPush(b, needs(one, two), "z"), oci.ErrManifestBlobUnknown)
	check()
	check = cost(1, 0, 1, 1)
	b.ok(tryPush(b, needs(two), "z")) // it was just seen again
	check()

	p.clock.advance(time.Hour)
	check = cost(1, 1, 1, 1)
	b.ok(tryPush(b, needs(two), "again"))
	check()
}

// TestDeleteWhilePushed: one process deletes what another pushes at the same
// moment; what stands in the index is whole.
func TestDeleteWhilePushed(t *testing.T) {
	for _, step := range []string{"LoadIndex", "PutBlob", "SwapIndex"} {
		t.Run(step, func(t *testing.T) {
			p := sharing(t)
			a, b := p.open(), p.open()
			content := a.image("x")
			d := a.push(content, "x")
			b.store.Next(step, func() { a.ok(a.DeleteManifest(a.ctx(), repo, byDigest(d))) })
			b.ok(tryPush(b, content, "y"))
			for _, f := range []*fixture{a, b} {
				f.pulls(byTag("y"), content)
				f.gone(byTag("x"))
			}
			same(t, "there", p.there(d), true)
		})
	}
}

// TestPushOfDeleted: who pushes a manifest whose content another process is
// about to delete waits for that, and stores it after it.
func TestPushOfDeleted(t *testing.T) {
	p := sharing(t)
	a, b := p.open(), p.open()
	content := a.image("x")
	d := a.push(content, "x")
	pushed := make(chan error, 1)
	a.store.Next("DeleteBlobsBefore", func() {
		loads := b.store.Calls("LoadIndex")
		go func() { pushed <- tryPush(b, content, "y") }()
		eventually(t, func() bool { return len(pushed) > 0 || b.store.Calls("LoadIndex") >= loads+3 })
	})
	a.ok(a.DeleteManifest(a.ctx(), repo, byDigest(d)))
	b.ok(<-pushed)
	same(t, "there", p.there(d), true)
	p.open().pulls(byTag("y"), content)
}

func TestDeleteShared(t *testing.T) {
	p := sharing(t)
	a, b := p.open(), p.open()
	content := a.image("x")
	d := a.push(content, "x")
	b.pulls(byDigest(d), content)
	b.is(b.DeleteBlob(b.ctx(), repo, d), oci.ErrUnsupported)
	b.ok(b.DeleteManifest(b.ctx(), repo, byDigest(d)))
	a.gone(byDigest(d))
	b.gone(byTag("x"))
	b.is(b.DeleteManifest(b.ctx(), repo, byDigest(d)), oci.ErrManifestUnknown)
	same(t, "there", p.there(d), false)
	config := oci.SHA256.FromString("config of x")
	a.ok(a.DeleteBlob(a.ctx(), repo, config))
	a.is(a.DeleteBlob(a.ctx(), repo, config), oci.ErrBlobUnknown)
	same(t, "there", p.there(config), false)
	same(t, "announced", len(p.index().Condemned()), 0)
}

// TestDeleteForeignChild: a manifest that only an image index names, in a
// repository that another tool made, is deleted too.
func TestDeleteForeignChild(t *testing.T) {
	p := sharing(t)
	a := p.open()
	child := a.image("child")
	list := index([][]byte{child})
	a.foreign(layout(list), list, child)
	a.pulls(byDigest(digest(child)), child)
	b := p.open()
	b.ok(b.DeleteManifest(b.ctx(), repo, byDigest(digest(child))))
	a.gone(byDigest(digest(child)))
}

// TestChildCollectedWhilePushed: an index is not acknowledged with a manifest
// that another process has just removed.
func TestChildCollectedWhilePushed(t *testing.T) {
	p := sharing(t)
	a, b := p.open(), p.open()
	child := a.image("child")
	d := a.push(child, "")
	p.clock.advance(3 * delay)
	b.store.Next("SwapIndex", func() {
		gone, err := a.CollectManifests(a.ctx(), repo, a.version(repo), []oci.Digest{d})
		a.ok(err)
		same(t, "removed", len(gone), 1)
	})
	b.is(tryPush(b, index([][]byte{child}), "list"), oci.ErrManifestBlobUnknown)
}

// TestLostAnswers: whichever swap of a removal is carried out without that its
// process learns of it, nothing breaks, and a later round brings it to its end.
func TestLostAnswers(t *testing.T) {
	for name, lost := range map[string]int{"announcement": 1, "withdrawal": 2} {
		t.Run(name, func(t *testing.T) {
			p := sharing(t)
			d := p.garbage("content")
			a, b := p.open(), p.open()
			swaps, fault := 0, errors.New("the connection was cut")
			a.store.Decide(func(method string) (ocitest.When, error) {
				if method == "SwapIndex" {
					if swaps++; swaps == lost {
						return ocitest.After, fault
					}
				}
				return ocitest.Never, nil
			})
			_, err := a.CollectBlobs(a.ctx(), repo, a.version(repo), []oci.Digest{d})
			a.is(err, fault)
			same(t, "there", p.there(d), lost == 1)
			if lost == 1 {
				same(t, "announced", p.index().IsCondemned(d), true)
				done := make(chan error, 1)
				go func() { done <- b.FinishRemovals(b.ctx(), repo) }()
				eventually(t, func() bool { return b.store.Calls("LoadIndex") >= 3 })
				p.clock.advance(time.Minute)
				b.ok(<-done)
				same(t, "collected", b.collect(d), true)
			}
			same(t, "announced", len(p.index().Condemned()), 0)
			b.is(tryPush(b, needs(d), "x"), oci.ErrManifestBlobUnknown)
		})
	}
}

// TestLostDeletion: when it is not known whether a deletion was carried out, the
// announcement stands until it cannot be any more.
func TestLostDeletion(t *testing.T) {
	p := sharing(t)
	d := p.garbage("content")
	a, b := p.open(), p.open()
	fault := errors.New("the connection was cut")
	a.store.Once("DeleteBlobsBefore", ocitest.Before, fault)
	done := make(chan error, 1)
	go func() {
		_, err := a.CollectBlobs(a.ctx(), repo, a.version(repo), []oci.Digest{d})
		done <- err
	}()
	eventually(t, func() bool { return a.store.Calls("DeleteBlobsBefore") == 1 })
	same(t, "announced", p.index().IsCondemned(d), true)
	p.clock.advance(7 * time.Second)
	a.is(<-done, fault)
	same(t, "announced", len(p.index().Condemned()), 0)
	b.ok(tryPush(b, needs(d), "x"))
	same(t, "there", p.there(d), true)
}

// TestNobodyReadsBack: what one process acknowledged another one tells at once,
// also while it writes an index of its own.
func TestNobodyReadsBack(t *testing.T) {
	p := sharing(t)
	a, b := p.open(), p.open()
	one, two := a.image("one"), a.image("two")
	a.push(one, "x")
	b.pulls(byTag("x"), one)
	b.store.Next("SwapIndex", func() {
		a.push(two, "x")
		b.pulls(byTag("x"), two)
	})
	b.push(one, "y")
	b.pulls(byTag("x"), two)
	a.pulls(byTag("y"), one)
}

// TestEmptyStays: the index of a shared repository stays, since it tells the
// epoch.
func TestEmptyStays(t *testing.T) {
	p := sharing(t)
	a := p.open()
	d := a.push(a.image("x"), "x")
	a.ok(a.DeleteManifest(a.ctx(), repo, byDigest(d)))
	a.is(a.CollectRepo(a.ctx(), repo, a.version(repo)), oci.ErrConflict)
	if p.index().Epoch() == "" || strings.Contains(a.log.String(), "level=ERROR") {
		t.Fatalf("index %s, log %s", p.index().JSON(), a.log)
	}
}

// TestSparseWhereOthersCollect: an index may lack manifests, but none that lost its
// entry a moment ago, and nothing else.
func TestSparseWhereOthersCollect(t *testing.T) {
	p := sharing(t)
	none, index, all := p.open(), p.openSparse(registry.SparseIndex), p.openSparse(registry.SparseAll)
	m := index.image("m")
	index.blob(string(m)) // without an entry, as gc leaves it for a while
	for name, c := range map[string]struct {
		child string
		want  [3]bool // that none, index, and all accept an index of it
	}{
		"never there":         {descriptor(oci.MediaTypeManifest, oci.SHA256.FromString("never"), 5), [3]bool{false, true, true}},
		"lost its entry":      {descriptor(oci.MediaTypeManifest, oci.SHA256.FromBytes(m), len(m)), [3]bool{false, false, false}},
		"no manifest, absent": {descriptor("application/x", oci.SHA256.FromString("never"), 5), [3]bool{false, false, true}},
		"no manifest":         {descriptor("application/x", oci.SHA256.FromBytes(m), len(m)), [3]bool{true, true, true}},
	} {
		for i, f := range []*fixture{none, index, all} {
			err := tryPush(f, []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, oci.MediaTypeIndex, c.child)), "v1")
			if err != nil && !errors.Is(err, oci.ErrManifestBlobUnknown) {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("%s, accepted by %d", name, i), err == nil, c.want[i])
		}
	}
}
