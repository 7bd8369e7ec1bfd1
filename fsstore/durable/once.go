package durable

import (
	"io"
	"os"
)

// Once reads a file a single time, from its beginning to its end, and leaves
// in the page cache what was there before, and no more. What is in memory is
// asked well ahead of the reading, since the kernel reads ahead too; what was
// not is dropped soon after it was read. Where the kernel does not tell, all
// is dropped.
//
// It is for one goroutine. The file stays the caller's.
type Once struct {
	f     File
	cache pager // nil: the file has no page cache
	size  int64
	at    int64 // what is read next

	known   int64  // up to where is known what was in memory
	kept    []span // what was, in order; from about dropped on
	dropped int64  // up to where everything else was dropped
}

// span is a part of a file.
type span struct{ from, to int64 }

// pager is a file whose page cache can be asked and told.
type pager interface {
	// sequential tells that the file is about to be read in order.
	sequential()
	// resident appends the parts of n bytes from off that are in memory.
	resident(parts []span, off, n int64) []span
	// drop forgets the pages that are wholly within n bytes from off.
	drop(off, n int64)
}

const (
	// onceSurvey is how much is asked about at a time, and onceAhead how far
	// that keeps ahead of the reading: farther than any kernel reads ahead.
	onceSurvey = 64 << 20
	onceAhead  = 32 << 20
	// onceStep is how much is dropped at a time, and onceBack how much before
	// it once more: pages come in groups, which are dropped whole or not.
	onceStep = 1 << 20
	onceBack = 4 << 20
)

// NewOnce begins to read a file of a size in bytes. With fresh, what is in
// memory of it is dropped first, so that every byte comes from the medium.
func NewOnce(f File, size int64, fresh bool) *Once {
	o := &Once{f: f, size: size}
	cache, ok := f.(pager)
	if !ok {
		return o
	}
	o.cache = cache
	if fresh {
		cache.drop(0, size)
		o.known = size
	}
	o.survey()
	cache.sequential()
	return o
}

// survey asks what is in memory of the next part.
func (o *Once) survey() {
	for o.cache != nil && o.known < o.size && o.known-o.at < onceAhead {
		n := min(onceSurvey, o.size-o.known)
		o.kept = o.cache.resident(o.kept, o.known, n)
		o.known += n
	}
}

// Read is io.Reader.Read. The file's end as it was at the beginning is the end.
func (o *Once) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	o.survey()
	n, err := o.f.ReadAt(p[:min(int64(len(p)), o.size-o.at)], o.at)
	o.at += int64(n)
	if o.at-o.dropped >= onceStep {
		o.dropTo(o.at)
	}
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// Close drops what is left.
func (o *Once) Close() {
	if o.cache == nil {
		return
	}
	o.at = o.size // what the kernel has read ahead
	o.dropTo(o.known)
	o.cache = nil
}

// dropTo drops what was read before a place and was not in memory.
func (o *Once) dropTo(to int64) {
	if o.cache == nil {
		return
	}
	from := max(o.dropped-onceBack, 0)
	for _, k := range o.kept {
		if from >= to || k.from >= to {
			break
		}
		o.gap(from, k.from)
		from = max(from, k.to)
	}
	o.gap(from, to)
	o.dropped = to
	first := 0
	for first < len(o.kept) && o.kept[first].to < to-onceBack {
		first++
	}
	o.kept = o.kept[first:]
}

func (o *Once) gap(from, to int64) {
	if from < to {
		o.cache.drop(from, to-from)
	}
}

// add appends a part, to the last one where it goes on.
func add(parts []span, from, to int64) []span {
	if n := len(parts); n > 0 && parts[n-1].to == from {
		parts[n-1].to = to
		return parts
	}
	return append(parts, span{from, to})
}

// pages is how many pages n bytes take.
func pages(n int64) int64 {
	size := int64(os.Getpagesize())
	return (n + size - 1) / size
}
