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

// lateness is how long after its end a deletion may take effect: its signature
// ends with it, rounded up to a second, by the bucket's clock as an answer told
// it. The rest is for clocks that run apart after that.
const lateness = 5 * time.Second

// Shared is oci.Shared.Shared: other processes may use the bucket at any time.
func (s *Store) Shared(oci.Repo) (time.Duration, bool) { return lateness, true }

// DeleteBlobsBefore is oci.Shared.DeleteBlobsBefore: by requests whose
// signatures end then.
func (s *Store) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	left := func() time.Duration { return end.Sub(s.opts.Now()) }
	if left() <= 0 {
		return oci.Errorf(oci.ErrUnavailable, "the time to delete content of repository %s is over", repo)
	}
	ctx, cancel := context.WithTimeout(ctx, left())
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return err
	}
	// The clock is asked for each time, so that it is not taken from long ago.
	if _, err := s.client.ServerTime(ctx); err != nil && len(blobs) > 0 {
		return asStored(err)
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
		err := s.client.DeleteObjectWithin(ctx, s.keys.blob(repo, d), left)
		s.refs.drop(blobID{repo, d})
		return asStored(err)
	})
}

// StoreTime is oci.Clock.StoreTime: one request.
func (s *Store) StoreTime(ctx context.Context) (time.Time, error) {
	now, err := s.client.ServerTime(ctx)
	return now, asStored(err)
}
