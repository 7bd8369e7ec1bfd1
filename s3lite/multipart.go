package s3lite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/s3lite/xmlscan"
)

// What AWS allows of parts; others may allow more.
const (
	MinPart  = 5 << 20 // bytes, but for the last part
	MaxPart  = 5 << 30
	MaxParts = 10000
)

// Upload is a multipart upload: an object to come.
type Upload struct {
	Key, ID string
	// Initiated is set in lists.
	Initiated time.Time
}

func (u Upload) query(more ...string) url.Values {
	q := url.Values{"uploadId": {u.ID}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return q
}

// Part is a part of an Upload that is stored. Size and Modified are set in
// lists.
type Part struct {
	Number   int // from 1 to MaxParts
	ETag     string
	Size     int64
	Modified time.Time
}

// CreateMultipartUpload begins an upload; the options' conditions come at its
// end. When an answer is lost, an upload may stay behind of which nobody
// knows the ID: ListMultipartUploads finds it.
func (c *Client) CreateMultipartUpload(ctx context.Context, key string, o PutOptions) (Upload, error) {
	u := Upload{Key: key}
	err := c.run(ctx, call{
		op: "CreateMultipartUpload", method: http.MethodPost, key: key, query: url.Values{"uploads": {""}}, header: c.objectHeader(o),
		read: func(_ http.Header, body io.Reader) error {
			return readXML(body, func(path, text string) error {
				if path == "InitiateMultipartUploadResult/UploadId" {
					u.ID = text
				}
				return nil
			})
		},
	})
	if err == nil && u.ID == "" {
		err = &Error{Op: "CreateMultipartUpload", Target: c.endpoint.bucket + "/" + key, Status: http.StatusOK, Message: "the answer has no upload id"}
	}
	return u, err
}

// UploadPart stores a part, in the place of an earlier one of its number.
// Errors: ErrNoSuchUpload, ErrBadDigest.
func (c *Client) UploadPart(ctx context.Context, u Upload, number int, body *Body) (Part, error) {
	part := Part{Number: number, Size: body.Size}
	err := c.run(ctx, call{
		op: "UploadPart", method: http.MethodPut, key: u.Key, query: u.query("partNumber", strconv.Itoa(number)), body: body,
		read: func(h http.Header, _ io.Reader) error {
			part.ETag = h.Get("Etag")
			return nil
		},
	})
	return part, err
}

// UploadPartCopy makes a part of an object that is stored, or of a range of
// it, which then has to have a length. Errors: ErrNoSuchUpload, ErrNotFound,
// ErrPrecondition, ErrInvalidRange.
func (c *Client) UploadPartCopy(ctx context.Context, u Upload, number int, from string, r *Range, ifSourceMatch string) (Part, error) {
	part := Part{Number: number}
	header := http.Header{"X-Amz-Copy-Source": {c.source(from)}}
	set(header, "X-Amz-Copy-Source-If-Match", ifSourceMatch)
	if r != nil {
		header.Set("X-Amz-Copy-Source-Range", r.header())
		part.Size = r.Length
	}
	err := c.run(ctx, call{
		op: "UploadPartCopy", method: http.MethodPut, key: u.Key, query: u.query("partNumber", strconv.Itoa(number)), header: header, slow: true,
		read: readETag("CopyPartResult", &part.ETag),
	})
	return part, err
}

// CompleteMultipartUpload makes the object of the parts, in the order of their
// numbers, and returns its ETag. Of the options the conditions count. Errors:
// ErrNoSuchUpload, ErrInvalidPart, ErrPrecondition, ErrConflict,
// ErrOutcomeUnknown: an attempt whose answer was lost may have made it.
func (c *Client) CompleteMultipartUpload(ctx context.Context, u Upload, parts []Part, o PutOptions) (etag string, err error) {
	header := http.Header{"Content-Type": {"application/xml"}}
	o.conditions(header)
	var b strings.Builder
	b.WriteString(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	for _, p := range parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", p.Number, xmlscan.Escape(p.ETag))
	}
	b.WriteString("</CompleteMultipartUpload>")
	err = c.run(ctx, call{
		op: "CompleteMultipartUpload", method: http.MethodPost, key: u.Key, query: u.query(), header: header,
		body: Bytes([]byte(b.String())), once: o.conditional(), slow: true,
		read: readETag("CompleteMultipartUploadResult", &etag),
	})
	if e, ok := errors.AsType[*Error](err); ok && e.Unsure && e.Kind == ErrNoSuchUpload {
		e.Kind = ErrOutcomeUnknown
	}
	return etag, err
}

// AbortMultipartUpload ends an upload and drops its parts. One that is not
// there is no error.
func (c *Client) AbortMultipartUpload(ctx context.Context, u Upload) error {
	err := c.run(ctx, call{op: "AbortMultipartUpload", method: http.MethodDelete, key: u.Key, query: u.query()})
	if errors.Is(err, ErrNoSuchUpload) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// ListParts calls each for every part of an upload with a higher number than
// after, in order. Errors: ErrNoSuchUpload, and that of each.
func (c *Client) ListParts(ctx context.Context, u Upload, after int, each func(Part) error) error {
	for {
		parts, next, err := c.listParts(ctx, u, after)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err := each(p); err != nil {
				return err
			}
		}
		if next <= after {
			return nil
		}
		after = next
	}
}

// listParts returns a page, and after which number the next one begins; 0 for
// the last.
func (c *Client) listParts(ctx context.Context, u Upload, after int) (parts []Part, next int, err error) {
	marker := ""
	if after > 0 {
		marker = strconv.Itoa(after)
	}
	var p Part
	var more bool
	err = c.run(ctx, call{
		op: "ListParts", method: http.MethodGet, key: u.Key, query: u.query("part-number-marker", marker),
		read: func(_ http.Header, body io.Reader) error {
			p, parts, next, more = Part{}, nil, 0, false
			return readXML(body, func(path, text string) (err error) {
				switch path {
				case "ListPartsResult/Part/PartNumber":
					p.Number, err = strconv.Atoi(text)
				case "ListPartsResult/Part/ETag":
					p.ETag = text
				case "ListPartsResult/Part/Size":
					p.Size, err = strconv.ParseInt(text, 10, 64)
				case "ListPartsResult/Part/LastModified":
					p.Modified = parseTime(text)
				case "ListPartsResult/Part":
					parts, p = append(parts, p), Part{}
				case "ListPartsResult/IsTruncated":
					more = text == "true"
				case "ListPartsResult/NextPartNumberMarker":
					next, _ = strconv.Atoi(text)
				}
				return err
			})
		},
	})
	if !more {
		next = 0
	}
	return parts, next, err
}
