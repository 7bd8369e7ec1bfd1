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

// PrepareDeletion is oci.Shared.PrepareDeletion: one request, and in a bucket
// that was another registry's some for each blob, whose content may be copied.
func (s *Store) PrepareDeletion(ctx context.Context, repo oci.Repo, blobs []oci.Digest, within time.Duration) (time.Time, error) {
	if err := s.ready(ctx); err != nil {
		return time.Time{}, err
	}
	if s.about.Load().Foreign {
		err := parallel(ctx, asking, len(blobs), func(ctx context.Context, i int) error {
			h, err := s.look(ctx, repo, blobs[i])
			if errors.Is(err, oci.ErrBlobUnknown) {
				return nil
			}
			if err == nil {
				err = s.keepForOthers(ctx, repo, blobs[i], h)
			}
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
	}
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
