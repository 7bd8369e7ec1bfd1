package store

import (
	"context"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"berth/s3lite"
)

// slabSize is what buffers grow by, in bytes: an upload holds little more than
// what has arrived of its part.
const slabSize = 256 << 10

// A slab lies outside of the heap: the garbage collector lets that grow by a
// share of what is in it, which would be paid for large buffers, too.
type slab []byte

// newSlab takes one from the kernel, or from the heap where it has none to give.
func newSlab() slab {
	s, err := unix.Mmap(-1, 0, slabSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make(slab, slabSize)
	}
	return s
}

// unmap gives it back to where it came from. Nothing may use it any more.
func (s slab) unmap() {
	_ = unix.Munmap(s) // refused for what is the heap's
}

// memory is what the buffers of all uploads take. Who wants more than is left
// waits, in order.
type memory struct {
	size int64 // bytes in all

	mu      sync.Mutex // guards all below
	taken   int64
	waiting []*waiter
	free    []slab // kept until trim finds that nobody used memory
	used    bool   // since the last trim
	made    int    // slabs that were allocated, for tests
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// acquire reserves n bytes.
func (m *memory) acquire(ctx context.Context, n int64) error {
	m.mu.Lock()
	if len(m.waiting) == 0 && m.taken+n <= m.size {
		m.taken += n
		m.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.waiting {
		if other == w {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			m.admit()
			return context.Cause(ctx)
		}
	}
	return nil // it was let in just now
}

// release gives n bytes back.
func (m *memory) release(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken -= n
	m.used = true
	m.admit()
}

// trim lets go of the slabs, where nobody has held memory since it was called
// last.
func (m *memory) trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken == 0 && !m.used {
		for _, s := range m.free {
			s.unmap()
		}
		m.free = nil
	}
	m.used = false
}

// admit lets those in for whom there is room; m.mu is held.
func (m *memory) admit() {
	for len(m.waiting) > 0 && m.taken+m.waiting[0].n <= m.size {
		m.taken += m.waiting[0].n
		close(m.waiting[0].ready)
		m.waiting = m.waiting[1:]
	}
}

func (m *memory) slab() slab {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		s := m.free[n-1]
		m.free = m.free[:n-1]
		return s
	}
	m.made++
	return newSlab()
}

func (m *memory) put(slabs []slab) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, slabs...)
}

// buffer holds bytes in slabs.
type buffer struct {
	memory *memory
	slabs  []slab
	n      int64
}

// space is where the next bytes go: at least one, at most limit in all; none
// where the buffer has limit bytes.
func (b *buffer) space(limit int64) []byte {
	at := int(b.n % slabSize)
	if b.n >= limit {
		return nil
	}
	if b.n/slabSize == int64(len(b.slabs)) {
		b.slabs = append(b.slabs, b.memory.slab())
	}
	room := b.slabs[b.n/slabSize][at:]
	return room[:min(int64(len(room)), limit-b.n)]
}

// Write implements io.Writer, without a limit.
func (b *buffer) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := copy(b.space(b.n+int64(len(p))), p[done:])
		b.n += int64(n)
		done += n
	}
	return len(p), nil
}

// ReadAt implements io.ReaderAt.
func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	n := b.readUpTo(p, off, b.n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readUpTo copies bytes from an offset on, and none from end on.
func (b *buffer) readUpTo(p []byte, off, end int64) (done int) {
	for done < len(p) && off < end {
		n := copy(p[done:], b.slabs[off/slabSize][off%slabSize:min(slabSize, end-off/slabSize*slabSize)])
		off += int64(n)
		done += n
	}
	return done
}

// body is all that the buffer holds.
func (b *buffer) body() *s3lite.Body { return s3lite.Section(b, 0, b.n) }

// grow makes room for n bytes in all, so that no slab is added before.
func (b *buffer) grow(n int64) {
	for int64(len(b.slabs))*slabSize < n {
		b.slabs = append(b.slabs, b.memory.slab())
	}
}

// cut drops what is behind n bytes.
func (b *buffer) cut(n int64) { b.n = min(b.n, n) }

// free gives the slabs back.
func (b *buffer) free() {
	b.memory.put(b.slabs)
	b.slabs, b.n = nil, 0
}
