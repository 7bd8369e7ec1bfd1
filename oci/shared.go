package oci

import (
	"context"
	"time"
)

// Shared is what a store may also be that several processes write to at once,
// none of which knows of the others. What one of them keeps in its memory then
// protects nothing: content is deleted only after the index has announced it
// (Index.Condemn), and with an end. Without it one process has the store.
//
// Such a store tells ages so that a process which collects sees what others use:
// content that comes again is as young as what comes first (BlobInfo.Modified),
// and a session to which bytes come is, within a few minutes, as young as the last
// of them, also while the request goes on (UploadInfo.Modified). And what StatBlob
// tells is so now, whatever the process has seen before.
type Shared interface {
	// Shared tells whether that is so of the store that has a repository, and
	// how late a deletion may take effect at most, after the end that it was
	// given.
	Shared(repo Repo) (late time.Duration, shared bool)

	// PrepareDeletion does what takes long of a deletion and harms nobody, while
	// nothing is announced yet, and returns the end of a time that begins with its
	// return, for DeleteBlobsBefore. That is told by the store's clock: that of the
	// process may stand meanwhile, as when its machine sleeps.
	PrepareDeletion(ctx context.Context, repo Repo, blobs []Digest, within time.Duration) (end time.Time, err error)

	// DeleteBlobsBefore deletes blobs from one repository, whether they are
	// there or not. end is of PrepareDeletion for the same blobs: whatever is answered, and whatever
	// becomes of the process, no blob is deleted later than Shared tells after
	// that. nil says that all are gone and that nothing of it is under way any
	// more; after an error, any of them may be deleted until then.
	DeleteBlobsBefore(ctx context.Context, repo Repo, blobs []Digest, end time.Time) error
}

// Clock is what a store may also be that dates what it stores by another clock
// than the process's. Without it the process's clock is held to be the same.
type Clock interface {
	// StoreTime is the present time by the clock of BlobInfo.Modified and
	// UploadInfo.Modified.
	StoreTime(ctx context.Context) (time.Time, error)
}

// Leaser is what a store may also be where processes can agree on which of them
// does something. No content depends on a lease: it spares work that several
// would do at once. Without it everybody does it.
type Leaser interface {
	// Lease takes a lease for a term, from the call on. One that another has
	// is taken over when it was not renewed for its term, as seen by this
	// process on its own clock: so it had to look before, by this method, and
	// no clocks are compared. A name is that of a file. Errors: ErrConflict
	// when another has it.
	Lease(ctx context.Context, name string, term time.Duration) (Lease, error)
}

// Lease is one that was taken. It is safe for concurrent use.
type Lease interface {
	// Renew lengthens the lease to its term from the call on. Errors:
	// ErrConflict when it was lost.
	Renew(ctx context.Context) error

	// Lost tells whether another may have it by now: it was not renewed for
	// its term, or was found to be another's. Once lost it stays so.
	Lost() bool

	// Release gives the lease back, so that another need not wait for the
	// term. To release one that was lost succeeds.
	Release(ctx context.Context) error
}
