// Package lossy is a disk with a volatile cache, for power cuts: what was
// written and not flushed is kept in memory, and a cut takes any of it.
//
// What it promises is what a drive that obeys the flush command promises, and
// no more: a block is replaced whole or not at all, what was flushed or written
// with force-unit-access is there, and of everything else any part may be,
// whatever the order in which it was written.
package lossy

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// BlockSize is the unit in which the disk writes, in bytes.
const BlockSize = 4096

// maxPending bounds the cache, in blocks: a full cache writes its oldest half,
// as that of a drive does.
const maxPending = 16384

// ErrRange is a request outside of the disk, or a write of less than blocks.
var ErrRange = errors.New("lossy: request is outside of the disk or not of whole blocks")

// Medium is what keeps blocks over a cut.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// Disk is a medium behind a cache. It is safe for concurrent use.
type Disk struct {
	size   int64
	medium Medium

	mu      sync.Mutex       // guards what follows
	pending []block          // in the order of writing
	newest  map[int64][]byte // the latest of pending, by block number
	request int              // number of the latest write
	stats   Stats
}

// block is one block of a write that a cut may take.
type block struct {
	request int
	number  int64
	content []byte
}

// Stats counts what the disk was asked to do, and what cuts took.
type Stats struct {
	Writes, Flushes int // requests
	Blocks          int // written
	Unflushed       int // blocks that were in the cache at cuts
	Lost            int // of these, the blocks that were taken
}

// New is a disk of size bytes, a multiple of BlockSize.
func New(medium Medium, size int64) *Disk {
	return &Disk{size: size, medium: medium, newest: map[int64][]byte{}}
}

// Size is that of the disk, in bytes.
func (d *Disk) Size() int64 { return d.size }

// Stats returns what was counted so far.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// ReadAt reads what was written last, flushed or not.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > d.size-int64(len(p)) {
		return 0, ErrRange
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, err := d.medium.ReadAt(p, off); err != nil && (!errors.Is(err, io.EOF) || n < len(p)) {
		return n, fmt.Errorf("lossy: %w", err)
	}
	for number := off / BlockSize; number*BlockSize < off+int64(len(p)); number++ {
		content, ok := d.newest[number]
		if !ok {
			continue
		}
		if at := number*BlockSize - off; at < 0 {
			copy(p, content[-at:])
		} else {
			copy(p[at:], content)
		}
	}
	return len(p), nil
}

// Write writes whole blocks into the cache, or, where durable is set, to the
// medium.
func (d *Disk) Write(p []byte, off int64, durable bool) error {
	if off < 0 || off%BlockSize != 0 || len(p)%BlockSize != 0 || off > d.size-int64(len(p)) {
		return ErrRange
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.request++
	d.stats.Writes++
	d.stats.Blocks += len(p) / BlockSize
	for at := 0; at < len(p); at += BlockSize {
		number := (off + int64(at)) / BlockSize
		content := append([]byte(nil), p[at:at+BlockSize]...)
		d.pending = append(d.pending, block{d.request, number, content})
		d.newest[number] = content
	}
	if durable {
		return d.force(off/BlockSize, int64(len(p)/BlockSize))
	}
	if len(d.pending) > maxPending {
		return d.evict(len(d.pending) / 2)
	}
	return nil
}

// force makes the given blocks durable as they are now, and no others. The
// caller holds mu.
func (d *Disk) force(first, n int64) error {
	var rest []block
	for _, b := range d.pending {
		if b.number < first || b.number >= first+n {
			rest = append(rest, b)
			continue
		}
		if err := d.put(b); err != nil {
			return err
		}
		delete(d.newest, b.number)
	}
	d.pending = rest
	return nil
}

// evict makes the first n of what is pending durable. The caller holds mu.
func (d *Disk) evict(n int) error {
	for _, b := range d.pending[:n] {
		if err := d.put(b); err != nil {
			return err
		}
		if newest := d.newest[b.number]; &newest[0] == &b.content[0] {
			delete(d.newest, b.number)
		}
	}
	d.pending = append([]block(nil), d.pending[n:]...)
	return nil
}

func (d *Disk) put(b block) error {
	if _, err := d.medium.WriteAt(b.content, b.number*BlockSize); err != nil {
		return fmt.Errorf("lossy: block %d: %w", b.number, err)
	}
	return nil
}

// Flush makes everything durable that was written before.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Flushes++
	return d.evict(len(d.pending))
}

// Cut is a power cut: of what was not flushed a part reaches the medium, chosen
// by chance, and the rest is forgotten. The part is nothing, all up to some
// moment, or a share of the writes, of which some are torn between blocks.
func (d *Disk) Cut(chance *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	keeps := d.keeps(chance)
	kept := 0
	for _, b := range d.pending {
		if !keeps(b) {
			continue
		}
		kept++
		if err := d.put(b); err != nil {
			return err
		}
	}
	d.stats.Unflushed += len(d.pending)
	d.stats.Lost += len(d.pending) - kept
	d.pending, d.newest = nil, map[int64][]byte{}
	return nil
}

// keeps chooses what survives a cut. The caller holds mu.
func (d *Disk) keeps(chance *rand.Rand) func(block) bool {
	switch chance.IntN(4) {
	case 0:
		return func(block) bool { return false }
	case 1:
		if len(d.pending) == 0 {
			return func(block) bool { return false }
		}
		last := d.pending[chance.IntN(len(d.pending))].request
		return func(b block) bool { return b.request <= last }
	}
	share, torn := chance.Float64(), map[int]float64{}
	return func(b block) bool {
		odds, known := torn[b.request]
		if !known {
			switch {
			case chance.IntN(4) == 0:
				odds = 0.5
			case chance.Float64() < share:
				odds = 1
			}
			torn[b.request] = odds
		}
		return chance.Float64() < odds
	}
}
