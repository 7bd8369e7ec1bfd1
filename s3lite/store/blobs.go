package store

import (
	"context"
	"hash/fnv"
	"strconv"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// smallBlob is the size in bytes up to which content lies in each repository as
// it is: a reference would save nothing and cost a request.
const smallBlob = 64 << 10

// The metadata of a reference. The key is without the root, so that a bucket
// can be copied to another.
const (
	metaContent = "berth-content"
	metaSize    = "berth-size"
)

// blobID is a blob of a repository.
type blobID struct {
	repo   oci.Repo
	digest oci.Digest
}

// holding is how a repository holds a blob: as an object of its own, as a
// reference to shared content, or by something else's word (foreign.go).
type holding struct {
	size     int64
	modified time.Time
	etag     string
	shared   bool
	foreign  bool
}

func (h holding) info(d oci.Digest) oci.BlobInfo {
	info := oci.BlobInfo{Size: h.size, Modified: h.modified}
	if h.shared {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(d))
		info.Copy = max(hash.Sum64(), 1)
	}
	return info
}

// isEmpty tells whether a digest is that of no content.
func isEmpty(d oci.Digest) bool { return d == d.Algorithm().FromString("") }

// holdingOf reads what an object at a blob's key stands for.
func (s *Store) holdingOf(info s3lite.Info, d oci.Digest) holding {
	h := holding{size: info.Size, modified: info.Modified, etag: info.ETag}
	if info.Size > 0 || isEmpty(d) {
		return h
	}
	size, err := strconv.ParseInt(info.Metadata[metaSize], 10, 64)
	if err != nil || size <= 0 || s.keys.root+info.Metadata[metaContent] != s.keys.content(d) {
		h.foreign = true
		return h
	}
	h.size, h.shared = size, true
	return h
}

// look asks how a repository holds a blob. Errors: ErrBlobUnknown.
func (s *Store) look(ctx context.Context, repo oci.Repo, d oci.Digest) (holding, error) {
	info, err := s.client.HeadObject(ctx, s.keys.blob(repo, d), s3lite.GetOptions{})
	if err != nil {
		return holding{}, missing(err, oci.ErrBlobUnknown)
	}
	h := s.holdingOf(info, d)
	if h.shared {
		s.refs.put(blobID{repo, d}, h)
	}
	return h, nil
}

// StatBlob is oci.Blobs.StatBlob: one HEAD.
func (s *Store) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	h, err := s.look(ctx, repo, d)
	if err != nil {
		return oci.BlobInfo{}, err
	}
	if h.foreign {
		at, err := s.locate(ctx, d)
		if err != nil {
			return oci.BlobInfo{}, err
		}
		h.size = at.size
	}
	return h.info(d), nil
}

// PutBlob is oci.Blobs.PutBlob: one PUT. To repeat it changes nothing.
func (s *Store) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	body := s3lite.Bytes(content)
	if body.SHA256 == "" && d.Algorithm() == oci.SHA256 {
		body = body.WithSHA256(d.Encoded())
	}
	if _, err := s.client.PutObject(ctx, s.keys.blob(repo, d), body, s3lite.PutOptions{}); err != nil {
		return asStored(err)
	}
	s.refs.drop(blobID{repo, d})
	s.arrived(d)
	return s.ensure(ctx, repo)
}

// LinkBlob is oci.Blobs.LinkBlob: another reference, or a copy that the bucket
// makes by itself.
func (s *Store) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	h, err := s.look(ctx, from, d)
	if err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	source := place{key: s.keys.blob(from, d), size: h.size, etag: h.etag}
	switch {
	case h.shared:
		source = place{key: s.keys.content(d), size: h.size}
	case h.foreign:
		if source, err = s.locate(ctx, d); err != nil {
			return err
		}
	}
	if err := s.give(ctx, to, d, source); err != nil {
		return missing(err, oci.ErrBlobUnknown)
	}
	s.arrived(d)
	return s.ensure(ctx, to)
}

// DeleteBlob is oci.Blobs.DeleteBlob. What else refers to the content keeps it.
func (s *Store) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	h, err := s.look(ctx, repo, d)
	if err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.keepForOthers(ctx, repo, d, h); err != nil {
		return err
	}
	if h.foreign {
		// What stands for content that is nowhere may be healed yet.
		if _, err := s.locate(ctx, d); err != nil {
			return err
		}
	}
	s.refs.drop(blobID{repo, d})
	err = s.client.DeleteObject(ctx, s.keys.blob(repo, d), "")
	s.refs.drop(blobID{repo, d})
	return asStored(err)
}

// DiscardBlob is oci.Discarder.DiscardBlob: one request, which does not tell
// whether there was anything.
func (s *Store) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.about.Load().Foreign {
		return s.DeleteBlob(ctx, repo, d)
	}
	s.refs.drop(blobID{repo, d})
	err := s.client.DeleteObject(ctx, s.keys.blob(repo, d), "")
	s.refs.drop(blobID{repo, d})
	return asStored(err)
}
