package store

import (
	"context"

	"berth/oci"
	"berth/s3lite"
)

var _ oci.Redirector = (*Store)(nil)

// RedirectBlob is oci.Redirector.RedirectBlob. Small blobs are not worth a
// second request of the client's.
func (s *Store) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	if !s.opts.Redirect {
		return "", nil
	}
	h, ok := s.refs.get(blobID{repo, d})
	if !ok {
		var err error
		if h, err = s.look(ctx, repo, d); err != nil {
			return "", err
		}
	}
	key := s.keys.blob(repo, d)
	switch {
	case h.foreign:
		at, err := s.locate(ctx, d)
		if err != nil {
			return "", err
		}
		key, h.size = at.key, at.size
	case h.shared:
		key = s.keys.content(d)
	}
	if h.size <= smallBlob {
		return "", nil
	}
	url, err := s.client.PresignGetObject(ctx, key, s.opts.RedirectFor, s3lite.PresignOptions{ContentType: "application/octet-stream"})
	return url, asStored(err)
}
