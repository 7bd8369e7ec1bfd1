package store

import (
	"context"
	"errors"
	"io"
	"sync"

	"berth/oci"
	"berth/s3lite"
)

// Where it is known that a part will be full, it is sent while it arrives. Its
// bytes are in the buffer all the same, so that it can be sent again.

// fillsPart tells whether r has more than fills the buffer: what ends with it
// may be small enough for one request without parts.
func (w *writer) fillsPart(r io.Reader) bool {
	known, ok := r.(oci.Remaining)
	return ok && known.Remaining() > w.store.opts.ChunkSize-w.buf.n
}

// pass fills the buffer from r, and sends it as a part meanwhile. end is how r
// ended, nil where it has not; then the buffer is empty. Otherwise it holds what
// has arrived, and err is the bucket's.
func (w *writer) pass(ctx context.Context, r io.Reader) (end, err error) {
	if err := w.decide(ctx); err != nil {
		return nil, err
	}
	if w.discard {
		return w.fill(ctx, r, nil), nil
	}
	upload, number, err := w.upload(ctx)
	if err != nil {
		return nil, err
	}
	w.buf.grow(w.store.opts.ChunkSize)
	f := newFlow(&w.buf)
	var part s3lite.Part
	var sendErr error
	var sent sync.WaitGroup
	sent.Go(func() {
		part, sendErr = w.store.client.UploadPart(ctx, upload, number, s3lite.Section(f, 0, w.store.opts.ChunkSize))
		f.stop()
	})
	end = w.fill(ctx, &source{r, f}, f.advance)
	f.end()
	sent.Wait()
	switch {
	case sendErr != nil && !errors.Is(sendErr, errArriving):
		return nil, sendErr
	case end != nil:
		return end, nil
	}
	w.addPart(part, w.buf.n)
	w.buf.cut(0)
	return nil, nil
}

var (
	// errArriving: the rest of a part did not arrive.
	errArriving = errors.New("the bytes of a part ended early")
	// errSending: nobody wants the rest of a part.
	errSending = errors.New("a part could not be sent")
)

// flow is a buffer that is read while it fills.
type flow struct {
	buf *buffer

	mu      sync.Mutex // guards all below
	changed sync.Cond
	have    int64
	ended   bool // nothing more arrives
	stopped bool // nothing more is wanted
}

func newFlow(buf *buffer) *flow {
	f := &flow{buf: buf, have: buf.n}
	f.changed.L = &f.mu
	return f
}

// advance tells how much has arrived.
func (f *flow) advance(have int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have = have
	f.changed.Broadcast()
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.changed.Broadcast()
}

func (f *flow) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// ReadAt implements io.ReaderAt: it waits for what has not arrived.
func (f *flow) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	for f.have < off+int64(len(p)) && !f.ended {
		f.changed.Wait()
	}
	have := f.have
	f.mu.Unlock()
	n := f.buf.readUpTo(p, off, have)
	if n < len(p) {
		return n, errArriving
	}
	return n, nil
}

// source is a reader that ends when nobody wants more of it.
type source struct {
	io.Reader
	flow *flow
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.flow.mu.Lock()
	stopped := s.flow.stopped
	s.flow.mu.Unlock()
	if stopped {
		return 0, errSending
	}
	return s.Reader.Read(p)
}
