package oci

import (
	"context"
	"errors"
)

// ErrNoHint: the dedupe index cannot be asked now (it is closed for good,
// being wiped, locked by another process, refused on this platform, or out of
// disk space). The caller goes on as if it held nothing. It never reaches a
// client.
var ErrNoHint = errors.New("the dedupe index is not available")

// Locations is the dedupe index: which repositories were said to hold a blob.
//
// It is a hint and nothing else. An entry that is missing means "look", never
// "not found"; an entry that is there must be tried before it is believed
// (the repository may have lost the blob since, and the caller then calls
// Remove). Nothing is ever deleted on its word, and to lose it whole
// costs space only. Entries are made and dropped one digest at a time, so
// that a key-value service with single-item reads, updates and deletes can
// provide it.
//
// Every method may return ErrNoHint or the context's error, and no other.
// A provider is safe for concurrent use.
type Locations interface {
	// Holders returns up to most repositories (all that are known where most
	// is 0 or less) that were said to hold d, the latest last as far
	// as the provider knows. None, with a nil error, means that nothing is known.
	Holders(ctx context.Context, d Digest, most int) ([]Repo, error)

	// Add notes that repositories hold d. A provider keeps only so
	// many of them, may drop a note, and may make it lasting after it returns;
	// Holders of the same provider sees it at once.
	Add(ctx context.Context, d Digest, repos ...Repo) error

	// Remove forgets that a repository holds d. To forget what is not
	// known succeeds.
	Remove(ctx context.Context, d Digest, repo Repo) error

	// Count tells for how many digests repositories are known. What was
	// added or removed just before may be missing from it.
	Count(ctx context.Context) (int64, error)
}

// LocationsRebuild is what a rebuild of the dedupe index needs: a walk over
// every repository first calls Reset where stale entries are to go,
// then adds what it finds, and calls SetComplete at its end. Errors are
// those of Locations.
type LocationsRebuild interface {
	// Reset forgets everything, the mark of completeness included.
	Reset(ctx context.Context) error

	// Complete tells whether a walk over everything has ended since
	// the last reset, and no note has been dropped after it.
	Complete(ctx context.Context) (bool, error)

	// SetComplete sets that mark once everything added before it lasts.
	SetComplete(ctx context.Context) error
}
