package scrub

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// keys remembers what was read in a round: copies that repositories may share
// for the whole of it, the others while their repository is looked at. A key is
// the beginning of a hash that nobody can foresee, so that no content can be
// made that is taken for another.
type keys struct {
	secret []byte
	shared map[uint64]struct{}
	here   map[uint64]struct{}
	bound  int // of each
}

const secretSize = 16

func newKeys(bound int) keys {
	k := keys{secret: make([]byte, secretSize), bound: bound}
	_, _ = rand.Read(k.secret) // never fails
	k.shared, k.here = map[uint64]struct{}{}, map[uint64]struct{}{}
	return k
}

// of is the key of a thing.
func (k *keys) of(parts ...string) uint64 {
	h := sha256.New()
	h.Write(k.secret)
	for _, p := range parts {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	return binary.LittleEndian.Uint64(h.Sum(sum[:0]))
}

func (k *keys) has(key uint64) bool {
	_, here := k.here[key]
	_, shared := k.shared[key]
	return here || shared
}

// add remembers a key, as long as there is room.
func (k *keys) add(key uint64, shared bool) {
	set := k.here
	if shared {
		set = k.shared
	}
	if len(set) < k.bound {
		set[key] = struct{}{}
	}
}

// leave forgets what only one repository has.
func (k *keys) leave() {
	if len(k.here) > 0 {
		k.here = map[uint64]struct{}{}
	}
}

// pack writes a set of keys as bytes.
func pack(set map[uint64]struct{}) []byte {
	out := make([]byte, 0, 8*len(set))
	for key := range set {
		out = binary.LittleEndian.AppendUint64(out, key)
	}
	return out
}

// unpack reads what pack wrote, up to a bound.
func unpack(packed []byte, bound int) map[uint64]struct{} {
	set := make(map[uint64]struct{}, min(len(packed)/8, bound))
	for len(packed) >= 8 && len(set) < bound {
		set[binary.LittleEndian.Uint64(packed)] = struct{}{}
		packed = packed[8:]
	}
	return set
}
