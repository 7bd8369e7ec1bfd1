package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"berth/oci"
	"berth/s3lite"
)

var (
	_ oci.BlobLister = (*Store)(nil)
	_ oci.Changes    = (*Store)(nil)
)

// errEnough ends a walk.
var errEnough = errors.New("enough")

// listed is a blob that a list tells of.
type listed struct {
	holding
	digest oci.Digest
	gone   bool
}

// asking is how many requests a walk has under way.
const asking = 8

// WalkBlobs is oci.Blobs.WalkBlobs: two lists, and for references whose size is not
// known yet, lists of shared content and a HEAD for each that these do not tell of,
// a few of them at a time. Pages of the lists are in memory, and no more.
func (s *Store) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return s.walkBlobs(ctx, repo, func(page []listed) error {
		if err := s.describe(ctx, repo, page); err != nil {
			return err
		}
		for _, b := range page {
			if b.gone {
				continue
			}
			if err := fn(b.digest, b.info(b.digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListBlobs is oci.BlobLister.ListBlobs: two lists. A list has no metadata, so
// what is a reference, and what another registry left, look the same.
func (s *Store) ListBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return s.walkBlobs(ctx, repo, func(page []listed) error {
		for _, b := range page {
			if err := fn(b.digest, oci.BlobInfo{Size: b.size, Modified: b.modified}); err != nil {
				return err
			}
		}
		return nil
	})
}

// walkBlobs lists a repository's blobs, a page at a time. Errors:
// ErrNameUnknown.
func (s *Store) walkBlobs(ctx context.Context, repo oci.Repo, fn func([]listed) error) error {
	found := false
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		prefix := s.keys.blobs(repo, a)
		o := s3lite.ListOptions{Prefix: prefix, Delimiter: "/"}
		for more := true; more; more = o.Token != "" {
			page, err := s.client.ListObjects(ctx, o)
			if err != nil {
				return asStored(err)
			}
			o.Token = page.Next
			var all []listed
			for _, object := range page.Objects {
				d, err := oci.ParseDigest(string(a) + ":" + object.Key[len(prefix):])
				if err == nil {
					all = append(all, listed{holding: s.holdingOf(object, d), digest: d})
				}
			}
			found = found || len(all) > 0
			if err := fn(all); err != nil {
				return err
			}
		}
	}
	if found {
		return nil
	}
	there, err := s.exists(ctx, repo)
	if err == nil && !there {
		return oci.ErrNameUnknown
	}
	return err
}

// describe finds out what a list does not tell: what has no bytes may be a
// reference, or stand for content elsewhere. all are of one algorithm.
func (s *Store) describe(ctx context.Context, repo oci.Repo, all []listed) error {
	unknown := map[oci.Digest]*listed{}
	for i := range all {
		b := &all[i]
		if !b.foreign {
			continue
		}
		if h, ok := s.refs.get(blobID{repo, b.digest}); ok && h.etag == b.etag && h.modified.Equal(b.modified.Truncate(time.Second)) {
			b.holding = h
			continue
		}
		unknown[b.digest] = b
	}
	if err := s.describeShared(ctx, unknown); err != nil {
		return err
	}
	rest := slices.Collect(maps.Values(unknown))
	return parallel(ctx, asking, len(rest), func(ctx context.Context, i int) error {
		return s.describeOne(ctx, repo, rest[i])
	})
}

// headsPerList is how many HEADs are worth a list, which costs more.
const headsPerList = 16

// describeShared is describe by lists of shared content, as far as they take fewer
// requests: whatever has no bytes stands for the content of its digest, and how
// much that has does not change. It takes out of unknown what it has found.
func (s *Store) describeShared(ctx context.Context, unknown map[oci.Digest]*listed) error {
	if len(unknown) < headsPerList {
		return nil
	}
	digests := slices.Sorted(maps.Keys(unknown))
	first, last := s.keys.content(digests[0]), s.keys.content(digests[len(digests)-1])
	dir := first[:len(first)-len(digests[0].Encoded())]
	o := s3lite.ListOptions{Prefix: dir, StartAfter: first[:len(first)-1]}
	for range len(unknown) / headsPerList {
		page, err := s.client.ListObjects(ctx, o)
		if err != nil {
			return asStored(err)
		}
		for _, object := range page.Objects {
			d, ok := parseDigest(object.Key, s.keys.contents())
			if b := unknown[d]; ok && b != nil && object.Size > 0 {
				b.size, b.shared, b.foreign = object.Size, true, false
				delete(unknown, d)
			}
		}
		o.Token = page.Next
		if n := len(page.Objects); o.Token == "" || n > 0 && page.Objects[n-1].Key >= last {
			return nil
		}
	}
	return nil
}

// describeOne is describe by a HEAD.
func (s *Store) describeOne(ctx context.Context, repo oci.Repo, b *listed) error {
	h, err := s.look(ctx, repo, b.digest)
	if err == nil && h.foreign {
		var at place
		at, err = s.locate(ctx, b.digest)
		h.size = at.size
	}
	b.holding, b.gone = h, errors.Is(err, oci.ErrBlobUnknown)
	if b.gone {
		return nil
	}
	return err
}

// BlobsChanged is oci.Changes.BlobsChanged: two lists and a HEAD. What comes
// has a time of its own; what goes is announced in the index before.
func (s *Store) BlobsChanged(ctx context.Context, repo oci.Repo) (time.Time, error) {
	info, err := s.client.HeadObject(ctx, s.keys.index(repo), s3lite.GetOptions{})
	if err == nil && info.Size == 0 {
		err = oci.ErrNameUnknown
	}
	if err != nil {
		return time.Time{}, missing(err, oci.ErrNameUnknown)
	}
	at := info.Modified
	err = s.walkBlobs(ctx, repo, func(page []listed) error {
		for _, b := range page {
			if b.modified.After(at) {
				at = b.modified
			}
		}
		return nil
	})
	return at, err
}
