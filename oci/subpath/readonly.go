package subpath

import (
	"context"
	"io"

	"berth/oci"
)

// ReadOnly decorates a store so that every write fails with ErrReadOnly
// without reaching it, and no upload session exists.
func ReadOnly(store oci.Store) oci.Store {
	return &readOnly{Reader: store, Indexes: store, Repos: store, store: store}
}

// Reader is the part of oci.Blobs that reads.
type Reader interface {
	StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error)
	OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error)
	WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error
}

type readOnly struct {
	Reader
	oci.Indexes
	oci.Repos
	NoWrites
	store oci.Store
}

var (
	_ oci.Store      = (*readOnly)(nil)
	_ oci.Redirector = (*readOnly)(nil)
	_ oci.PartOpener = (*readOnly)(nil)
)

// SwapIndex implements oci.Indexes.
func (s *readOnly) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	return s.NoWrites.SwapIndex(ctx, repo, old, index)
}

// DeleteRepo implements oci.Repos.
func (s *readOnly) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	return s.NoWrites.DeleteRepo(ctx, repo, old)
}

// OpenBlobPart implements oci.PartOpener where the store does.
func (s *readOnly) OpenBlobPart(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (oci.Content, error) {
	return oci.OpenBlobPart(ctx, s.store, repo, d, offset, length)
}

// RedirectBlob implements oci.Redirector where the store does.
func (s *readOnly) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	return oci.RedirectBlob(ctx, s.store, repo, d)
}

// Close closes the store, where it can be closed.
func (s *readOnly) Close() error { return closeStore(s.store) }

// NoWrites is every method of oci.Store that writes, refused with
// ErrReadOnly, and upload sessions of which there are none. A store that only
// reads embeds it.
type NoWrites struct{}

// PutBlob implements oci.Blobs.
func (NoWrites) PutBlob(context.Context, oci.Repo, oci.Digest, []byte) error { return oci.ErrReadOnly }

// LinkBlob implements oci.Blobs.
func (NoWrites) LinkBlob(context.Context, oci.Repo, oci.Repo, oci.Digest) error {
	return oci.ErrReadOnly
}

// DeleteBlob implements oci.Blobs.
func (NoWrites) DeleteBlob(context.Context, oci.Repo, oci.Digest) error { return oci.ErrReadOnly }

// CreateUpload implements oci.Uploads.
func (NoWrites) CreateUpload(context.Context, oci.Repo, oci.Algorithm) (oci.UploadID, error) {
	return "", oci.ErrReadOnly
}

// StatUpload implements oci.Uploads.
func (NoWrites) StatUpload(context.Context, oci.Repo, oci.UploadID) (oci.UploadInfo, error) {
	return oci.UploadInfo{}, oci.ErrUploadUnknown
}

// AppendUpload implements oci.Uploads.
func (NoWrites) AppendUpload(context.Context, oci.Repo, oci.UploadID, int64, io.Reader) (int64, error) {
	return 0, oci.ErrReadOnly
}

// FinishUpload implements oci.Uploads.
func (NoWrites) FinishUpload(context.Context, oci.Repo, oci.UploadID, oci.Digest, int64, io.Reader) (int64, error) {
	return 0, oci.ErrReadOnly
}

// CancelUpload implements oci.Uploads.
func (NoWrites) CancelUpload(context.Context, oci.Repo, oci.UploadID) error {
	return oci.ErrUploadUnknown
}

// WalkUploads implements oci.Uploads.
func (NoWrites) WalkUploads(context.Context, func(oci.UploadInfo) error) error { return nil }

// SwapIndex implements oci.Indexes.
func (NoWrites) SwapIndex(context.Context, oci.Repo, oci.Version, []byte) (oci.Version, error) {
	return "", oci.ErrReadOnly
}

// DeleteRepo implements oci.Repos.
func (NoWrites) DeleteRepo(context.Context, oci.Repo, oci.Version) error { return oci.ErrReadOnly }

// nothing is an empty store.
type nothing struct {
	NoWrites
	_ byte // so that two of them are never equal
}

var _ oci.Store = (*nothing)(nil)

func (*nothing) StatBlob(context.Context, oci.Repo, oci.Digest) (oci.BlobInfo, error) {
	return oci.BlobInfo{}, oci.ErrBlobUnknown
}

func (*nothing) OpenBlob(context.Context, oci.Repo, oci.Digest, int64) (oci.Content, error) {
	return nil, oci.ErrBlobUnknown
}

func (*nothing) WalkBlobs(context.Context, oci.Repo, func(oci.Digest, oci.BlobInfo) error) error {
	return oci.ErrNameUnknown
}

func (*nothing) LoadIndex(context.Context, oci.Repo, oci.Version) ([]byte, oci.Version, error) {
	return nil, "", oci.ErrNameUnknown
}

func (*nothing) WalkRepos(context.Context, oci.Repo, func(oci.Repo) error) error { return nil }

// closeStore closes a store that can be closed.
func closeStore(s oci.Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
