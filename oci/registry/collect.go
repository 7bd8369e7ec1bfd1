package registry

import (
	"context"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"berth/oci"
)

// The methods of this file are for the collection of garbage. Each does one
// small thing, and only where a repository's index is still the one that the
// caller made up its mind by: ErrConflict says that it is not, and that nothing
// was done. What clients were told of lately is left alone.
//
// They take their turn among the edits of the repository. So whatever a push
// found before its own turn was there then: a push sees that something was
// collected in between, and looks again.

// collections counts, for the repositories of each slot, what was collected.
type collections struct {
	seed  maphash.Seed
	count [64]atomic.Uint64
}

func (c *collections) of(repo oci.Repo) *atomic.Uint64 {
	return &c.count[maphash.String(c.seed, string(repo))%uint64(len(c.count))]
}

// errCollected: something was collected while a manifest was being pushed.
var errCollected = errors.New("content was collected meanwhile")

// Settled tells whether what clients were told in the last while is known, be
// it that this registry has run so long or that it does not remember at all.
func (r *Registry) Settled(while time.Duration) bool {
	return r.told.keep == 0 || r.told.now().Sub(r.told.since) >= while
}

// Told tells whether a client was told lately that a repository holds a blob or
// a manifest, or has sent it; or has used an upload session. It may be wrong
// where it says so.
func (r *Registry) Told(repo oci.Repo, name string) bool { return r.told.has(repo, name) }

// Snapshot is a repository's index and its version. It is not kept in memory.
// Errors: ErrNameUnknown.
func (r *Registry) Snapshot(ctx context.Context, repo oci.Repo) (*oci.Index, oci.Version, error) {
	s := r.states.peek(repo)
	var have oci.Version
	if s != nil {
		have = s.version
	}
	data, version, err := r.store.LoadIndex(ctx, repo, have)
	if err != nil {
		return nil, "", r.lost(repo, err)
	}
	if s != nil && data == nil && version == have {
		return s.index, version, nil
	}
	if len(data) == 0 {
		return oci.NewIndex(), version, nil
	}
	index, err := oci.ParseIndex(data)
	return index, version, err
}

// CollectBlobs deletes content of a repository that nothing reachable from its
// index names, and returns what it deleted: also where it fails. Errors:
// ErrConflict.
func (r *Registry) CollectBlobs(ctx context.Context, repo oci.Repo, at oci.Version, blobs []oci.Digest) (gone []oci.Digest, err error) {
	if r.isShared(repo) {
		return r.collectShared(ctx, repo, at, blobs)
	}
	var index *oci.Index
	err = r.collect(ctx, repo, &edit{
		at: at,
		apply: func(now *oci.Index) (*oci.Index, error) {
			index = now
			return now, nil
		},
		before: func(ctx context.Context) error {
			r.collections.of(repo).Add(1)
			for _, d := range blobs {
				deleted, err := r.collectBlob(ctx, blobKey{repo, d}, index)
				if err != nil {
					return err
				}
				if deleted {
					gone = append(gone, d)
				}
			}
			return nil
		},
	})
	return gone, err
}

// collectBlob deletes one blob, unless a client was told of it, or it is gone.
func (r *Registry) collectBlob(ctx context.Context, key blobKey, now *oci.Index) (deleted bool, err error) {
	release, ok := r.told.claim(key.repo, string(key.digest))
	if !ok || now.Named(key.digest) != nil {
		if ok {
			release()
		}
		return false, nil
	}
	defer release()
	err = r.removeBy(ctx, key, now, r.discard)
	if isUnknown(err) {
		return false, nil
	}
	return err == nil, err
}

// discard deletes a blob, as cheaply as the store can.
func (r *Registry) discard(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if s, ok := r.store.(oci.Discarder); ok {
		return s.DiscardBlob(ctx, repo, d)
	}
	return r.store.DeleteBlob(ctx, repo, d)
}

// CollectManifests removes manifests from a repository's index, with all their
// entries, in one edit, and returns what it removed. Their content is left to
// CollectBlobs. Errors: ErrConflict.
func (r *Registry) CollectManifests(ctx context.Context, repo oci.Repo, at oci.Version, manifests []oci.Digest) (gone []oci.Digest, err error) {
	done := make(chan struct{}) // closed when it is known what became of them
	var doomed []oci.Digest
	err = r.collect(ctx, repo, &edit{
		at: at,
		apply: func(index *oci.Index) (*oci.Index, error) {
			for _, d := range manifests {
				if index.Named(d) != nil && r.doom(blobKey{repo, d}, done) {
					doomed = append(doomed, d)
					index = index.DeleteManifest(d)
				}
			}
			if len(doomed) > 0 && r.isShared(repo) {
				return r.nextEpoch(index)
			}
			return index, nil
		},
		before: func(context.Context) error {
			r.collections.of(repo).Add(1)
			return nil
		},
		after: func(context.Context, *oci.Index) error {
			gone = doomed
			return nil
		},
		finally: func() {
			for _, d := range doomed {
				r.doomed.Delete(blobKey{repo, d})
			}
			close(done)
		},
	})
	if errors.Is(err, errAnnounced) {
		err = r.afterRemovals(ctx, repo)
	}
	return gone, err
}

// doom makes those wait who ask for a manifest, unless a client was told of it.
func (r *Registry) doom(key blobKey, done chan struct{}) bool {
	release, ok := r.told.claim(key.repo, string(key.digest))
	if ok {
		r.doomed.Store(key, done)
		release()
	}
	return ok
}

// awaitDoom waits while a manifest is being removed. The caller has promised it.
func (r *Registry) awaitDoom(ctx context.Context, key blobKey) error {
	if r.told.keep == 0 {
		return nil
	}
	done, doomed := r.doomed.Load(key)
	if !doomed {
		return nil
	}
	select {
	case <-done.(chan struct{}):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CollectUpload ends an upload session, unless a client has used it lately.
// Errors: ErrUploadUnknown.
func (r *Registry) CollectUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (ended bool, err error) {
	if !r.told.named(repo) {
		return false, nil // it may be this one that begins
	}
	release, ok := r.told.claim(repo, string(id))
	if !ok {
		return false, nil
	}
	defer release()
	err = r.store.CancelUpload(ctx, repo, id)
	return err == nil, err
}

// CollectRepo removes a repository that holds nothing. Errors: ErrConflict,
// also where something is in it; ErrNameUnknown. Where several processes share
// the store it stays: its index tells the epoch.
func (r *Registry) CollectRepo(ctx context.Context, repo oci.Repo, at oci.Version) error {
	if r.isShared(repo) {
		return oci.ErrConflict
	}
	done := false
	err := r.collect(ctx, repo, &edit{
		at:    at,
		apply: func(index *oci.Index) (*oci.Index, error) { return index, nil },
		before: func(ctx context.Context) error {
			if done { // and another edit of the same turn has made it anew
				return nil
			}
			err := r.store.DeleteRepo(ctx, repo, at)
			done = err == nil
			return err
		},
	})
	if done {
		return nil
	}
	return err
}

// collect carries out an edit to its end, whatever becomes of ctx: the caller
// wants to know what was done.
func (r *Registry) collect(ctx context.Context, repo oci.Repo, e *edit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.edit(context.WithoutCancel(ctx), repo, e)
}
