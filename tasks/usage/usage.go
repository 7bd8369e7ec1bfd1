// Package usage remembers when tags were pushed and pulled, and which of them
// were mirrored rather than pushed. It owns those times in memory and the one
// file that keeps them across restarts.
//
// Invariants: memory is bounded, and what was used longest ago is forgotten
// first. All of it is a hint: a time that is not known is the zero time, for
// which there are substitutes, and a tag whose origin is not known counts as
// pushed. A mark of origin holds for one content only, so that one that is out
// of date says nothing of what was pushed since. The file is written only when
// something changed, at most once an hour and at the end.
package usage

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// File keeps a few bytes across restarts, each time in place of those before.
type File interface {
	// Load returns what Save kept last, nil where there is nothing.
	Load() ([]byte, error)
	// Save replaces it as a whole, or fails and leaves it as it was.
	Save(content []byte) error
}

// Options of a Memory. The zero value is usable.
type Options struct {
	File    File             // nil: nothing is kept across restarts
	Log     *slog.Logger     // nil: discard
	Now     func() time.Time // nil: time.Now
	Every   time.Duration    // the least time between two writings; 0: an hour
	Entries int              // the most names remembered, 64 bytes each; 0: 65536
}

// Times are when a tag was used last; zero where that is not known.
type Times struct{ Pushed, Pulled time.Time }

// Memory is what is remembered. It is safe for concurrent use, and a nil one
// knows nothing.
type Memory struct {
	opts   Options
	shards [shardCount]shard
	dirty  atomic.Bool // something changed since the file was written
	saving sync.Mutex  // held while the file is written
	failed bool        // the last writing did; guarded by saving
}

const (
	shardCount     = 16
	defaultEntries = 1 << 16
	defaultEvery   = time.Hour
)

type shard struct {
	mu      sync.Mutex // guards entries
	entries map[uint64]record
}

// record is what is known of one name. Times are milliseconds since 1970, 0
// where they are not known.
type record struct {
	pushed, pulled int64
	origin         uint64 // of the digest that was mirrored; 0: pushed, or unknown
}

func (r record) last() int64 { return max(r.pushed, r.pulled) }

// New makes a Memory from what the file keeps. A file that is lost or broken is
// no error: what it held is not known then.
func New(opts Options) *Memory {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Every = cmp.Or(opts.Every, defaultEvery)
	opts.Entries = cmp.Or(opts.Entries, defaultEntries)
	m := &Memory{opts: opts}
	for i := range m.shards {
		m.shards[i].entries = map[uint64]record{}
	}
	m.load()
	return m
}

// Pulled notes that somebody asked for a manifest, by its tag or its digest.
func (m *Memory) Pulled(repo oci.Repo, ref oci.Reference) {
	if now := m.now(); now != 0 {
		name := string(ref.Tag)
		if ref.Digest != "" {
			name = string(ref.Digest)
		}
		m.change(keyOf(repo, name), func(r record) record { r.pulled = now; return r })
	}
}

// Pushed notes that a tag was pushed.
func (m *Memory) Pushed(repo oci.Repo, tag oci.Tag) {
	now := m.now()
	m.change(keyOf(repo, string(tag)), func(r record) record { r.pushed, r.origin = now, 0; return r })
}

// Mirrored notes that a tag was fetched from another registry, where it can be
// had again. It comes after Pushed.
func (m *Memory) Mirrored(repo oci.Repo, tag oci.Tag, d oci.Digest) {
	m.change(keyOf(repo, string(tag)), func(r record) record { r.origin = keyOf("", string(d)); return r })
}

// IsMirrored tells whether a tag names content that is known to have been
// fetched from another registry. What is not known counts as pushed.
func (m *Memory) IsMirrored(repo oci.Repo, tag oci.Tag, d oci.Digest) bool {
	r, _ := m.look(keyOf(repo, string(tag)))
	return r.origin != 0 && r.origin == keyOf("", string(d))
}

// Times tells when a tag was used last. Who pulls a manifest by its digest uses
// all tags that name it.
func (m *Memory) Times(repo oci.Repo, tag oci.Tag, d oci.Digest) Times {
	r, _ := m.look(keyOf(repo, string(tag)))
	byDigest, _ := m.look(keyOf(repo, string(d)))
	return Times{Pushed: timeOf(r.pushed), Pulled: timeOf(max(r.pulled, byDigest.pulled))}
}

// Len is how many names are remembered.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

// Run writes the file from time to time until ctx ends, and then once more. It
// returns nil: what cannot be written is logged, and tried again.
func (m *Memory) Run(ctx context.Context) error {
	tick := time.NewTicker(m.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.Flush()
			return nil
		case <-tick.C:
			m.Flush()
		}
	}
}

// change changes the record of a name, which it makes where there is none.
func (m *Memory) change(key uint64, do func(record) record) {
	s := &m.shards[key%shardCount]
	s.mu.Lock()
	before, known := s.entries[key]
	if r := do(before); r != before {
		if !known {
			s.makeRoom(max(m.opts.Entries/shardCount, 1))
		}
		s.entries[key] = r
		if !m.dirty.Load() {
			m.dirty.Store(true)
		}
	}
	s.mu.Unlock()
}

func (m *Memory) look(key uint64) (record, bool) {
	if m == nil {
		return record{}, false
	}
	s := &m.shards[key%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.entries[key]
	return r, ok
}

// makeRoom forgets what was used longest ago, an eighth of all, where there is
// no room for one more.
func (s *shard) makeRoom(limit int) {
	if len(s.entries) < limit {
		return
	}
	times := make([]int64, 0, len(s.entries))
	for _, r := range s.entries {
		times = append(times, r.last())
	}
	slices.Sort(times)
	excess := len(s.entries) - limit + 1 + limit/8
	bound := times[min(excess, len(times))-1]
	for key, r := range s.entries {
		if excess > 0 && r.last() <= bound {
			delete(s.entries, key)
			excess--
		}
	}
}

// epoch is before every time that can be right: a clock that shows an earlier
// one was never set.
const epoch = 1_577_836_800_000 // 2020-01-01, milliseconds since 1970

// now is the time in milliseconds since 1970, 0 where the clock cannot be
// right.
func (m *Memory) now() int64 {
	if ms := m.opts.Now().UnixMilli(); ms >= epoch {
		return ms
	}
	return 0
}

func timeOf(ms int64) time.Time {
	if ms < epoch {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// keyOf stands for a name within a repository, in the file too: FNV-1a with its
// bits mixed at the end. Two names of one key share their times, and nothing
// else.
func keyOf(repo oci.Repo, name string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(repo) {
		h = (h ^ uint64(repo[i])) * prime
	}
	h *= prime // no byte of a name is 0
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return max(h, 1)
}
