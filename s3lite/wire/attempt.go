package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"berth/s3lite/sigv4"
)

// exchange is what one attempt came to.
type exchange struct {
	err *Error // nil for success
	// unsent: the service cannot have seen the whole request.
	unsent bool
	// spent: the body cannot be sent again.
	spent bool
	used  sigv4.Credentials
	// signed is the time in the signature.
	signed time.Time
}

// maxFault bounds how much of a failure's answer is read.
const maxFault = 64 << 10

// attempt makes the request once.
func (c *Client) attempt(parent context.Context, r *Request) (*http.Response, exchange) {
	var x exchange
	fail := func(err error) (*http.Response, exchange) {
		if x.err == nil {
			x.err = &Error{Op: r.Op, Target: r.Target, Err: err}
		}
		return nil, x
	}
	ctx, cancel := context.WithCancelCause(parent)
	var wrote atomic.Bool
	var over *socket
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	ctx = httptrace.WithClientTrace(ctx, traced(trace, &over))
	limit := c.o.Stall
	if r.Slow {
		limit *= slowFactor
	}
	w := newWatch(c.o.Clock, limit, cancel)
	end := func() { w.stop(); cancel(nil) }
	req, body, err := c.prepare(ctx, r, &x, w)
	if err != nil {
		end()
		x.unsent = true
		return fail(err)
	}
	resp, err := c.o.RoundTripper.RoundTrip(req)
	w.answered(c.o.Stall)
	var sourceErr error
	if body != nil {
		var touched, whole bool
		touched, whole, sourceErr = body.detach()
		x.spent = touched && r.Body.open == nil
		x.unsent = !whole
	}
	if err != nil {
		err = reason(ctx, err)
		end()
		x.unsent = x.unsent || !wrote.Load()
		if sourceErr != nil {
			err = sourceErr
		}
		return fail(err)
	}
	c.observe(resp.Header)
	resp.Body = &answer{ReadCloser: resp.Body, ctx: ctx, watch: w, socket: over, left: resp.ContentLength}
	if x.err = c.read(r, resp); x.err != nil {
		_ = resp.Body.Close()
		if x.err.Kind == nil {
			x.err.Kind = c.o.Kind(x.err)
		}
		return fail(nil)
	}
	return resp, x
}

// prepare makes and signs the HTTP request.
func (c *Client) prepare(ctx context.Context, r *Request, x *exchange, w *watch) (*http.Request, *sending, error) {
	place := r.Place()
	header := http.Header{}
	if r.Header != nil {
		header = r.Header.Clone()
	}
	header.Set("User-Agent", c.o.UserAgent)
	req := (&http.Request{
		Method: r.Method, URL: &place.URL, Host: place.URL.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	payload := sigv4.Empty
	if r.Body != nil {
		payload = c.payload(r.Body, place.URL.Scheme)
		if r.Body.open == nil {
			// So a body that can be sent once is kept for the place that wants it.
			header.Set("Expect", "100-continue")
		}
		if r.Body.MD5 != nil {
			header.Set("Content-Md5", base64.StdEncoding.EncodeToString(r.Body.MD5))
		}
		if payload == sigv4.Chunked {
			header.Set("Content-Encoding", "aws-chunked")
			header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(r.Body.Size, 10))
		}
	}
	var seed sigv4.Seed
	if c.o.Credentials != nil {
		var err error
		if x.used, err = c.o.Credentials.Get(ctx); err != nil {
			return nil, nil, &credentialsError{err}
		}
	}
	if !r.Before.IsZero() {
		return req, nil, c.bound(req, r, place, x.used)
	}
	if c.o.Credentials != nil {
		x.signed = c.Now()
		seed = sigv4.Sign(req, x.used, sigv4.Scope{Region: place.Region, Service: c.o.Service}, payload, x.signed)
	}
	if r.Body == nil || r.Body.Size == 0 {
		return req, nil, nil
	}
	body := &sending{watch: w, src: r.Body.stream, left: r.Body.Size}
	if r.Body.open != nil {
		body.src = r.Body.open()
	}
	if payload == sigv4.Chunked {
		body.src, body.left = sigv4.NewChunks(seed, body.src, r.Body.Size), sigv4.ChunkedLength(r.Body.Size)
	}
	req.Body, req.ContentLength = body, body.left
	return req, body, nil
}

// ErrTooLate: no time is left in which the service may take the request, or
// none can be set.
var ErrTooLate = errors.New("the time for the request is over")

// bound signs a request without a body so that it is good for no longer than it
// may be.
func (c *Client) bound(req *http.Request, r *Request, place Place, creds sigv4.Credentials) error {
	now, known := c.ServiceTime()
	left := r.Before.Sub(now)
	switch {
	case c.o.Credentials == nil || r.Body != nil:
		return fmt.Errorf("%w: only a signed request without a body can have one", ErrTooLate)
	case !known:
		return fmt.Errorf("%w: the service has not told what time it is", ErrTooLate)
	case left <= 0:
		return ErrTooLate
	}
	seconds := (left + time.Second - 1).Truncate(time.Second)
	req.URL = sigv4.Presign(r.Method, &place.URL, creds, sigv4.Scope{Region: place.Region, Service: c.o.Service}, seconds, now)
	return nil
}

// payload tells how a body is signed: by its hash where that is known, not at
// all where TLS guards it, else chunk by chunk.
func (c *Client) payload(b *Body, scheme string) string {
	switch {
	case b.SHA256 != "":
		return b.SHA256
	case b.Size == 0:
		return sigv4.Empty
	case scheme == "https" || c.o.Credentials == nil:
		return sigv4.Unsigned
	}
	return sigv4.Chunked
}

// credentialsError: there is nothing to sign with.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }

// read takes in the answer as far as it is for this package or for r.Read.
func (c *Client) read(r *Request, resp *http.Response) *Error {
	if resp.StatusCode >= 300 {
		return c.failure(r, resp)
	}
	if r.Read == nil {
		return nil
	}
	err := r.Read(resp.Header, resp.Body)
	if err == nil {
		_ = resp.Body.Close()
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Err: err}
	}
	e.Op, e.Target = r.Op, r.Target
	e.RequestID = first(e.RequestID, resp.Header.Get("X-Amz-Request-Id"))
	return e
}

// failure makes an error of an answer that is none of success.
func (c *Client) failure(r *Request, resp *http.Response) *Error {
	e := &Error{Op: r.Op, Target: r.Target, Status: resp.StatusCode, Location: resp.Header.Get("Location")}
	var text []byte
	if r.Method != http.MethodHead {
		// What cannot be read is not missed: the status tells enough.
		text, _ = io.ReadAll(io.LimitReader(resp.Body, maxFault))
	}
	f := c.o.Fault(resp.Header, text)
	e.Code, e.Message, e.Region = f.Code, f.Message, f.Region
	e.RequestID = first(f.RequestID, resp.Header.Get("X-Amz-Request-Id"), resp.Header.Get("X-Amzn-Requestid"))
	e.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	e.Message = strings.Join(strings.Fields(e.Message), " ")
	return e
}

// clockSlack is by how much clocks may differ before that is taken for the
// reason of a refusal; services bear 15 minutes.
const clockSlack = 4 * time.Minute
