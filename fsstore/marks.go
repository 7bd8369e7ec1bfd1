package fsstore

import (
	"hash"
	"sync"

	"berth/oci"
)

// stride is after how many bytes the hash of a blob's beginning is kept.
const stride = 256 << 10

// mark is the hash of a blob's first bytes, as many as a multiple of stride,
// by the algorithm of its digest; of a longer one the first 32 bytes.
type mark [32]byte

func markOf(h hash.Hash) (m mark) {
	var sum [64]byte
	copy(m[:], h.Sum(sum[:0]))
	return m
}

const (
	// marksPerBlob bounds what one blob takes: the marks of its first GiB.
	marksPerBlob = 4096
	// marksInAll bounds what all blobs take: 512 KiB for 4 GiB.
	marksInAll = 16384
)

// marks has the marks of blobs that this process has seen whole. When such a
// blob comes again, they tell at each stride whether what has arrived so far
// is the blob's beginning, and neither has to be written nor read.
type marks struct {
	mu    sync.Mutex // guards what follows
	blobs map[oci.Digest][]mark
	order []oci.Digest // the oldest first
	count int          // of all blobs' marks
}

func (m *marks) of(d oci.Digest) []mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blobs[d]
}

// add keeps the marks of a blob, which nobody changes after that. d must be a
// string of its own.
func (m *marks) add(d oci.Digest, of []mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.blobs[d]; known || len(of) == 0 {
		return
	}
	if m.blobs == nil {
		m.blobs = make(map[oci.Digest][]mark)
	}
	m.blobs[d] = of
	m.order = append(m.order, d)
	for m.count += len(of); m.count > marksInAll; {
		oldest := m.order[0]
		m.order = m.order[1:]
		m.count -= len(m.blobs[oldest])
		delete(m.blobs, oldest)
	}
}

// absorb hashes bytes at the session's end, and counts them as arrived.
func (one *session) absorb(p []byte) {
	size := one.size.Load()
	for len(p) > 0 {
		n := min(int64(len(p)), stride-size%stride)
		one.hash.Write(p[:n])
		p, size = p[n:], size+n
		if at := size/stride - 1; size%stride == 0 && at == int64(len(one.marks)) && at < marksPerBlob {
			one.marks = append(one.marks, markOf(one.hash))
		}
	}
	one.size.Store(size)
}

// point is a session's progress, to come back to.
type point struct {
	size      int64
	algorithm oci.Algorithm
	state     []byte // of the hash; nil when size is 0
	marks     []mark
}

func (one *session) mark() (point, error) {
	at := point{size: one.size.Load(), algorithm: one.algorithm, marks: one.marks}
	if at.size == 0 {
		return at, nil
	}
	var err error
	at.state, err = marshalHash(one.hash)
	return at, err
}

// rewind brings the session's size and hash back; its file stays as it is.
func (one *session) rewind(to point) error {
	one.reset(to.algorithm)
	if to.size > 0 {
		if err := unmarshalHash(one.hash, to.state); err != nil {
			return err
		}
	}
	one.size.Store(to.size)
	one.marks = to.marks
	return nil
}
