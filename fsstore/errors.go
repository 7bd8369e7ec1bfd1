package fsstore

import (
	"errors"
	"fmt"

	"berth/fsstore/durable"
	"berth/oci"
)

// fail turns a failure of the medium into the kind that clients are told. The
// detail stays in the chain for the log.
func (s *Store) fail(doing string, repo oci.Repo, err error) error {
	var told *oci.Error
	switch {
	case err == nil || errors.As(err, &told):
		return err
	case durable.IsFull(err):
		return s.space.full(0)
	case durable.IsReadOnly(err):
		return fmt.Errorf("%s in %s: %w: %w", doing, repo, oci.ErrReadOnly, err)
	case durable.IsElsewhere(err):
		return fmt.Errorf("%s in %s: the repository lies on another file system than the storage root; give that one a root of its own: %w", doing, repo, err)
	case durable.IsGone(err):
		return fmt.Errorf("%s in %s: %w: %w", doing, repo, oci.ErrUnavailable, err)
	}
	return fmt.Errorf("%s in %s: %w", doing, repo, err)
}
