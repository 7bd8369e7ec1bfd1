package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// Store is repositories in a bucket. It is safe for concurrent use.
type Store struct {
	opts   Options
	client *s3lite.Client
	keys   keys
	memory memory

	// about is nil before the first write.
	about   atomic.Pointer[standing]
	probing keyed[struct{}]
	// writerLease is held where the server keeps no conditions, and alone makes
	// writers of this process wait for each other there.
	writerLease *lease
	alone       sync.Mutex

	known    *recent[oci.Repo, bool]       // repositories that are visible
	indexes  *recent[oci.Repo, knownIndex] // as they were seen last
	refs     *recent[blobID, holding]      // references that were seen lately
	located  *recent[oci.Digest, place]    // content that was looked for
	nowhere  *recent[oci.Digest, bool]     // and not found
	sessions *recent[sessionID, *session]  // as they were written last

	leasing sync.Mutex // guards leases
	leases  map[string]*lease

	sweeping  sync.Mutex // guards sweptUpTo
	sweptUpTo string     // where the next sweep begins; "" at the beginning

	seeking keyed[oci.Digest]
	writing keyed[sessionID]
}

var (
	_ oci.Store     = (*Store)(nil)
	_ oci.Discarder = (*Store)(nil)
)

const (
	// refsKept bounds the references that are remembered, for refsFor: so long a
	// blob may be read that another process has deleted.
	refsKept = 8192
	refsFor  = 30 * time.Second
	// writerLife is after how long another process may write where the server
	// keeps no conditions.
	writerLife = 30 * time.Second
)

// New makes a store. It sends nothing: that the bucket is there and may be used
// is seen when it is.
func New(o Options) (*Store, error) {
	o, err := o.completed()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, client: o.Client, keys: newKeys(o.Root), memory: memory{size: o.UploadMemory},
		leases:   map[string]*lease{},
		known:    newRecent[oci.Repo, bool](reposKnown, knownFor, o.Now),
		indexes:  newRecent[oci.Repo, knownIndex](reposKnown, 0, o.Now),
		refs:     newRecent[blobID, holding](refsKept, refsFor, o.Now),
		located:  newRecent[oci.Digest, place](locationsKept, 0, o.Now),
		nowhere:  newRecent[oci.Digest, bool](locationsKept, soughtAgain, o.Now),
		sessions: newRecent[sessionID, *session](sessionsKept, 0, o.Now),
	}
	s.writerLease = s.newLease("writer", writerLife)
	return s, nil
}

// Run does the store's work in the background until ctx ends: it keeps what
// this process holds alone, lets go of memory that no upload needs, and without
// dedupe makes what was shared whole.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if !s.opts.Dedupe {
		wg.Go(func() { s.restoreAll(ctx) })
	}
	for s.opts.Sleep(ctx, writerLife/3) == nil {
		s.memory.trim()
		if known := s.about.Load(); known == nil || known.honest || !s.writerLease.held() {
			continue
		}
		if err := s.writeAlone(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("the right to write to the bucket could not be renewed", "error", err)
		}
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if err := s.writerLease.release(after); err != nil {
		s.opts.Log.Warn("the right to write to the bucket could not be given back", "error", err)
	}
	return nil
}

// Close ends connections that nobody uses. The store itself needs no end.
func (s *Store) Close() error {
	s.client.Close()
	return nil
}
