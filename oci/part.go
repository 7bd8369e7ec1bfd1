package oci

import "context"

// PartOpener is what a store may also be where it costs a request to open a
// blob, and another one to seek in it. Without it blobs are opened whole.
type PartOpener interface {
	// OpenBlobPart is OpenBlob for who is about to read length bytes from an
	// offset on: 0 for all to the end. An offset below zero is that many bytes
	// before the end. What is opened is the whole blob, wherever it stands: the
	// caller seeks to the part, and may read and seek beyond it. Errors:
	// ErrBlobUnknown.
	OpenBlobPart(ctx context.Context, repo Repo, d Digest, offset, length int64) (Content, error)
}

// OpenBlobPart is PartOpener.OpenBlobPart where the store is one, and OpenBlob
// of any other.
func OpenBlobPart(ctx context.Context, blobs Blobs, repo Repo, d Digest, offset, length int64) (Content, error) {
	if p, ok := blobs.(PartOpener); ok {
		return p.OpenBlobPart(ctx, repo, d, offset, length)
	}
	return blobs.OpenBlob(ctx, repo, d, 0)
}
