package registry

import (
	"context"
	"errors"

	"berth/oci"
)

// DeleteManifest removes a tag, or a manifest with all its tags (end-9).
// Errors: ErrManifestUnknown, ErrNameUnknown.
func (r *Registry) DeleteManifest(ctx context.Context, repo oci.Repo, ref oci.Reference) error {
	s, err := r.load(ctx, repo)
	if err != nil {
		return err
	}
	defer r.wrote()
	if ref.Digest == "" {
		return r.deleteTag(ctx, repo, ref)
	}
	key := blobKey{repo, ref.Digest}.owned()
	child := false // named by an image index only
	if s.index.Named(ref.Digest) == nil {
		if _, err := r.child(ctx, repo, s, ref); err != nil {
			return err
		}
		child = true
	}
	if r.isShared(repo) {
		return r.deleteShared(ctx, key, child)
	}
	return r.edit(ctx, repo, &edit{
		apply: func(index *oci.Index) (*oci.Index, error) {
			if !child && index.Named(ref.Digest) == nil {
				return nil, unknown(repo, ref)
			}
			return index.DeleteManifest(ref.Digest), nil
		},
		after: func(ctx context.Context, now *oci.Index) error {
			err := r.remove(ctx, key, now)
			switch {
			case !isUnknown(err):
				return err
			case child:
				return unknown(repo, ref)
			}
			return nil // an index may name what is not there
		},
	})
}

func (r *Registry) deleteTag(ctx context.Context, repo oci.Repo, ref oci.Reference) error {
	return r.edit(ctx, repo, &edit{
		apply: func(index *oci.Index) (*oci.Index, error) {
			r.rememberMoved(repo, "", index, []oci.Tag{ref.Tag})
			next := index.DeleteTag(ref.Tag)
			if next == index {
				return nil, unknown(repo, ref)
			}
			return next, nil
		},
	})
}

// Expiry is tags of one manifest that are to go.
type Expiry struct {
	Digest oci.Digest
	Tags   []oci.Tag
	// Still is asked for each tag when no push can come in between any more;
	// a tag for which it is false stays. nil: all go.
	Still func(oci.Tag) bool
}

// Expire removes tags that name a manifest still, all in one edit, and returns
// those that it removed. The manifest stays, by its digest. Errors:
// ErrNameUnknown.
func (r *Registry) Expire(ctx context.Context, repo oci.Repo, x Expiry) (removed []oci.Tag, err error) {
	if _, err := r.load(ctx, repo); err != nil {
		return nil, err
	}
	defer r.wrote()
	var gone []oci.Tag // the leader's until the edit is over
	err = r.edit(ctx, repo, &edit{
		apply: func(index *oci.Index) (*oci.Index, error) {
			gone = nil
			for _, t := range x.Tags {
				e := index.Tagged(t)
				if e != nil && e.Digest == x.Digest && (x.Still == nil || x.Still(t)) {
					index = index.DeleteTag(t)
					gone = append(gone, t)
				}
			}
			return index, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// DeleteBlob removes a blob from a repository (end-10). A manifest that the
// index names is not a blob in this sense: ErrUnsupported says to delete it as a
// manifest. Errors: ErrBlobUnknown, ErrUnsupported.
func (r *Registry) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	// Checked first, so that a request for nothing waits for nobody.
	if _, err := r.store.StatBlob(ctx, repo, d); err != nil {
		return asBlobUnknown(err)
	}
	defer r.wrote()
	key := blobKey{repo, d}.owned()
	if r.isShared(repo) {
		return asBlobUnknown(r.deleteSharedBlob(ctx, key))
	}
	return asBlobUnknown(r.edit(ctx, repo, &edit{
		apply: func(index *oci.Index) (*oci.Index, error) {
			return index, notManifest(index, key)
		},
		after: func(ctx context.Context, now *oci.Index) error {
			return r.remove(ctx, key, now)
		},
	}))
}

// notManifest: what the index names is deleted as a manifest.
func notManifest(index *oci.Index, key blobKey) error {
	if index.Named(key.digest) == nil {
		return nil
	}
	return oci.Errorf(oci.ErrUnsupported, "%s is a manifest of repository %s; delete it as a manifest, at /v2/%s/manifests/%s", key.digest, key.repo, key.repo, key.digest)
}

// asBlobUnknown makes the absence of a repository that of its blobs.
func asBlobUnknown(err error) error {
	if errors.Is(err, oci.ErrNameUnknown) {
		return oci.ErrBlobUnknown
	}
	return err
}
