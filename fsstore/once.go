package fsstore

import (
	"context"
	"io"

	"berth/fsstore/durable"
	"berth/oci"
)

var _ oci.OnceReader = (*Store)(nil)

// OpenOnce is oci.OnceReader.OpenOnce.
func (s *Store) OpenOnce(ctx context.Context, repo oci.Repo, d oci.Digest, fresh bool) (oci.Content, error) {
	if err := s.readable(repo, d); err != nil {
		return nil, err
	}
	c, err := s.openBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	return &onceContent{content: c, once: durable.NewOnce(c.f, c.info.Size, fresh)}, nil
}

// onceContent is a blob that is read once, in order.
type onceContent struct {
	*content
	once *durable.Once
}

func (c *onceContent) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.once.Read(p)
}

// Seek does not exist for what is read in order.
func (c *onceContent) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekCurrent {
		return c.at, nil
	}
	return 0, errSeek
}

func (c *onceContent) Close() error {
	c.once.Close()
	return c.content.Close()
}
