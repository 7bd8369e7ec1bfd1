package s3lite

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/s3lite/wire"
	"berth/s3lite/xmlscan"
)

// DeleteObject removes an object; one that is not there is no error. With
// ifMatch only the one with that ETag, else ErrPrecondition, where the service
// knows conditions of deletes; others do it anyway. With it the error may be
// ErrOutcomeUnknown.
func (c *Client) DeleteObject(ctx context.Context, key, ifMatch string) error {
	header := http.Header{}
	set(header, "If-Match", ifMatch)
	err := c.run(ctx, call{op: "DeleteObject", method: http.MethodDelete, key: key, header: header, once: ifMatch != ""})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DeleteObjectBefore removes an object, if the service gets the request before
// its own clock shows end, rounded up to a second: later it refuses it, whatever
// held it up. It needs credentials, and ServerTime called once before. A request
// that may have been carried out is not repeated. Errors: ErrTooLate,
// ErrOutcomeUnknown.
func (c *Client) DeleteObjectBefore(ctx context.Context, key string, end time.Time) error {
	err := c.run(ctx, call{op: "DeleteObject", method: http.MethodDelete, key: key, once: true, before: end})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// ServerTime asks what time it is by the service's clock, in whole seconds.
func (c *Client) ServerTime(ctx context.Context) (now time.Time, err error) {
	err = c.run(ctx, call{op: "HeadBucket", method: http.MethodHead, read: func(h http.Header, _ io.Reader) error {
		now, err = http.ParseTime(h.Get("Date"))
		return err
	}})
	return now, err
}

// UntilServerTime is how long it is until the service's clock shows a time, by
// the latest answer that has told it; zero where none has.
func (c *Client) UntilServerTime(end time.Time) time.Duration {
	now, known := c.wire.ServiceTime()
	if !known {
		return 0
	}
	return end.Sub(now)
}

// MaxDelete is how many keys one request removes.
const MaxDelete = 1000

// DeleteObjects removes objects, MaxDelete with each request; those that are
// not there are no errors. The error joins those of all that stay, each an
// *Error with its key in Target. ErrNotImplemented: remove them one by one.
func (c *Client) DeleteObjects(ctx context.Context, keys []string) error {
	var failures []error
	for len(keys) > 0 {
		n := min(len(keys), MaxDelete)
		left, err := c.deleteSome(ctx, keys[:n])
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		failures = append(failures, left...)
		keys = keys[n:]
	}
	return errors.Join(failures...)
}

func (c *Client) deleteSome(ctx context.Context, keys []string) (left []error, err error) {
	var b strings.Builder
	b.WriteString(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>`)
	for _, key := range keys {
		fmt.Fprintf(&b, "<Object><Key>%s</Key></Object>", xmlscan.Escape(key))
	}
	b.WriteString("</Delete>")
	body := Bytes([]byte(b.String()))
	sum := md5.Sum([]byte(b.String())) // wanted by the protocol; no secret rests on it
	body.MD5 = sum[:]
	err = c.run(ctx, call{
		op: "DeleteObjects", method: http.MethodPost, query: url.Values{"delete": {""}}, body: body,
		header: http.Header{"Content-Type": {"application/xml"}},
		read: func(_ http.Header, answer io.Reader) error {
			left = nil
			var f wire.Fault
			var key string
			return readXML(answer, func(path, text string) error {
				name, ok := strings.CutPrefix(path, "DeleteResult/")
				switch {
				case !ok:
				case name == "Error/Key":
					key = text
				case name == "Error":
					left = c.appendFailure(left, key, f)
					f, key = wire.Fault{}, ""
				default:
					readFault(&f, name, text)
				}
				return nil
			})
		},
	})
	return left, err
}

func (c *Client) appendFailure(left []error, key string, f wire.Fault) []error {
	e := lateFailure(f)
	if e.Kind == ErrNotFound {
		return left
	}
	e.Op, e.Target = "DeleteObjects", c.endpoint.bucket+"/"+key
	return append(left, e)
}
