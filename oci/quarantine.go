package oci

import "context"

// Quarantiner is what a store may also be that can take damaged content out of
// service. Without it such content is reported and stays where it is.
//
// From QuarantineBlob on, the blob is unknown in every repository that lost
// it, until content of that digest arrives anywhere in the store: then all of
// them have it again, before the call that brought it returns.
type Quarantiner interface {
	// QuarantineBlob takes a blob away that somebody found damaged. The store
	// reads it again, from the medium, and believes nobody: where it is right
	// this time, nothing is changed and the result says so. Otherwise every
	// repository loses it whose copy is the same one; where another copy is
	// right, they get that at once. reason is kept for people. Errors:
	// ErrBlobUnknown where the repository does not hold it (any more).
	QuarantineBlob(ctx context.Context, repo Repo, d Digest, reason string) (Quarantined, error)

	// QuarantineReason tells why a repository lost a blob that it has not got
	// again since; "" where it did not lose it so.
	QuarantineReason(ctx context.Context, repo Repo, d Digest) (string, error)
}

// Quarantined tells what became of a blob that was found damaged.
type Quarantined struct {
	// Sound: it was right when it was read again, and nothing was changed.
	Sound bool
	// Repos are the repositories that lost it, in the order of their names.
	Repos []Repo
	// Healed are those of Repos that have it again, from another copy.
	Healed []Repo
}

// OnceReader is what a store may also be on a medium whose content the
// operating system keeps in memory. See OpenOnce.
type OnceReader interface {
	// OpenOnce opens a blob that is read once, from its beginning to its end,
	// and leaves in memory what was there before, and no more. With fresh the
	// bytes come from the medium, whatever is in memory. The caller closes it.
	// Errors: ErrBlobUnknown.
	OpenOnce(ctx context.Context, repo Repo, d Digest, fresh bool) (Content, error)
}

// OpenOnce is OnceReader.OpenOnce, or OpenBlob of a store that has no such
// memory to spare.
func OpenOnce(ctx context.Context, blobs Blobs, repo Repo, d Digest, fresh bool) (Content, error) {
	if once, ok := blobs.(OnceReader); ok {
		return once.OpenOnce(ctx, repo, d, fresh)
	}
	return blobs.OpenBlob(ctx, repo, d, 0)
}

// UnservedWalker is what a store may also be in which repositories can lie that
// it does not serve, since they are no valid layouts. Without it nothing is
// known of such.
type UnservedWalker interface {
	// WalkUnserved calls fn for every repository that has an index or a
	// layout file and is not served, with the reason, until fn returns an
	// error, which WalkUnserved returns. Its cost is that of WalkRepos.
	WalkUnserved(ctx context.Context, fn func(repo Repo, reason string) error) error
}

// NoteKeeper is what a store may also be that keeps small texts for jobs,
// apart from all content. Without it jobs begin anew after a restart.
type NoteKeeper interface {
	// LoadNote returns a note, nil where there is none or it has more than
	// limit bytes. A name is that of a file, or of one in a directory of its
	// own, such as "scrub/progress.json".
	LoadNote(name string, limit int64) ([]byte, error)

	// SaveNote replaces a note as a whole. It may be lost, with sync not after
	// SaveNote has returned. Errors: ErrReadOnly, ErrStorageFull.
	SaveNote(name string, note []byte, sync bool) error
}
