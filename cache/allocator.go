package cache

import "github.com/dgraph-io/ristretto/v2/z"

// allocatorSound tells whether the memory allocator that Badger builds its
// tables with works on this platform. Where int has 32 bits, the one released
// with Badger hands out the same bytes twice once its first buffer is full, and
// the tables are garbage; scripts/badger32 builds with a patched copy. It is
// asked to do just that, so that no build flag can be wrong about it.
func allocatorSound() bool {
	const buffer, piece = 512, 300 // two pieces do not fit into the first buffer
	a := z.NewAllocator(buffer, "berth")
	defer a.Release()
	first, second := a.Allocate(piece), a.Allocate(piece)
	clear(first)
	for i := range second {
		second[i] = 1
	}
	for _, b := range first {
		if b != 0 {
			return false
		}
	}
	return true
}
