package store

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// TestUploadMemory: however many uploads there are, their buffers take no more
// than they may.
func TestUploadMemory(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	const chunks, uploads = 3, 12
	s := b.replica(func(o *Options) { o.ChunkSize, o.UploadMemory = 2*slabSize, chunks*2*slabSize })
	var wg sync.WaitGroup
	for i := range uploads {
		content := noise(uint32(i), 7*slabSize+i)
		var body io.Reader = known{bytes.NewReader(content)}
		if i%2 == 0 {
			body = iotest.HalfReader(bytes.NewReader(content)) // of a length that nobody knows
		}
		wg.Go(func() {
			id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
			if err == nil {
				_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), 0, body)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// A session's record takes one more, for a moment, of those that begin.
	if most := chunks*2 + uploads; s.memory.made > most || s.memory.taken != 0 {
		t.Errorf("%d slabs were made, at most %d may be; %d bytes are taken", s.memory.made, most, s.memory.taken)
	}
	for i := range uploads {
		reads(t, s, "a", noise(uint32(i), 7*slabSize+i))
	}
	s.memory.trim()
	if len(s.memory.free) == 0 {
		t.Error("memory that was just used is let go")
	}
	if s.memory.trim(); len(s.memory.free) != 0 {
		t.Error("memory that nobody uses is kept")
	}
}

// TestMemoryWaits: who waits for memory is let in in order, and may give up.
func TestMemoryWaits(t *testing.T) {
	m := &memory{size: 10}
	ok(t, m.acquire(t.Context(), 6))
	gone, cancel := context.WithCancel(t.Context())
	gaveUp, large := make(chan error), make(chan error)
	go func() { gaveUp <- m.acquire(gone, 8) }()
	m.await(t, 1)
	go func() { large <- m.acquire(t.Context(), 4) }()
	m.await(t, 2)
	cancel()
	wants(t, "who gave up", <-gaveUp, context.Canceled)
	ok(t, <-large)
	m.release(6)
	m.release(4)
	if m.taken != 0 {
		t.Errorf("%d bytes are taken", m.taken)
	}
}

// await waits until so many wait.
func (m *memory) await(t *testing.T, n int) {
	t.Helper()
	for {
		m.mu.Lock()
		waiting := len(m.waiting)
		m.mu.Unlock()
		if waiting == n {
			return
		}
		rest(t)
	}
}

// rest waits a moment, in a loop that ends when the test's time is over.
func rest(t *testing.T) {
	t.Helper()
	if err := sleep(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
}

// arrives waits until the bucket has seen a request of an operation.
func (b *bucket) arrives(t *testing.T, op string) {
	t.Helper()
	for b.Count(op) == 0 {
		rest(t)
	}
}

// slow is a body that tells how much is to come and waits in the middle.
type slow struct {
	known
	at   int
	wait func() error
}

func (s *slow) Read(p []byte) (int, error) {
	if s.Len() > s.at {
		return s.known.Read(p[:min(len(p), s.Len()-s.at)])
	}
	if s.wait != nil {
		wait := s.wait
		s.wait = nil
		if err := wait(); err != nil {
			return 0, err
		}
	}
	return s.known.Read(p)
}

// TestPass: a part is on its way before it has arrived; where it breaks off on
// either side, nothing is lost.
func TestPass(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	ok(t, s.ensure(t.Context(), "a"))
	content := noise(1, 5*chunk/2)
	d := oci.SHA256.FromBytes(content)
	begin := func() oci.UploadID {
		id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
		ok(t, err)
		return id
	}
	body := func(wait func() error) io.Reader {
		return &slow{known: known{bytes.NewReader(content)}, at: len(content) - chunk/2, wait: wait}
	}
	id := begin()
	size, err := s.AppendUpload(t.Context(), "a", id, 0, body(func() error {
		b.arrives(t, "UploadPart") // else the fault below is this one's
		return errBroken
	}))
	if wants(t, "broken", err, errBroken); size != chunk/2 {
		t.Fatalf("kept are %d bytes", size)
	}
	b.Fail(s3test.Fault{Op: "UploadPart", Status: 403, Code: "AccessDenied"})
	_, err = s.AppendUpload(t.Context(), "a", id, size, known{bytes.NewReader(content[size:])})
	wants(t, "refused", err, oci.ErrUnavailable)
	size, err = s.AppendUpload(t.Context(), "a", id, size, known{bytes.NewReader(content[size:])})
	ok(t, err)
	_, err = s.FinishUpload(t.Context(), "a", id, d, size, nil)
	ok(t, err)
	reads(t, s, "a", content)
	ok(t, s.DeleteBlob(t.Context(), "a", d))
	b.Delete("root/dir/.berth/content/sha256/" + d.Encoded())

	id = begin()
	b.Reset()
	_, err = s.FinishUpload(t.Context(), "a", id, d, 0, body(func() error {
		b.arrives(t, "UploadPart") // which has not all of its body yet
		return nil
	}))
	ok(t, err)
	reads(t, s, "a", content)
	b.left(t)
}
