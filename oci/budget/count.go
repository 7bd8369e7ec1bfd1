package budget

import (
	"hash/maphash"

	"berth/oci"
)

// Count goes through a store. Its methods are for one goroutine.
type Count struct {
	ledger *Ledger
	sums   []sum
	seed   maphash.Seed
	seeded bool
}

// sum is what was found for one limit.
type sum struct {
	bytes  int64
	shared map[uint64]struct{} // what several names share, and was counted
}

// maxShared bounds how many shared blobs are told apart for one limit, 16 bytes
// each: of more, each name counts as its part of the bytes.
const maxShared = 1 << 18

// AddBlob counts a blob of a repository, once for all names that share it.
func (c *Count) AddBlob(repo oci.Repo, d oci.Digest, info oci.BlobInfo) {
	for i, a := range c.ledger.accounts {
		if !a.Limit.Covers(repo) {
			continue
		}
		s := &c.sums[i]
		if info.Links == 1 {
			s.bytes += info.Size
			continue
		}
		key := info.Copy
		if key == 0 {
			key = c.keyOf(d)
		}
		if _, seen := s.shared[key]; seen {
			continue
		}
		if len(s.shared) >= maxShared {
			s.bytes += info.Size / int64(max(info.Links, 1))
			continue
		}
		if s.shared == nil {
			s.shared = map[uint64]struct{}{}
		}
		s.shared[key] = struct{}{}
		s.bytes += info.Size
	}
}

// keyOf stands for a digest where the store does not tell what is shared.
func (c *Count) keyOf(d oci.Digest) uint64 {
	if !c.seeded {
		c.seed, c.seeded = maphash.MakeSeed(), true
	}
	return maphash.String(c.seed, string(d))
}

// AddUpload counts what has arrived of an upload.
func (c *Count) AddUpload(info oci.UploadInfo) {
	for i, a := range c.ledger.accounts {
		if a.Limit.Covers(info.Repo) {
			c.sums[i].bytes += info.Size
		}
	}
}

// End ends the count: what was found, and what was added meanwhile, is what is
// stored. It returns where the limits stand, with the pushes that were refused
// before.
func (c *Count) End() []State {
	l := c.ledger
	limits := make([]int64, len(l.accounts)) // asked without the lock
	for i, a := range l.accounts {
		limits[i] = a.Bytes()
	}
	l.mu.Lock()
	for i, a := range l.accounts {
		a.max, a.used, a.added, a.over = limits[i], c.sums[i].bytes+a.added, 0, false
	}
	l.mu.Unlock()
	states := l.States()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		a.refused = 0
	}
	now := l.opts.Now()
	l.last, l.took = now, max(now.Sub(l.opened), 0)
	if !l.done {
		l.done = true
		close(l.counted)
	}
	return states
}
