package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"berth/oci"
	"berth/s3lite"
)

// OpenBlob is oci.Blobs.OpenBlob: one GET where the repository has the content
// itself, or was seen lately to have a reference; else two.
func (s *Store) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	if h, ok := s.refs.get(blobID{repo, d}); ok {
		c, err := s.open(ctx, s.keys.content(d), d, h, offset)
		if err == nil || !errors.Is(err, oci.ErrBlobUnknown) {
			return c, err
		}
		s.refs.drop(blobID{repo, d})
	}
	c, err := s.open(ctx, s.keys.blob(repo, d), d, holding{size: -1}, offset)
	var elsewhere *referred
	if !errors.As(err, &elsewhere) {
		return c, err
	}
	h := elsewhere.holding
	if !h.foreign {
		s.refs.put(blobID{repo, d}, h)
		return s.open(ctx, s.keys.content(d), d, h, offset)
	}
	at, err := s.locate(ctx, d)
	if err != nil {
		return nil, err
	}
	h.size, h.etag = at.size, at.etag
	return s.open(ctx, at.key, d, h, offset)
}

// referred says that an object is no content.
type referred struct{ holding }

func (r *referred) Error() string { return "the object is a reference" }

// open opens content at a key. h is what is known of it; a size below zero that
// nothing is, and then a *referred may be the error. Errors: ErrBlobUnknown.
func (s *Store) open(ctx context.Context, key string, d oci.Digest, h holding, offset int64) (oci.Content, error) {
	var asked *s3lite.Range
	if offset > 0 {
		asked = &s3lite.Range{Offset: offset}
	}
	body, object, err := s.stream(ctx, key, s3lite.GetOptions{Range: asked})
	known := h.size >= 0
	if errors.Is(err, s3lite.ErrInvalidRange) {
		var info s3lite.Info
		if info, err = s.client.HeadObject(ctx, key, s3lite.GetOptions{}); err == nil {
			body, object = nil, &s3lite.Object{Info: info}
		}
	}
	if err != nil {
		return nil, missing(err, oci.ErrBlobUnknown)
	}
	switch now := s.holdingOf(object.Info, d); {
	case known && object.Size == h.size:
		h.etag = object.ETag
	case known:
		err = fmt.Errorf("%w: object %s has %d bytes, not %d", oci.ErrUnavailable, key, object.Size, h.size)
	case now.shared || now.foreign:
		err = &referred{now}
	default:
		h = now
	}
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, err
	}
	c := &content{info: h.info(d), body: body, at: min(offset, h.size)}
	c.pos = c.at
	c.again = func(at int64) (io.ReadCloser, error) {
		body, _, err := s.stream(ctx, key, s3lite.GetOptions{Range: &s3lite.Range{Offset: at}, IfMatch: h.etag})
		return body, asStored(err)
	}
	return c, nil
}

// stream opens an object whose body may be read when ctx is over: who asked
// for it may have returned by then. Until there is an answer ctx counts.
func (s *Store) stream(ctx context.Context, key string, o s3lite.GetOptions) (io.ReadCloser, *s3lite.Object, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	object, err := s.client.GetObject(own, key, o)
	if stop() && err == nil {
		return &ended{object.Body, cancel}, object, nil
	}
	if err == nil {
		_ = object.Body.Close()
	}
	cancel()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, nil, err
}

// ended is a body whose context ends with it.
type ended struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (e *ended) Close() error {
	err := e.ReadCloser.Close()
	e.cancel()
	return err
}

// content is a blob that is open.
type content struct {
	info oci.BlobInfo
	// again opens it at an offset.
	again func(at int64) (io.ReadCloser, error)
	body  io.ReadCloser // nil: to be opened
	pos   int64         // of body
	at    int64         // where the caller is
}

// Info implements oci.Content.
func (c *content) Info() oci.BlobInfo { return c.info }

// skipped is how many bytes are read rather than asked for anew.
const skipped = 64 << 10

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.info.Size {
		return 0, io.EOF
	}
	if c.body != nil && c.pos < c.at && c.at-c.pos <= skipped {
		n, err := io.CopyN(io.Discard, c.body, c.at-c.pos)
		if c.pos += n; err != nil {
			return 0, err
		}
	}
	if c.body != nil && c.pos != c.at {
		_ = c.body.Close()
		c.body = nil
	}
	if c.body == nil {
		body, err := c.again(c.at)
		if err != nil {
			return 0, err
		}
		c.body, c.pos = body, c.at
	}
	n, err := c.body.Read(p)
	c.pos += int64(n)
	c.at = c.pos
	return n, err
}

var errSeek = errors.New("blob: seek to before the beginning, or from nowhere")

// Seek implements io.Seeker; nothing is asked before the next Read.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.info.Size
	default:
		return 0, errSeek
	}
	if offset < 0 {
		return 0, errSeek
	}
	c.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (c *content) Close() error {
	if c.body == nil {
		return nil
	}
	err := c.body.Close()
	c.body = nil
	return err
}
