package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"berth/oci"
)

// newFast sets fasthttp up. Deadlines reach the socket through conn, which
// holds bodies to a rate; so there is none for writing.
func (s *Server) newFast(base context.Context) *fasthttp.Server {
	return &fasthttp.Server{
		Name:          "berth",
		Handler:       func(rc *fasthttp.RequestCtx) { s.serve(base, rc) },
		ExpectHandler: func(rc *fasthttp.RequestCtx) int { return s.expect(base, rc) },
		ErrorHandler:  s.malformed,
		ConnState:     noteState,
		Logger:        fastLog{s.opts.Log},

		ReadTimeout:                  s.opts.HeaderTimeout,
		IdleTimeout:                  s.opts.IdleTimeout,
		ReadBufferSize:               8192,
		WriteBufferSize:              4096,
		Concurrency:                  math.MaxInt32,
		StreamRequestBody:            true,
		MaxRequestBodySize:           1, // what is read ahead of the handler, when streaming
		DisablePreParseMultipartForm: true,
		ReduceMemoryUsage:            true,
		SecureErrorLogMessage:        true,
		NoDefaultContentType:         true,
	}
}

// noteState tells a connection whether it waits for a request.
func noteState(nc net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateIdle:
		c := below(nc)
		c.transfer.Store(false)
		c.idleSince.Store(time.Now().UnixNano())
	case fasthttp.StateActive:
		c := below(nc)
		c.idle = 0
		c.asked.Store(true)
		c.idleSince.Store(0)
	}
}

// serve answers one request.
func (s *Server) serve(base context.Context, rc *fasthttp.RequestCtx) {
	s.conns.activity.begin()
	defer s.conns.activity.end()
	c := s.begin(rc)
	s.answer(base, rc, c)
	s.write(rc, c)
}

// begin takes a call for a request from the pool.
func (s *Server) begin(rc *fasthttp.RequestCtx) *call {
	c := s.calls.Get().(*call)
	c.reset()
	c.failed = nil
	c.began = time.Now()
	c.id = s.requestID(rc)
	return c
}

func (s *Server) requestID(rc *fasthttp.RequestCtx) string {
	if given := rc.Request.Header.Peek("X-Request-Id"); saneID(given) {
		return string(given)
	}
	return s.ids.next()
}

// answer parses, admits and dispatches. It turns an error, or a panic, into the
// answer.
func (s *Server) answer(base context.Context, rc *fasthttp.RequestCtx, c *call) {
	nc := below(rc.Conn())
	defer s.recoverCall(rc, c)
	err := s.understand(rc, c)
	if err == nil {
		err = s.admit(base, &c.req)
	}
	if err == nil {
		b := body{from: rc.RequestBodyStream(), conn: nc, left: c.req.length}
		c.body = &b
		if c.req.hasBody {
			nc.startTransfer()
		}
		err = s.dispatch(base, c)
		nc.unread = c.req.hasBody && !b.complete()
		if b.err != nil && b.err != io.EOF {
			rc.SetConnectionClose()
		}
	} else {
		nc.unread = c.req.hasBody
	}
	if c.req.hasBody {
		nc.endTransfer(s.opts.HeaderTimeout)
	}
	if nc.unread && c.req.length < 0 {
		rc.SetConnectionClose() // fasthttp ends it, and the client must know
	}
	if err != nil {
		s.fail(c, err)
	}
}

// understand parses the request.
func (s *Server) understand(rc *fasthttp.RequestCtx, c *call) (err error) {
	h := &rc.Request.Header
	path := string(rc.URI().PathOriginal())
	c.req, err = parse(methodName(h.Method()), path, string(rc.URI().QueryString()), int64(bodyLength(h)), header{h})
	c.path, c.api = path, underAPI(path)
	if framing := checkFraming(h); framing != nil {
		rc.SetConnectionClose()
		return framing
	}
	return err
}

// methodName is string(b) without an allocation for what is usual.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "PUT":
		return "PUT"
	}
	return string(b)
}

// bodyLength is Content-Length: -1 for a chunked body, 0 for none.
func bodyLength(h *fasthttp.RequestHeader) int {
	return max(-1, normalLength(h.ContentLength()))
}

// normalLength maps fasthttp's -2, no body, to 0.
func normalLength(n int) int {
	if n == -2 {
		return 0
	}
	return n
}

// checkFraming refuses what another server on the way may read differently: a
// request with both Content-Length and Transfer-Encoding, a header field folded
// over lines, a version of HTTP that is neither 1.0 nor 1.1.
func checkFraming(h *fasthttp.RequestHeader) error {
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return &failure{status: http.StatusHTTPVersionNotSupported, code: "UNSUPPORTED", message: "HTTP/1.1 is spoken here"}
	}
	raw := h.RawHeaders()
	if bytes.Contains(raw, []byte("\n ")) || bytes.Contains(raw, []byte("\n\t")) {
		return errBadRequest("a header field is folded over lines")
	}
	// fasthttp marks such a connection to be closed, so others need no look.
	if !h.ConnectionClose() || h.ContentLength() == -2 {
		return nil
	}
	raw = bytes.ToLower(raw)
	if bytes.Contains(raw, []byte("content-length:")) && bytes.Contains(raw, []byte("transfer-encoding:")) {
		return errBadRequest("a request has Content-Length or Transfer-Encoding, not both")
	}
	return nil
}

// header is the fields of a fasthttp request.
type header struct{ h *fasthttp.RequestHeader }

// get joins a field that is repeated.
func (h header) get(name string) string {
	all := h.h.PeekAll(name)
	if len(all) == 0 {
		return ""
	}
	value := string(all[0])
	for _, v := range all[1:] {
		value += ", " + string(v)
	}
	return value
}

// fail makes an error the answer; what the client is not told goes to the log.
func (s *Server) fail(c *call, err error) {
	if !c.fail(err) {
		s.opts.Log.Error("request failed", slog.String("request", c.id), slog.String("method", c.req.method),
			slog.String("repository", string(c.req.repo)), slog.Any("error", err))
		return
	}
	s.logTrouble(c, err)
}

// recoverCall answers 500 where a handler panicked. The connection ends, as
// nobody knows what was read of it.
func (s *Server) recoverCall(rc *fasthttp.RequestCtx, c *call) {
	p := recover()
	if p == nil {
		return
	}
	s.opts.Log.Error("handler panicked", slog.String("request", c.id), slog.String("method", c.req.method),
		slog.String("repository", string(c.req.repo)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	below(rc.Conn()).unread = c.req.hasBody
	rc.SetConnectionClose()
	c.fail(fmt.Errorf("panic: %v", p))
}

// expect answers "Expect: 100-continue": a request that is refused by its head
// alone gets the answer at once, and its body is never sent.
func (s *Server) expect(base context.Context, rc *fasthttp.RequestCtx) int {
	c := s.begin(rc)
	err := s.understand(rc, c)
	if err == nil {
		err = s.admit(base, &c.req)
	}
	if err == nil && c.req.end == endManifest && c.req.length > s.reg.MaxManifestSize() {
		err = manifestTooLarge(s.reg.MaxManifestSize())
	}
	if err == nil {
		s.end(c)
		return http.StatusContinue
	}
	below(rc.Conn()).unread = true
	s.fail(c, err)
	status := c.status
	s.write(rc, c)
	return status
}

// malformed answers what fasthttp could not read as a request.
func (s *Server) malformed(rc *fasthttp.RequestCtx, err error) {
	nc := below(rc.Conn())
	nc.unread = true
	nc.transfer.Store(false)
	c := s.begin(rc)
	c.req, c.path, c.api = request{}, "", true
	s.fail(c, explainMalformed(err))
	s.write(rc, c)
}

// explainMalformed maps fasthttp's errors. Their text may quote the request,
// with its credentials, and goes nowhere.
func explainMalformed(err error) error {
	small, timeout := (*fasthttp.ErrSmallBuffer)(nil), net.Error(nil)
	switch {
	case errors.As(err, &small):
		return &failure{status: http.StatusRequestHeaderFieldsTooLarge, code: "UNSUPPORTED",
			message: "the request's head is larger than 8 KiB"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &failure{status: http.StatusRequestTimeout, code: "UNSUPPORTED",
			message: "the request did not arrive in time"}
	case strings.Contains(err.Error(), "too long int"):
		return oci.Errorf(oci.ErrTooLarge, "this machine takes bodies of that length in chunks only: send a smaller Content-Length, or Transfer-Encoding: chunked")
	}
	return errBadRequest("the request is not well-formed HTTP/1.1")
}
