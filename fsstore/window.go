package fsstore

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"berth/fsstore/durable"
)

const (
	largeWindow = 8 << 20
	smallWindow = 2 << 20
	smallMemory = 1 << 30
	// leastWriteback is from how many bytes on what an upload leaves to the
	// kernel is sent on its way at the end.
	leastWriteback = 1 << 20
)

// windowSize is how much of an upload is written out together: less on
// machines with little memory.
func windowSize() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil && uint64(info.Totalram)*uint64(info.Unit) < smallMemory {
		return smallWindow
	}
	return largeWindow
}

// bufferPool has the buffers for bodies.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, bufferSize)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.pool.Put(b) }

// stridePool has a few larger buffers, for what is only hashed.
type stridePool struct {
	pool sync.Pool
	used atomic.Int32
}

// stridesMost is how many of them there are; others get by with less.
const stridesMost = 8

// get is nil when all are in use.
func (p *stridePool) get() *[]byte {
	if p.used.Add(1) > stridesMost {
		p.used.Add(-1)
		return nil
	}
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, stride)
	return &b
}

func (p *stridePool) put(b *[]byte) {
	if b != nil {
		p.pool.Put(b)
		p.used.Add(-1)
	}
}

// advanceWindows is called when a file has grown from one size to another.
// Each window that is full is sent to the medium, and the one before it is
// waited for and dropped from memory.
func advanceWindows(f durable.File, window, from, to int64) error {
	for full := from/window + 1; full <= to/window; full++ {
		if err := f.StartWriteback((full-1)*window, window); err != nil {
			return err
		}
		if full < 2 {
			continue
		}
		if err := f.FinishWriteback((full-2)*window, window); err != nil {
			return err
		}
	}
	return nil
}

// endWindows is called when a file is complete.
func endWindows(f durable.File, window, size int64) error {
	full := size / window * window
	if full > 0 {
		if err := f.FinishWriteback(full-window, window); err != nil {
			return err
		}
	}
	if size-full < leastWriteback {
		return nil
	}
	return f.StartWriteback(full, size-full)
}
