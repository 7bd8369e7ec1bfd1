package s3lite

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth/s3lite/wire"
)

// Info is what is known of an object. An answer about part of an object has
// the whole one's.
type Info struct {
	Key string
	// ETag is opaque, with its quotes, as conditions take it.
	ETag        string
	Size        int64
	Modified    time.Time
	ContentType string
	// Metadata by names in lower case, without x-amz-meta-. A list has none.
	Metadata map[string]string
}

// Object is an object that is being read.
type Object struct {
	Info
	// Offset and Length say what part of the object Body is.
	Offset, Length int64
	// Body reads exactly Length bytes, or fails: io.ErrUnexpectedEOF,
	// ErrStalled, or ErrPrecondition where the object was replaced before a
	// body that had been cut could go on.
	Body io.ReadCloser
}

// Range is a part of an object.
type Range struct {
	// Offset of its first byte; below zero it is that many bytes before the
	// object's end, or its beginning where that is nearer, and Length has to be 0.
	Offset int64
	// Length in bytes; 0 for all from Offset on. An object that ends before
	// gives what it has.
	Length int64
}

func (r Range) header() string {
	if r.Offset < 0 {
		return fmt.Sprintf("bytes=%d", r.Offset)
	}
	if r.Length == 0 {
		return fmt.Sprintf("bytes=%d-", r.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)
}

// GetOptions are conditions of a read. Empty ones are none.
type GetOptions struct {
	Range *Range
	// IfMatch: only an object with this ETag, else ErrPrecondition.
	IfMatch string
	// IfNoneMatch: only an object with another ETag, else ErrNotModified.
	IfNoneMatch string
}

func (o GetOptions) header() http.Header {
	h := http.Header{}
	set(h, "If-Match", o.IfMatch)
	set(h, "If-None-Match", o.IfNoneMatch)
	if o.Range != nil {
		h.Set("Range", o.Range.header())
	}
	return h
}

// GetObject opens an object, or a part of it, for reading: one request. A body
// that is cut is asked for again from there, as long as the object is the
// same. Errors: ErrNotFound, ErrPrecondition, ErrNotModified, ErrInvalidRange.
func (c *Client) GetObject(ctx context.Context, key string, o GetOptions) (*Object, error) {
	object, err := c.open(ctx, key, o)
	if err != nil {
		return nil, err
	}
	etag := object.ETag
	d := &download{body: object.Body, at: object.Offset, left: object.Length}
	if etag != "" {
		d.again = func(at, length int64) (io.ReadCloser, error) {
			rest, err := c.open(ctx, key, GetOptions{Range: &Range{at, length}, IfMatch: etag})
			if err != nil {
				return nil, err
			}
			return rest.Body, nil
		}
	}
	object.Body = d
	return object, nil
}

// open makes one request for an object.
func (c *Client) open(ctx context.Context, key string, o GetOptions) (*Object, error) {
	resp, err := c.do(ctx, call{op: "GetObject", method: http.MethodGet, key: key, header: o.header()})
	if err != nil {
		return nil, err
	}
	object := &Object{Info: infoOf(key, resp.Header), Length: resp.ContentLength, Body: resp.Body}
	object.Size = resp.ContentLength
	bad := resp.ContentLength < 0
	if resp.StatusCode == http.StatusPartialContent {
		_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &object.Offset)
		_, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/")
		size, sizeErr := strconv.ParseInt(total, 10, 64)
		object.Size = size
		bad = bad || err != nil || !ok || sizeErr != nil
	}
	if asked := o.Range; asked != nil {
		// A range may begin at 0 and be answered whole, else it is another.
		begin := asked.Offset
		if begin < 0 {
			begin = max(0, object.Size+begin)
		}
		bad = bad || object.Offset != begin || asked.Length > 0 && object.Length > asked.Length
	}
	if bad {
		_ = resp.Body.Close()
		return nil, &Error{
			Op: "GetObject", Target: c.endpoint.bucket + "/" + key, Status: resp.StatusCode, Attempts: 1,
			Message: fmt.Sprintf("the answer is of %q, of %d bytes", resp.Header.Get("Content-Range"), resp.ContentLength),
		}
	}
	return object, nil
}

// HeadObject asks what an object is. Errors: ErrNotFound, ErrPrecondition,
// ErrNotModified.
func (c *Client) HeadObject(ctx context.Context, key string, o GetOptions) (Info, error) {
	resp, err := c.do(ctx, call{op: "HeadObject", method: http.MethodHead, key: key, header: o.header()})
	if err != nil {
		return Info{}, err
	}
	_ = resp.Body.Close()
	info := infoOf(key, resp.Header)
	info.Size = resp.ContentLength
	return info, nil
}

// metaPrefix begins the headers of an object's metadata.
const metaPrefix = "X-Amz-Meta-"

func infoOf(key string, h http.Header) Info {
	info := Info{Key: key, ETag: h.Get("Etag"), ContentType: h.Get("Content-Type")}
	info.Modified, _ = http.ParseTime(h.Get("Last-Modified"))
	for name, values := range h {
		if rest, ok := strings.CutPrefix(name, metaPrefix); ok && len(values) > 0 {
			if info.Metadata == nil {
				info.Metadata = map[string]string{}
			}
			info.Metadata[strings.ToLower(rest)] = values[0]
		}
	}
	return info
}

// download is a body that goes on after a cut.
type download struct {
	body     io.ReadCloser
	at, left int64
	// again opens the rest; nil where the object cannot be told from another.
	again func(at, length int64) (io.ReadCloser, error)
	// cuts since the last byte, and all of them
	row, cuts int
	closed    bool
}

// A body may be cut this often in all, and without a byte in between.
const maxCuts, maxCutsInARow = 20, 3

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	return d.take(len(p), func(n int) (int, error) { return d.body.Read(p[:n]) })
}

// ReadOrMove implements wire.Mover.
func (d *download) ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error) {
	n, err = d.take(len(buf), func(n int) (got int, err error) {
		got, moved, err = wire.ReadOrMove(d.body, buf[:n], pipe)
		return got, err
	})
	return n, moved && n > 0, err
}

// take reads up to max bytes, or goes on after a cut.
func (d *download) take(max int, read func(n int) (int, error)) (int, error) {
	for {
		if d.left == 0 {
			return 0, io.EOF
		}
		n, err := read(int(min(int64(max), d.left)))
		d.at, d.left = d.at+int64(n), d.left-int64(n)
		if n > 0 {
			d.row = 0
		}
		if d.left == 0 {
			return n, io.EOF
		}
		if err == nil {
			return n, nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		d.row, d.cuts = d.row+1, d.cuts+1
		if d.again == nil || d.closed || d.row > maxCutsInARow || d.cuts > maxCuts {
			return n, err
		}
		_ = d.body.Close()
		rest, againErr := d.again(d.at, d.left)
		if againErr != nil {
			d.again = nil
			return n, fmt.Errorf("%w, and the rest cannot be had: %w", err, againErr)
		}
		d.body = rest
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.closed = true
	return d.body.Close()
}
