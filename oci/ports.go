package oci

import (
	"context"
	"io"
	"time"
)

// Store is everything that oci/registry needs of a place that keeps
// repositories. Content is immutable and named by digest; a repository's index
// is the only record that changes, and changes by compare-and-swap.
//
// Every method may also return ErrUnavailable (the medium is missing), and an
// error that wraps no kind of this package for an I/O failure; methods that
// write may return ErrReadOnly and ErrStorageFull, and then have changed
// nothing that a reader can see. A store is safe for concurrent use.
type Store interface {
	Blobs
	Uploads
	Indexes
	Repos
}

// Blobs is the content of repositories.
//
// When a method that writes returns nil and the store commits, what it wrote
// survives a power cut. A blob is visible whole or not at all.
type Blobs interface {
	// StatBlob tells a blob's size and age. Errors: ErrBlobUnknown, also where
	// the repository does not exist.
	StatBlob(ctx context.Context, repo Repo, d Digest) (BlobInfo, error)

	// OpenBlob opens a blob for reading at an offset in bytes; an offset beyond
	// the end opens at the end. The caller closes it. Errors: ErrBlobUnknown.
	OpenBlob(ctx context.Context, repo Repo, d Digest, offset int64) (Content, error)

	// PutBlob stores small content (a manifest) that the caller has verified
	// against d, and creates the repository where needed. To store what is
	// there already succeeds.
	PutBlob(ctx context.Context, repo Repo, d Digest, content []byte) error

	// LinkBlob makes a blob of one repository appear in another, which it
	// creates where needed. Errors: ErrBlobUnknown when from does not hold d.
	LinkBlob(ctx context.Context, from, to Repo, d Digest) error

	// DeleteBlob removes a blob from one repository; others keep theirs.
	// Errors: ErrBlobUnknown.
	DeleteBlob(ctx context.Context, repo Repo, d Digest) error

	// WalkBlobs calls fn for every blob of a repository, in no certain order,
	// until fn returns an error, which WalkBlobs returns. Errors: ErrNameUnknown.
	WalkBlobs(ctx context.Context, repo Repo, fn func(Digest, BlobInfo) error) error
}

// BlobInfo describes stored content.
type BlobInfo struct {
	Size     int64     // bytes
	Modified time.Time // when it came into the repository, at the earliest
	// Copy is the same number, not zero, for names that share their bytes; 0:
	// not known.
	Copy uint64
	// Links is how many names share the bytes, of any kind; 0: not known.
	// What is deleted frees its bytes with the last.
	Links uint64
}

// Content is an open blob. A store on a file system may offer more, which the
// HTTP layer uses to send it by sendfile(2).
type Content interface {
	io.ReadSeekCloser
	Info() BlobInfo
}

// Remaining is what a body reader may also be: it tells how many bytes are
// still to come, or -1 where that is not known (a chunked body). A store uses
// it to refuse early what cannot fit. Without it nothing is known.
type Remaining interface {
	Remaining() int64
}

// AtEnd, as an upload's offset, means wherever the upload ends now.
const AtEnd int64 = -1

// UploadPatience is how long a request waits for another one that writes to
// the same session.
const UploadPatience = 2 * time.Second

// Uploads is the blob upload sessions. They survive a restart. A session
// belongs to the repository it was created for and is unknown to others.
//
// One request writes to a session at a time. A second one waits for it, for
// UploadPatience at most and no longer than its context lasts, and then fails
// with ErrRangeInvalid: a client whose connection was cut may be back before
// the request that it lost has ended.
type Uploads interface {
	// CreateUpload begins a session whose content will be hashed by algorithm
	// while it arrives. It does not make the repository visible.
	CreateUpload(ctx context.Context, repo Repo, algorithm Algorithm) (UploadID, error)

	// StatUpload tells what has arrived. Errors: ErrUploadUnknown.
	StatUpload(ctx context.Context, repo Repo, id UploadID) (UploadInfo, error)

	// AppendUpload adds what r yields at offset at, which must be the
	// session's present size or AtEnd, and returns the new size. When r fails,
	// what had arrived is kept and the error is returned with the new size.
	// Errors: ErrUploadUnknown, ErrRangeInvalid.
	AppendUpload(ctx context.Context, repo Repo, id UploadID, at int64, r io.Reader) (size int64, err error)

	// FinishUpload appends what r yields (r may be nil), checks the whole
	// against d, which may be of another algorithm than the session's, makes
	// it a blob of the repository, which it creates where needed, and ends the
	// session. It returns the blob's size. When r fails, what had arrived is
	// kept; when the digest does not match, the session is as it was before
	// the call. Errors: ErrUploadUnknown, ErrRangeInvalid, ErrDigestInvalid.
	FinishUpload(ctx context.Context, repo Repo, id UploadID, d Digest, at int64, r io.Reader) (size int64, err error)

	// CancelUpload ends a session and frees its space. Errors: ErrUploadUnknown.
	CancelUpload(ctx context.Context, repo Repo, id UploadID) error

	// WalkUploads calls fn for every session of the store until fn returns an
	// error, which WalkUploads returns.
	WalkUploads(ctx context.Context, fn func(UploadInfo) error) error
}

// UploadInfo describes a blob upload session.
type UploadInfo struct {
	ID       UploadID
	Repo     Repo      // that the session was created for
	Size     int64     // bytes that have arrived
	Modified time.Time // when the last of them did
}

// Version identifies one state of a repository's index, opaque to all but its
// store: two that differ have different versions, and equal ones may have the
// same. The zero Version stands for a repository that does not exist.
type Version string

// Indexes is the index.json of every repository (image-spec, Image Layout).
type Indexes interface {
	// LoadIndex returns the index's bytes and version, or nil bytes where the
	// version is still have: a caller that keeps a parsed index asks so
	// whether it is current. Errors: ErrNameUnknown.
	LoadIndex(ctx context.Context, repo Repo, have Version) ([]byte, Version, error)

	// SwapIndex replaces the index if its version is still old, and returns
	// the new one. The zero Version creates the repository; where it exists
	// with an index, that is a conflict. Errors: ErrConflict, and then nothing
	// was changed.
	SwapIndex(ctx context.Context, repo Repo, old Version, index []byte) (Version, error)
}

// Repos is the set of repositories.
type Repos interface {
	// WalkRepos calls fn for every repository whose name sorts after the given
	// one (byte order; "" is before all), in that order, until fn returns an
	// error, which WalkRepos returns. Its cost is what it passes over, not the
	// size of the store.
	WalkRepos(ctx context.Context, after Repo, fn func(Repo) error) error

	// DeleteRepo removes a repository that holds nothing: no blob, no upload
	// session, and no entry in its index, whose version is still old. What
	// comes into it meanwhile either makes it fail, or finds it gone and makes
	// it anew. Errors: ErrNameUnknown; ErrConflict where the index has another
	// version or there is something in the repository, and then nothing was
	// changed.
	DeleteRepo(ctx context.Context, repo Repo, old Version) error
}

// Changes is what a store may also be: it tells whether it is worth while to
// look through a repository's blobs again. Without it nobody knows.
type Changes interface {
	// BlobsChanged tells when a blob last came into a repository, or left it,
	// by whomever. It may be too late, and too early by a few seconds. Errors:
	// ErrNameUnknown.
	BlobsChanged(ctx context.Context, repo Repo) (time.Time, error)
}

// BlobLister is what a store may also be that has to ask for the size of each
// blob, where their names and ages come many at a time. See ListBlobs.
type BlobLister interface {
	// ListBlobs is WalkBlobs but for the size: it is how many bytes go with the
	// blob, none where these are shared with others or cannot be had.
	ListBlobs(ctx context.Context, repo Repo, fn func(Digest, BlobInfo) error) error
}

// ListBlobs is BlobLister.ListBlobs where the store is one, and WalkBlobs of any
// other.
func ListBlobs(ctx context.Context, blobs Blobs, repo Repo, fn func(Digest, BlobInfo) error) error {
	if l, ok := blobs.(BlobLister); ok {
		return l.ListBlobs(ctx, repo, fn)
	}
	return blobs.WalkBlobs(ctx, repo, fn)
}

// Discarder is what a store may also be that can delete blobs with less care,
// and so with fewer writes to the medium. Without it DeleteBlob does.
type Discarder interface {
	// DiscardBlob is DeleteBlob for content that nobody needs: a power cut may
	// undo it.
	DiscardBlob(ctx context.Context, repo Repo, d Digest) error
}

// Leftovers is what a store may also be that keeps files of which the other
// ports tell nothing. Without it there are none.
type Leftovers interface {
	// RemoveLeftovers removes what processes before this one left unfinished
	// and nobody can use any more, and calls fn for each with a name and its
	// size in bytes; dry, it only tells. Errors: those of fn.
	RemoveLeftovers(ctx context.Context, dry bool, fn func(name string, size int64) error) error
}
