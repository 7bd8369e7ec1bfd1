package budget_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/budget"
	"berth/oci/ocitest"
)

func all(oci.Repo) bool { return true }

func limit(n int64) budget.Limit {
	return budget.Limit{
		Name: "storage.maxBytes", Covers: all, Bytes: func() int64 { return n }, High: 90, Low: 80, Whole: true,
	}
}

// TestSuite: the decorator is a store like any other.
func TestSuite(t *testing.T) {
	ocitest.Suite(t, func(t *testing.T) oci.Store {
		l := budget.NewLedger(budget.Options{}, limit(1<<30), budget.Limit{
			Name: "some", Covers: func(r oci.Repo) bool { return strings.HasPrefix(string(r), "a") },
			Bytes: func() int64 { return 1 << 30 }, High: 90, Low: 80,
		})
		l.Begin().End()
		return budget.Wrap(ocitest.NewMemory(), l)
	}, nil)
}

// world is a store in memory under a limit.
type world struct {
	oci.Store
	t      *testing.T
	inner  *ocitest.Memory
	ledger *budget.Ledger
}

func newWorld(t *testing.T, limits ...budget.Limit) *world {
	w := &world{t: t, inner: ocitest.NewMemory(), ledger: budget.NewLedger(budget.Options{}, limits...)}
	w.Store = budget.Wrap(w.inner, w.ledger)
	w.count()
	return w
}

// count goes through the store, as the job does.
func (w *world) count() []budget.State {
	w.t.Helper()
	c := w.ledger.Begin()
	w.add(c)
	return c.End()
}

func (w *world) add(c *budget.Count) {
	w.t.Helper()
	ctx := w.t.Context()
	w.ok(w.inner.WalkRepos(ctx, "", func(r oci.Repo) error {
		return w.inner.WalkBlobs(ctx, r, func(d oci.Digest, info oci.BlobInfo) error {
			c.AddBlob(r, d, info)
			return nil
		})
	}))
	w.ok(w.inner.WalkUploads(ctx, func(info oci.UploadInfo) error {
		c.AddUpload(info)
		return nil
	}))
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// full fails the test unless an error is that of a full budget.
func (w *world) full(err error, holds string) {
	w.t.Helper()
	if !errors.Is(err, oci.ErrStorageFull) || !strings.Contains(err.Error(), holds) {
		w.t.Fatalf("error is %v, want a full storage and %q", err, holds)
	}
}

// used fails the test unless so much is counted, and really stored.
func (w *world) used(want int64) {
	w.t.Helper()
	if got := w.ledger.States()[0].Used; got != want {
		w.t.Fatalf("%d bytes are counted, want %d", got, want)
	}
	if got := w.count()[0].Used; got != want {
		w.t.Fatalf("%d bytes are stored, want %d", got, want)
	}
}

func content(n int, name string) (oci.Digest, []byte) {
	b := bytes.Repeat([]byte(name), n/len(name)+1)[:n]
	return oci.SHA256.FromBytes(b), b
}

// body is of known length where it has one.
type body struct {
	io.Reader
	left int64
	read atomic.Int64
}

func newBody(b []byte) *body { return &body{Reader: bytes.NewReader(b), left: int64(len(b))} }

func (b *body) Remaining() int64 { return b.left - b.read.Load() }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read.Add(int64(n))
	return n, err
}

// push pushes a blob at once.
func (w *world) push(repo oci.Repo, d oci.Digest, r io.Reader) error {
	w.t.Helper()
	id, err := w.CreateUpload(w.t.Context(), repo, oci.SHA256)
	if err != nil {
		return err
	}
	_, err = w.FinishUpload(w.t.Context(), repo, id, d, 0, r)
	if err != nil {
		w.ok(w.CancelUpload(w.t.Context(), repo, id))
	}
	return err
}

func TestRefusedBeforeItsBytes(t *testing.T) {
	w := newWorld(t, limit(100))
	d, b := content(60, "a")
	w.ok(w.push("x", d, newBody(b)))
	w.used(60)
	d, b = content(41, "b")
	from := newBody(b)
	w.full(w.push("x", d, from), "41 bytes are to be stored, 40 are free of the 100 that storage.maxBytes allows")
	if from.read.Load() != 0 {
		t.Error("its bytes were taken")
	}
	w.used(60)
	d, b = content(40, "c")
	w.ok(w.push("x", d, newBody(b)))
	w.used(100)
	_, err := w.CreateUpload(t.Context(), "x", oci.SHA256)
	w.full(err, "nothing is free of the 100 bytes")
	d, b = content(1, "d")
	w.full(w.PutBlob(t.Context(), "x", d, b), "1 bytes are to be stored, 0 are free")
	w.ok(w.DeleteBlob(t.Context(), "x", oci.SHA256.FromBytes(bytes.Repeat([]byte("a"), 60))))
	w.used(40)
	w.ok(w.PutBlob(t.Context(), "x", d, b))
	w.used(41)
}

// TestUnknownLength: such a body is stopped where the room ends, and one that
// fits to the byte goes in.
func TestUnknownLength(t *testing.T) {
	const size = 600_000
	w := newWorld(t, limit(size))
	d, b := content(size+1, "a")
	w.full(w.push("x", d, io.MultiReader(bytes.NewReader(b))), "nothing is free")
	w.used(0)
	d, b = content(size, "a")
	w.ok(w.push("x", d, io.MultiReader(bytes.NewReader(b))))
	w.used(size)
}

func TestUploadInParts(t *testing.T) {
	w := newWorld(t, limit(100))
	ctx := t.Context()
	d, b := content(90, "part")
	id, err := w.CreateUpload(ctx, "x", oci.SHA256)
	w.ok(err)
	_, err = w.AppendUpload(ctx, "x", id, 0, newBody(b[:50]))
	w.ok(err)
	w.used(50)
	_, err = w.AppendUpload(ctx, "x", id, 0, newBody(b[:50])) // the wrong offset
	if !errors.Is(err, oci.ErrRangeInvalid) {
		t.Fatal(err)
	}
	w.used(50)
	size, err := w.AppendUpload(ctx, "x", id, oci.AtEnd, newBody(make([]byte, 51)))
	w.full(err, "51 bytes are to be stored, 50 are free")
	if size != 50 {
		t.Errorf("size %d", size)
	}
	_, err = w.FinishUpload(ctx, "x", id, d, 50, newBody(b[:40]))
	if !errors.Is(err, oci.ErrDigestInvalid) {
		t.Fatal(err)
	}
	w.used(50)
	_, err = w.AppendUpload(ctx, "x", id, 50, io.MultiReader(bytes.NewReader(b[50:60]), iotest{}))
	if !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	w.used(60)
	_, err = w.FinishUpload(ctx, "x", id, d, 60, newBody(b[60:]))
	w.ok(err)
	w.used(90)
	id, err = w.CreateUpload(ctx, "x", oci.SHA256)
	w.ok(err)
	_, err = w.AppendUpload(ctx, "x", id, 0, newBody(b[:10]))
	w.ok(err)
	w.used(100)
	w.ok(w.CancelUpload(ctx, "x", id))
	w.used(90)
	// What is there already takes no room, and is not refused.
	id, err = w.CreateUpload(ctx, "x", oci.SHA256)
	w.ok(err)
	_, err = w.FinishUpload(ctx, "x", id, d, 0, newBody(b))
	w.ok(err)
	w.used(90)
}

var errBroken = errors.New("broken")

type iotest struct{}

func (iotest) Read([]byte) (int, error) { return 0, errBroken }

// TestLinks: what shares its bytes is counted once in a whole root, and for
// itself where a limit covers only one of the two.
func TestLinks(t *testing.T) {
	onlyY := limit(70)
	onlyY.Name, onlyY.Whole, onlyY.Covers = "y", false, func(r oci.Repo) bool { return r == "y" }
	w := newWorld(t, limit(100), onlyY)
	d, b := content(60, "a")
	w.ok(w.push("x", d, newBody(b)))
	w.ok(w.LinkBlob(t.Context(), "x", "z", d))
	w.used(60)
	w.ok(w.LinkBlob(t.Context(), "x", "y", d))
	w.used(60)
	if s := w.ledger.States()[1]; s.Used != 60 || s.Free != 10 {
		t.Errorf("the other limit is at %+v", s)
	}
	other, b := content(20, "b")
	w.ok(w.push("x", other, newBody(b)))
	w.full(w.LinkBlob(t.Context(), "x", "y", other), "20 bytes are to be stored, 10 are free of the 70 that y allows")
	w.ok(w.DeleteBlob(t.Context(), "y", d)) // frees nothing while others have it
	w.used(80)
	if err := w.LinkBlob(t.Context(), "x", "z", oci.SHA256.FromString("none")); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Error(err)
	}
}

// TestCountWhilePushing: what is stored while a count runs is never lost, and
// counted twice at most until the next.
func TestCountWhilePushing(t *testing.T) {
	w := newWorld(t, limit(100))
	d, b := content(30, "a")
	c := w.ledger.Begin()
	w.add(c)
	w.ok(w.push("x", d, newBody(b)))
	if s := c.End(); s[0].Used != 30 {
		t.Errorf("after the count %d bytes are used", s[0].Used)
	}
	d, b = content(10, "b")
	c = w.ledger.Begin()
	w.ok(w.push("x", d, newBody(b)))
	w.add(c)
	if s := c.End(); s[0].Used != 50 {
		t.Errorf("after the count %d bytes are used", s[0].Used)
	}
	w.count()
	w.used(40)
}

func TestManySharedBlobs(t *testing.T) {
	w := newWorld(t, limit(100))
	c := w.ledger.Begin()
	for i := range 10 {
		info := oci.BlobInfo{Size: 8, Links: 2, Copy: uint64(i%5) + 1}
		c.AddBlob("x", oci.SHA256.FromString("a"), info)
	}
	for range 3 {
		c.AddBlob("x", oci.SHA256.FromString("a"), oci.BlobInfo{Size: 5}) // the store does not tell
	}
	c.AddBlob("x", oci.SHA256.FromString("b"), oci.BlobInfo{Size: 5})
	if s := c.End(); s[0].Used != 50 {
		t.Errorf("%d bytes", s[0].Used)
	}
}

// TestNoLimitNow: a share of a medium that is not there limits nothing.
func TestNoLimitNow(t *testing.T) {
	var size atomic.Int64
	l := limit(0)
	l.Bytes = size.Load
	w := newWorld(t, l)
	d, b := content(60, "a")
	w.ok(w.push("x", d, newBody(b)))
	size.Store(50)
	w.count()
	d, b = content(1, "b")
	w.full(w.push("x", d, newBody(b)), "nothing is free of the 50 bytes")
}

// TestRunCounts: a count is asked for by a push that waits for the first one,
// where the high watermark is passed, and where a push is refused.
func TestRunCounts(t *testing.T) {
	inner := ocitest.NewMemory()
	l := budget.NewLedger(budget.Options{Patience: time.Minute, LeastPause: time.Nanosecond, MostPause: time.Nanosecond}, limit(100))
	w := &world{t: t, inner: inner, ledger: l, Store: budget.Wrap(inner, l)}
	states := make(chan budget.State)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- l.Run(ctx, func(ctx context.Context) {
			s := w.count()[0]
			select {
			case states <- s:
			case <-ctx.Done():
			}
		})
	}()
	d, b := content(80, "a")
	w.ok(w.push("x", d, newBody(b)))
	if s := <-states; s.Used > 80 || s.Refused != 0 {
		t.Errorf("the first count is %+v", s)
	}
	d, b = content(30, "b")
	w.full(w.push("x", d, newBody(b)), "30 bytes")
	if s := <-states; s.Refused != 30 || s.Used != 80 {
		t.Errorf("after a refusal %+v", s)
	}
	d, b = content(11, "c")
	w.ok(w.push("x", d, newBody(b)))
	if s := <-states; s.Used != 91 || s.Refused != 0 || s.HighMark() != 90 || s.LowMark() != 80 {
		t.Errorf("above the high mark %+v", s)
	}
	d, b = content(101, "d")
	w.full(w.push("x", d, newBody(b)), "101 bytes")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestPatience: a push waits for the first count no longer than it must, and
// only the first one does.
func TestPatience(t *testing.T) {
	l := budget.NewLedger(budget.Options{Patience: time.Millisecond}, limit(100))
	s := budget.Wrap(ocitest.NewMemory(), l)
	for _, name := range []string{"a", "b"} {
		d, b := content(10, name)
		if err := s.PutBlob(t.Context(), "x", d, b); err != nil {
			t.Fatal(err)
		}
	}
	if u := l.States()[0].Used; u != 20 {
		t.Errorf("%d bytes are counted", u)
	}
}

// copying is a store with capabilities.
type copying struct {
	oci.Store
	oci.Copies
	linked, discarded int
}

func (c *copying) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	c.discarded++
	return c.DeleteBlob(ctx, repo, d)
}

func (c *copying) LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	c.linked++
	return c.PutBlob(ctx, to, d, []byte("linked"))
}

func TestCapabilitiesStay(t *testing.T) {
	l := budget.NewLedger(budget.Options{}, limit(8))
	l.Begin().End()
	inner := &copying{Store: ocitest.NewMemory()}
	s := budget.Wrap(inner, l)
	if _, ok := s.(oci.Copies); !ok {
		t.Error("Copies is lost")
	}
	type linker interface {
		LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error
	}
	d := oci.SHA256.FromString("linked")
	if err := inner.PutBlob(t.Context(), "from", d, []byte("linked")); err != nil {
		t.Fatal(err)
	}
	from, err := s.OpenBlob(t.Context(), "from", d, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(linker).LinkFrom(t.Context(), "to", d, from); err != nil || inner.linked != 1 {
		t.Errorf("error %v, %d calls", err, inner.linked)
	}
	if err := s.(linker).LinkFrom(t.Context(), "other", d, from); !errors.Is(err, oci.ErrStorageFull) || inner.linked != 1 {
		t.Errorf("error %v, %d calls", err, inner.linked)
	}
	if err := s.(oci.Discarder).DiscardBlob(t.Context(), "to", d); err != nil || inner.discarded != 1 || l.States()[0].Used != 0 {
		t.Errorf("error %v, %d calls, %+v", err, inner.discarded, l.States())
	}
	plain := budget.Wrap(ocitest.NewMemory(), l)
	if err := plain.(oci.Discarder).DiscardBlob(t.Context(), "to", d); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Error(err)
	}
	if _, ok := plain.(oci.Copies); ok {
		t.Error("a store without Copies has them")
	}
	if err := plain.(linker).LinkFrom(t.Context(), "to", d, from); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
