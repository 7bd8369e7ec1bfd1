package s3lite

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"berth/s3lite/sigv4"
	"berth/s3lite/xmlscan"
)

// maxAnswer bounds an answer in XML: a page of a list has at most a thousand
// entries, each with a key of at most a kilobyte.
const maxAnswer = 8 << 20

// PutOptions say how an object is written.
type PutOptions struct {
	ContentType string
	// Metadata by names in lower case; ASCII, together at most 2 KiB.
	Metadata map[string]string
	// IfNoneMatch: only where there is no object yet, else ErrPrecondition.
	IfNoneMatch bool
	// IfMatch: only in the place of the object with this ETag, else
	// ErrPrecondition, or ErrNotFound where there is none.
	IfMatch string
}

// conditional tells whether the write must not be done twice: the second time
// would meet the first.
func (o PutOptions) conditional() bool { return o.IfNoneMatch || o.IfMatch != "" }

func (o PutOptions) conditions(h http.Header) {
	set(h, "If-Match", o.IfMatch)
	if o.IfNoneMatch {
		h.Set("If-None-Match", "*")
	}
}

// objectHeader is the header of a request that makes an object.
func (c *Client) objectHeader(o PutOptions) http.Header {
	h := maps.Clone(c.written)
	set(h, "Content-Type", o.ContentType)
	for name, value := range o.Metadata {
		h.Set(metaPrefix+name, value)
	}
	return h
}

// PutObject writes an object with one request and returns its ETag. Either the
// whole object is there afterwards, or what was there before. Errors:
// ErrPrecondition, ErrConflict (try again), ErrBadDigest, and with conditions
// ErrOutcomeUnknown.
//
// A new object for which there is "no such key" is asked for again: servers that
// keep objects as files say so when they lose a directory to a delete beside it.
func (c *Client) PutObject(ctx context.Context, key string, body *Body, o PutOptions) (etag string, err error) {
	for range putTries {
		etag, err = c.putObject(ctx, key, body, o)
		if !errors.Is(err, ErrNotFound) || o.IfMatch != "" || !body.Repeatable() {
			break
		}
	}
	return etag, err
}

const putTries = 5

func (c *Client) putObject(ctx context.Context, key string, body *Body, o PutOptions) (etag string, err error) {
	header := c.objectHeader(o)
	o.conditions(header)
	err = c.run(ctx, call{
		op: "PutObject", method: http.MethodPut, key: key, header: header, body: body, once: o.conditional(),
		read: func(h http.Header, _ io.Reader) error {
			etag = h.Get("Etag")
			return nil
		},
	})
	return etag, err
}

// run is do for a call that reads its answer itself.
func (c *Client) run(ctx context.Context, k call) error {
	if k.read == nil {
		k.read = ignore
	}
	_, err := c.do(ctx, k)
	return err
}

// CopyOptions say how an object is copied.
type CopyOptions struct {
	// IfSourceMatch: only a source with this ETag, else ErrPrecondition.
	IfSourceMatch string
	// Replace gives the copy another content type and metadata than the
	// source's; nil keeps those. Its conditions are not used.
	Replace *PutOptions
}

// CopyObject copies an object of at most 5 GiB inside of the bucket and
// returns the copy's ETag. A copy onto itself needs Replace. Errors:
// ErrNotFound, ErrPrecondition.
func (c *Client) CopyObject(ctx context.Context, from, to string, o CopyOptions) (etag string, err error) {
	header := c.objectHeader(PutOptions{})
	if o.Replace != nil {
		header = c.objectHeader(*o.Replace)
		header.Set("X-Amz-Metadata-Directive", "REPLACE")
	}
	header.Set("X-Amz-Copy-Source", c.source(from))
	set(header, "X-Amz-Copy-Source-If-Match", o.IfSourceMatch)
	err = c.run(ctx, call{
		op: "CopyObject", method: http.MethodPut, key: to, header: header, slow: true,
		read: readETag("CopyObjectResult", &etag),
	})
	return etag, err
}

// source names an object as the headers of copies do.
func (c *Client) source(key string) string {
	return "/" + c.endpoint.bucket + "/" + sigv4.Encode(key, true)
}

// readETag reads the answer to a call that may fail after its 200.
func readETag(root string, etag *string) func(http.Header, io.Reader) error {
	return func(_ http.Header, body io.Reader) error {
		return readXML(body, func(path, text string) error {
			if path == root+"/ETag" {
				*etag = text
			}
			return nil
		})
	}
}

// readXML reads an answer that is either what was asked for or an error.
func readXML(body io.Reader, element func(path, text string) error) error {
	var failed *Error
	fault := faultOf(http.Header{}, nil)
	err := xmlscan.Scan(body, maxAnswer, func(path, text []byte) error {
		if readFault(&fault, string(path), string(text)) {
			failed = lateFailure(fault)
			return nil
		}
		return element(string(path), string(text))
	})
	if err == nil && failed != nil {
		return failed
	}
	return err
}

func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text) // zero where it is none
	return t
}
