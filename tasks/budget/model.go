package budget

import (
	"cmp"
	"slices"
	"time"

	"berth/oci"
	"berth/tasks/usage"
)

// unit is a manifest with all of its tags: what goes together.
type unit struct {
	repo   oci.Repo
	digest oci.Digest
	tags   []oci.Tag
	times  []usage.Times // of the tags, when it was looked at
	used   time.Time     // when the last of the tags was used last; zero: not known
	size   int64         // bytes of all that it needs
	needs  []uint64      // the keys of that
}

// choice is a unit that is to go, and what that frees.
type choice struct {
	unit
	frees int64 // bytes that nothing else needs
}

// model is what the tags of some repositories need, counted once for all names
// that share it. Of very many blobs it has a sample, by their keys, and stands
// for the rest in proportion.
type model struct {
	blobs  map[uint64]need
	bytes  int64  // of blobs that something needs
	sample uint   // the model has one of 2^sample blobs
	units  []unit // that may go; of very many those that were used longest ago
	keys   int    // of all units
	// mostKeys bounds keys, 8 bytes each; mostBlobs bounds blobs, about 32 each.
	mostKeys, mostBlobs int
}

// need is a blob and how many units, or others that stay, need it.
type need struct {
	size int64
	by   int32
}

const (
	mostKeys  = 1 << 18
	mostBlobs = 1 << 18
)

func newModel() *model {
	return &model{blobs: map[uint64]need{}, mostKeys: mostKeys, mostBlobs: mostBlobs}
}

// live is how many bytes stay when garbage collection has done its work.
func (m *model) live() int64 { return m.bytes << m.sample }

// sampled tells whether the model has a blob.
func (m *model) sampled(key uint64) bool {
	key *= 0xff51afd7ed558ccd // neighbours apart
	return key>>(64-m.sample) == 0
}

// hold notes that something needs a blob.
func (m *model) hold(key uint64, size int64) {
	if !m.sampled(key) {
		return
	}
	n, known := m.blobs[key]
	m.blobs[key] = need{size: size, by: n.by + 1}
	if known {
		return
	}
	m.bytes += size
	if len(m.blobs) <= m.mostBlobs {
		return
	}
	m.sample++
	for key, n := range m.blobs {
		if !m.sampled(key) {
			delete(m.blobs, key)
			m.bytes -= n.size
		}
	}
}

// add notes a unit that may go, whose needs were noted by hold.
func (m *model) add(u unit) {
	m.units = append(m.units, u)
	m.keys += len(u.needs)
	if m.keys <= m.mostKeys {
		return
	}
	m.sort()
	for len(m.units) > 1 && m.keys > m.mostKeys/2 {
		last := len(m.units) - 1
		m.keys -= len(m.units[last].needs)
		m.units[last] = unit{}
		m.units = m.units[:last]
	}
}

// sort puts first what was used longest ago.
func (m *model) sort() {
	slices.SortFunc(m.units, func(a, b unit) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.repo, b.repo), cmp.Compare(a.digest, b.digest))
	})
}

// plan chooses what goes until no more than target bytes stay, or nothing is
// left that may go. The model is used up by it.
func (m *model) plan(target int64) []choice {
	m.sort()
	var gone []choice
	for _, u := range m.units {
		if m.live() <= target {
			break
		}
		c, before := choice{unit: u}, m.live()
		for _, key := range u.needs {
			n, known := m.blobs[key]
			if !known {
				continue
			}
			if n.by--; n.by == 0 {
				m.bytes -= n.size
			}
			m.blobs[key] = n
		}
		c.frees = before - m.live()
		gone = append(gone, c)
	}
	return gone
}
