// Package registry is what a registry does, written once for every store: it
// reads and edits repositories' indexes, checks manifests, and keeps what it
// parsed in memory, bounded in bytes. It knows no HTTP and no file system.
//
// Invariants: what is kept in memory is used only as long as the store says
// that the index it came from is current. An index never names a manifest whose
// content was deleted here: edits of one repository, and removals of its
// manifests, happen one after the other.
package registry

import (
	"cmp"
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// Sparse says which manifests may name content that the repository lacks.
type Sparse string

// The values of Options.Sparse.
const (
	SparseNone  Sparse = "none"  // everything named must be there
	SparseIndex Sparse = "index" // an index may name manifests that are not there
	SparseAll   Sparse = "all"   // an image manifest may name blobs that are not there, too
)

// Options of a Registry. The zero value is usable.
type Options struct {
	Log             *slog.Logger // nil: discard
	Sparse          Sparse       // "": SparseIndex
	MaxManifestSize int64        // bytes; 0: 4 MiB
	Docker2S2       bool         // accept Docker schema 2 manifests and lists
	CacheBytes      int64        // parsed indexes and manifests kept in memory; 0: 8 MiB
	Finder          Finder       // for mounts that name no source; nil: none
	Usage           Usage        // is told of pushes and pulls; nil: nobody is
	// Remember is for how long at least it is remembered what clients were
	// told: no less than the delay of any collection of garbage. 0: there is
	// none.
	Remember time.Duration
	// Now is the clock; nil: time.Now. Only differences count.
	Now func() time.Time
}

// Usage is told which manifests are used. It is called in the middle of
// requests, by many at once, so it has to be quick. What it is given is valid
// during the call only.
type Usage interface {
	// Pulled: somebody got a manifest by a tag, or one that has tags by its
	// digest.
	Pulled(repo oci.Repo, ref oci.Reference)
	// Pushed: a tag was pushed, also where it named the same before.
	Pushed(repo oci.Repo, tag oci.Tag)
}

// Finder tells which repositories may hold a blob, as oci.Locations does: a
// hint. Names are those of the registry's store.
type Finder interface {
	Holders(ctx context.Context, d oci.Digest, most int) ([]oci.Repo, error)
}

// Registry answers for one store. It is safe for concurrent use.
type Registry struct {
	store  oci.Store
	shared oci.Shared // the store, where it may be shared with other processes; else nil
	opts   Options

	states    *lru[oci.Repo, *state]
	manifests *lru[blobKey, *[]byte]
	referrers *lru[blobKey, *referrer]
	holders   *lru[oci.Digest, oci.Repo] // a repository that held a blob: a hint

	known *lru[blobKey, sighting] // blobs that were seen in shared repositories

	loading keyLock[oci.Repo] // so that an index is parsed once
	reading keyLock[blobKey]  // so that a manifest is read once
	desk    desk
	tickets tickets
	told    told
	writes  atomic.Uint64 // what Writes counts

	collections collections
	doomed      sync.Map // blobKey of content that is being removed: chan struct{}

	buffers sync.Pool // of *[]byte, to write indexes in
}

const (
	defaultManifestSize = 4 << 20
	defaultCacheBytes   = 8 << 20
	// holdersKept bounds the hints for mounts: about 200 bytes each.
	holdersKept = 1024
	// knownKept bounds what is remembered of shared repositories: about 300
	// bytes each.
	knownKept = 4096
)

// New makes a Registry over a store. It does no I/O.
func New(store oci.Store, opts Options) *Registry {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Sparse = cmp.Or(opts.Sparse, SparseIndex)
	opts.MaxManifestSize = cmp.Or(opts.MaxManifestSize, defaultManifestSize)
	opts.CacheBytes = cmp.Or(opts.CacheBytes, defaultCacheBytes)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Registry{
		store:     store,
		opts:      opts,
		states:    newLRU[oci.Repo, *state](opts.CacheBytes / 2),
		manifests: newLRU[blobKey, *[]byte](opts.CacheBytes * 3 / 8),
		referrers: newLRU[blobKey, *referrer](opts.CacheBytes / 8),
		holders:   newLRU[oci.Digest, oci.Repo](holdersKept),
		known:     newLRU[blobKey, sighting](knownKept),
		desk:      desk{waiting: map[oci.Repo][]*edit{}},
		tickets:   tickets{pushes: map[blobKey]*ticket{}},
	}
	r.shared, _ = store.(oci.Shared)
	r.collections.seed = maphash.MakeSeed()
	r.told.start(opts.Remember, opts.Now, opts.Log)
	return r
}

// Writes counts what may have left garbage in the store since New: each upload,
// push and deletion that has ended, failed or not, and each removal of tags. It
// does not count what collections of garbage remove.
func (r *Registry) Writes() uint64 { return r.writes.Load() }

// wrote counts a write; it comes after all of its effects.
func (r *Registry) wrote() { r.writes.Add(1) }

// MaxManifestSize is the largest manifest accepted, in bytes.
func (r *Registry) MaxManifestSize() int64 { return r.opts.MaxManifestSize }
