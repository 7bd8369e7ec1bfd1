package budget

import (
	"context"
	"errors"
	"io"
	"time"

	"berth/oci"
)

// Wrap decorates a store so that what is written is counted, and refused with
// ErrStorageFull where it does not fit. What the store can beside oci.Store stays:
// Copies where it has them, and links to foreign content.
func Wrap(s oci.Store, l *Ledger) oci.Store {
	own := &store{Store: s, ledger: l}
	if c, ok := s.(oci.Copies); ok {
		return &withCopies{store: own, Copies: c}
	}
	return own
}

type store struct {
	oci.Store
	ledger *Ledger
}

type withCopies struct {
	*store
	oci.Copies
}

var (
	_ oci.Store  = (*store)(nil)
	_ oci.Store  = (*withCopies)(nil)
	_ oci.Copies = (*withCopies)(nil)

	_ oci.Discarder  = (*store)(nil)
	_ oci.Redirector = (*store)(nil)
	_ oci.PartOpener = (*store)(nil)
	_ oci.Shared     = (*store)(nil)
)

// Close closes the store, where it can be closed.
func (s *store) Close() error {
	if c, ok := s.Store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// exactly needs n bytes of every limit.
func exactly(n int64) func(*account) int64 { return func(*account) int64 { return n } }

// holds tells whether a repository has a blob already, so that it takes no room.
func (s *store) holds(ctx context.Context, repo oci.Repo, d oci.Digest) bool {
	_, err := s.Store.StatBlob(ctx, repo, d)
	return err == nil
}

// added is how many bytes a blob that came into a repository takes of a limit:
// none where it shares those of one that was counted.
func (s *store) added(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) func(*account) int64 {
	info, err := s.Store.StatBlob(ctx, repo, d)
	shared := err == nil && info.Links > 1
	return func(a *account) int64 {
		if shared && a.Whole {
			return 0
		}
		return size
	}
}

// PutBlob implements oci.Blobs.
func (s *store) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	if !s.ledger.Covers(repo) || s.holds(ctx, repo, d) {
		return s.Store.PutBlob(ctx, repo, d, content)
	}
	size := int64(len(content))
	return s.take(ctx, repo, d, size, exactly(size), func() error { return s.Store.PutBlob(ctx, repo, d, content) })
}

// take runs what brings a blob into a repository.
func (s *store) take(ctx context.Context, repo oci.Repo, d oci.Digest, size int64, need func(*account) int64, do func() error) error {
	r, err := s.ledger.reserve(ctx, repo, need)
	if err != nil {
		return err
	}
	if err = do(); err != nil {
		r.settle(exactly(0))
		return err
	}
	r.settle(s.added(ctx, repo, d, size))
	return nil
}

// LinkBlob implements oci.Blobs. A link within what a limit covers as a whole
// takes nothing of it; a copy, where there are no links, is counted.
func (s *store) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	link := func() error { return s.Store.LinkBlob(ctx, from, to, d) }
	if !s.ledger.Covers(to) || s.holds(ctx, to, d) {
		return link()
	}
	info, err := s.Store.StatBlob(ctx, from, d)
	if err != nil {
		return link() // which says what is the matter
	}
	return s.take(ctx, to, d, info.Size, func(a *account) int64 {
		if a.Whole && a.Limit.Covers(from) {
			return 0
		}
		return info.Size
	}, link)
}

// LinkFrom is subpath.ForeignLinker's.
func (s *store) LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	linker, ok := s.Store.(interface {
		LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error
	})
	if !ok {
		return errors.ErrUnsupported
	}
	link := func() error { return linker.LinkFrom(ctx, to, d, from) }
	if !s.ledger.Covers(to) || s.holds(ctx, to, d) {
		return link()
	}
	size := from.Info().Size
	return s.take(ctx, to, d, size, exactly(size), link)
}

// DeleteBlob implements oci.Blobs.
func (s *store) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return s.remove(ctx, repo, d, s.Store.DeleteBlob)
}

// OpenBlobPart implements oci.PartOpener where the store does.
func (s *store) OpenBlobPart(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (oci.Content, error) {
	return oci.OpenBlobPart(ctx, s.Store, repo, d, offset, length)
}

// RedirectBlob implements oci.Redirector where the store does.
func (s *store) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	return oci.RedirectBlob(ctx, s.Store, repo, d)
}

// DiscardBlob implements oci.Discarder where the store does, and is DeleteBlob
// elsewhere.
func (s *store) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if discarder, ok := s.Store.(oci.Discarder); ok {
		return s.remove(ctx, repo, d, discarder.DiscardBlob)
	}
	return s.DeleteBlob(ctx, repo, d)
}

// remove counts what a blob that goes gives back: its bytes, where no other name
// shares them.
func (s *store) remove(ctx context.Context, repo oci.Repo, d oci.Digest, do func(context.Context, oci.Repo, oci.Digest) error) error {
	if !s.ledger.Covers(repo) {
		return do(ctx, repo, d)
	}
	info, known := s.Store.StatBlob(ctx, repo, d)
	err := do(ctx, repo, d)
	if err == nil && known == nil && info.Links == 1 {
		s.ledger.change(repo, -info.Size)
	}
	return err
}

// Shared implements oci.Shared where the store does; elsewhere nothing is.
func (s *store) Shared(repo oci.Repo) (late time.Duration, shared bool) {
	if inner, ok := s.Store.(oci.Shared); ok {
		return inner.Shared(repo)
	}
	return 0, false
}

// PrepareDeletion implements oci.Shared where the store does.
func (s *store) PrepareDeletion(ctx context.Context, repo oci.Repo, blobs []oci.Digest, within time.Duration) (time.Time, error) {
	if inner, ok := s.Store.(oci.Shared); ok {
		return inner.PrepareDeletion(ctx, repo, blobs, within)
	}
	return time.Time{}, errors.ErrUnsupported
}

// DeleteBlobsBefore implements oci.Shared where the store does. What it frees
// is counted by the next round over the store: to ask for each size before
// would cost more than the deletion.
func (s *store) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	if inner, ok := s.Store.(oci.Shared); ok {
		return inner.DeleteBlobsBefore(ctx, repo, blobs, end)
	}
	return errors.ErrUnsupported
}
