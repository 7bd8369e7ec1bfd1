package oci

import "context"

// Copies is what a store may also be whose repositories can share the space of
// equal blobs: it tells which blobs share theirs, and makes them. A job over
// it needs no more of the store than this and Repos. Errors are those of Blobs
// where nothing else is said.
type Copies interface {
	Changes

	// WalkCopies calls fn for every blob of a repository, in no certain order,
	// until fn returns an error, which WalkCopies returns. Errors:
	// ErrNameUnknown.
	WalkCopies(ctx context.Context, repo Repo, fn func(Digest, Copy) error) error

	// Relink makes the blob of one repository share the space of another's,
	// and returns how many bytes that freed. At no moment the blob is missing,
	// and who has it open reads on. Errors: ErrBlobUnknown when one of the two
	// does not hold d; ErrDigestInvalid when from's is not what d says,
	// ErrSizeInvalid when it is and to's has another size;
	// errors.ErrUnsupported when the two cannot share, such as at the limit of
	// links; and nothing was changed.
	Relink(ctx context.Context, d Digest, from, to Repo) (freed int64, err error)

	// LoadProgress returns what SaveProgress kept last, nil where it kept
	// nothing.
	LoadProgress() ([]byte, error)

	// SaveProgress keeps a few bytes across restarts, for the job. They may be
	// lost.
	SaveProgress(progress []byte) error
}

// Copy is one blob of a repository as it lies on the medium.
type Copy struct {
	Size int64 // bytes
	// Device and Inode are equal for blobs that share their space.
	Device, Inode uint64
	Links         uint64 // how many names share it, of any kind
}
