package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"berth/oci"
	"berth/s3lite"
	"berth/s3lite/wire"
)

var _ oci.PartOpener = (*Store)(nil)

// part is what of a blob is about to be read, as oci.PartOpener has it.
type part struct{ offset, length int64 }

// asked is the part of an object to ask for; nil for the whole.
func (p part) asked() *s3lite.Range {
	if p == (part{}) {
		return nil
	}
	return &s3lite.Range{Offset: p.offset, Length: p.length}
}

// begin is where the part begins in content of a size.
func (p part) begin(size int64) int64 {
	if p.offset < 0 {
		return max(0, size+p.offset)
	}
	return min(p.offset, size)
}

// OpenBlob is oci.Blobs.OpenBlob: one GET where the repository has the content
// itself, or was seen lately to have a reference; else two.
func (s *Store) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	return s.OpenBlobPart(ctx, repo, d, offset, 0)
}

// OpenBlobPart is oci.PartOpener.OpenBlobPart: the requests of OpenBlob. With
// dedupe a HEAD comes before the part of what was not seen lately, since a
// reference has no parts.
func (s *Store) OpenBlobPart(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (oci.Content, error) {
	id, p := blobID{repo, d}, part{offset, length}
	if h, ok := s.refs.get(id); ok {
		c, err := s.open(ctx, s.keys.content(d), d, h, p)
		if err == nil || !errors.Is(err, oci.ErrBlobUnknown) {
			return c, err
		}
		s.refs.drop(id)
	}
	if s.opts.Dedupe && p.asked() != nil {
		h, err := s.look(ctx, repo, d)
		if err != nil {
			return nil, err
		}
		return s.openHeld(ctx, id, h, p)
	}
	c, err := s.open(ctx, s.keys.blob(repo, d), d, holding{size: -1}, p)
	var elsewhere *referred
	if !errors.As(err, &elsewhere) {
		return c, err
	}
	return s.openHeld(ctx, id, elsewhere.holding, p)
}

// openHeld opens a blob of which it is known how its repository holds it.
func (s *Store) openHeld(ctx context.Context, id blobID, h holding, p part) (oci.Content, error) {
	switch {
	case h.shared:
		s.refs.put(id, h)
		return s.open(ctx, s.keys.content(id.digest), id.digest, h, p)
	case !h.foreign:
		return s.open(ctx, s.keys.blob(id.repo, id.digest), id.digest, h, p)
	}
	at, err := s.locate(ctx, id.digest)
	if err != nil {
		return nil, err
	}
	h.size, h.etag = at.size, at.etag
	return s.open(ctx, at.key, id.digest, h, p)
}

// referred says that an object is no content.
type referred struct{ holding }

func (r *referred) Error() string { return "the object is a reference" }

// open opens content at a key. h is what is known of it; a size below zero that
// nothing is, and then a *referred may be the error. Errors: ErrBlobUnknown.
func (s *Store) open(ctx context.Context, key string, d oci.Digest, h holding, p part) (oci.Content, error) {
	body, object, err := s.stream(ctx, key, s3lite.GetOptions{Range: p.asked()})
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
	c := &content{info: h.info(d), body: body, at: p.begin(h.size), end: object.Offset + object.Length}
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

// ReadOrMove implements wire.Mover.
func (e *ended) ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error) {
	return wire.ReadOrMove(e.ReadCloser, buf, pipe)
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
	end   int64         // of body, where it ends before the blob does
	at    int64         // where the caller is
}

// Info implements oci.Content.
func (c *content) Info() oci.BlobInfo { return c.info }

// skipped is how many bytes are read rather than asked for anew.
const skipped = 64 << 10

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if err := c.prepare(); err != nil {
		return 0, err
	}
	n, err := c.body.Read(p)
	return n, c.advance(n, err)
}

// ReadOrMove implements wire.Mover.
func (c *content) ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error) {
	if err := c.prepare(); err != nil {
		return 0, false, err
	}
	n, moved, err = wire.ReadOrMove(c.body, buf, pipe)
	return n, moved, c.advance(n, err)
}

// prepare brings the body to where the caller is.
func (c *content) prepare() error {
	if c.at >= c.info.Size {
		return io.EOF
	}
	if c.body != nil && c.pos < c.at && c.at < c.end && c.at-c.pos <= skipped {
		n, err := io.CopyN(io.Discard, c.body, c.at-c.pos)
		if c.pos += n; err != nil {
			return err
		}
	}
	if c.body != nil && (c.pos != c.at || c.pos >= c.end) {
		_ = c.body.Close()
		c.body = nil
	}
	if c.body == nil {
		body, err := c.again(c.at)
		if err != nil {
			return err
		}
		c.body, c.pos, c.end = body, c.at, c.info.Size
	}
	return nil
}

// advance takes in what a read came to.
func (c *content) advance(n int, err error) error {
	c.pos += int64(n)
	c.at = c.pos
	if err == io.EOF && c.at < c.info.Size {
		err = nil // the part ends here, or what is there cannot be all
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return err
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
