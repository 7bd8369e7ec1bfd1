package subpath

import (
	"context"
	"errors"
	"time"

	"berth/oci"
)

var (
	_ oci.Shared = (*Router)(nil)
	_ oci.Shared = (*Lazy)(nil)
)

// Shared implements oci.Shared where the store does; elsewhere nothing is.
func (r *Router) Shared(repo oci.Repo) (late time.Duration, shared bool) {
	m, name := r.route(repo)
	if s, ok := m.store.(oci.Shared); ok {
		return s.Shared(name)
	}
	return 0, false
}

// PrepareDeletion implements oci.Shared where the store does; it fails with
// errors.ErrUnsupported elsewhere.
func (r *Router) PrepareDeletion(ctx context.Context, repo oci.Repo, blobs []oci.Digest, within time.Duration) (time.Time, error) {
	m, name := r.route(repo)
	if s, ok := m.store.(oci.Shared); ok {
		return s.PrepareDeletion(ctx, name, blobs, within)
	}
	return time.Time{}, errors.ErrUnsupported
}

// DeleteBlobsBefore implements oci.Shared where the store does; it fails with
// errors.ErrUnsupported elsewhere.
func (r *Router) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	m, name := r.route(repo)
	if s, ok := m.store.(oci.Shared); ok {
		return s.DeleteBlobsBefore(ctx, name, blobs, end)
	}
	return errors.ErrUnsupported
}

// Shared implements oci.Shared where the store does; elsewhere nothing is. What
// is not known, since the medium was always missing, may be.
func (l *Lazy) Shared(repo oci.Repo) (late time.Duration, shared bool) {
	if l.apart.Load() {
		return 0, false
	}
	err := l.with(func(o *opened) error {
		if s, ok := o.store.(oci.Shared); ok {
			late, shared = s.Shared(repo)
		} else {
			l.apart.Store(true) // as its next opening will be
		}
		return nil
	})
	return late, shared || err != nil
}

// PrepareDeletion implements oci.Shared where the store does; it fails with
// errors.ErrUnsupported elsewhere.
func (l *Lazy) PrepareDeletion(ctx context.Context, repo oci.Repo, blobs []oci.Digest, within time.Duration) (end time.Time, err error) {
	err = l.with(func(o *opened) error {
		if s, ok := o.store.(oci.Shared); ok {
			end, err = s.PrepareDeletion(ctx, repo, blobs, within)
			return err
		}
		return errors.ErrUnsupported
	})
	return end, err
}

// DeleteBlobsBefore implements oci.Shared where the store does; it fails with
// errors.ErrUnsupported elsewhere.
func (l *Lazy) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	return l.with(func(o *opened) error {
		if s, ok := o.store.(oci.Shared); ok {
			return s.DeleteBlobsBefore(ctx, repo, blobs, end)
		}
		return errors.ErrUnsupported
	})
}
