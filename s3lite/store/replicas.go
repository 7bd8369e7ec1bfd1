package store

import (
	"context"
	"errors"
	"time"

	"berth/oci"
)

var (
	_ oci.Shared = (*Store)(nil)
	_ oci.Clock  = (*Store)(nil)
)

// lateness is how long after its end a deletion may take effect. Its signature
// ends with that, rounded up to a second; the rest is for the bucket, which may
// look at several clocks, and carries out what it has accepted.
const lateness = 5 * time.Second

// Shared is oci.Shared.Shared: other processes may use the bucket at any time.
func (s *Store) Shared(oci.Repo) (time.Duration, bool) { return lateness, true }

// DeletionEnd is oci.Shared.DeletionEnd: one request.
func (s *Store) DeletionEnd(ctx context.Context, _ oci.Repo, within time.Duration) (time.Time, error) {
	now, err := s.client.ServerTime(ctx)
	return now.Add(within), asStored(err)
}

// DeleteBlobsBefore is oci.Shared.DeleteBlobsBefore: by requests whose
// signatures end then.
func (s *Store) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	left := s.client.UntilServerTime(end)
	if left <= 0 {
		return oci.Errorf(oci.ErrUnavailable, "the time to delete content of repository %s is over", repo)
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return err
	}
	return parallel(ctx, asking, len(blobs), func(ctx context.Context, i int) error {
		d := blobs[i]
		if s.about.Load().Foreign {
			h, err := s.look(ctx, repo, d)
			if errors.Is(err, oci.ErrBlobUnknown) {
				return nil
			}
			if err == nil {
				err = s.keepForOthers(ctx, repo, d, h)
			}
			if err != nil {
				return err
			}
		}
		s.refs.drop(blobID{repo, d})
		err := s.client.DeleteObjectBefore(ctx, s.keys.blob(repo, d), end)
		s.refs.drop(blobID{repo, d})
		return asStored(err)
	})
}

// StoreTime is oci.Clock.StoreTime: one request.
func (s *Store) StoreTime(ctx context.Context) (time.Time, error) {
	now, err := s.client.ServerTime(ctx)
	return now, asStored(err)
}
