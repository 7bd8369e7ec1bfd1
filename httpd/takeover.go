package httpd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

// stream is an answer that is sent apart from fasthttp. While its client reads
// slowly, it and the connection are all that is kept of the request.
type stream struct {
	head    []byte
	payload *payload // nil for an answer to HEAD
	log     entry
	closing bool // the connection ends with it
}

// takeOver takes the connection out of fasthttp's hands to send a large answer;
// when that is done, fasthttp gets it back for the next request.
func (s *Server) takeOver(rc *fasthttp.RequestCtx, c *call) {
	nc := rc.Conn()
	h := &rc.Request.Header
	st := &stream{
		payload: c.payload,
		log:     s.newEntry(rc, c),
		// What is left of a body would be read as the next request.
		closing: h.ConnectionClose() || !h.IsHTTP11() || c.req.hasBody || s.stopping.Load(),
	}
	st.head = c.appendHead(make([]byte, 0, 1024), c.began, st.closing)
	if c.isHead() && st.payload != nil {
		st.payload.close()
		st.payload = nil
	}
	s.end(c)

	s.conns.activity.begin() // until the stream has ended
	below(nc).lent = st
	below(nc).keep.Add(1) // fasthttp closes what was hijacked
	rc.HijackSetNoResponse(true)
	rc.Hijack(func(hijacked net.Conn) { s.detach(hijacked, nc, st) })
}

// detach runs in fasthttp's goroutine, which holds the buffers of the request
// until this returns. It saves what they hold of the next request.
func (s *Server) detach(hijacked, nc net.Conn, st *stream) {
	c := below(nc)
	c.lent = nil
	c.front = c.buffered(hijacked)
	go s.stream(nc, c, st)
}

// buffered reads what is in a reader over the connection, and no more.
func (c *conn) buffered(r io.Reader) []byte {
	c.hold = true
	defer func() { c.hold = false }()
	var one [1]byte
	if _, err := r.Read(one[:]); err != nil {
		return nil
	}
	rest, _ := io.ReadAll(r)
	return append(one[:], rest...)
}

// stream sends an answer and then serves what comes next.
func (s *Server) stream(nc net.Conn, c *conn, st *stream) {
	defer s.recoverConn(c)
	err := s.send(nc, st)
	switch {
	case err != nil:
		c.abort()
		return
	case st.closing || s.stopping.Load():
		nc.Close()
		return
	}
	c.resume(s.opts.IdleTimeout)
	s.serveConn(nc, c)
}

// send writes head and payload. A client that leaves in the middle is nothing
// to log but in the access log; content that cannot be read is.
func (s *Server) send(nc net.Conn, st *stream) (err error) {
	var sent int64
	defer func() {
		s.conns.activity.end()
		if st.payload != nil {
			st.payload.close()
		}
		st.log.cut = err != nil
		s.logAnswer(&st.log, sent)
	}()
	if _, err = nc.Write(st.head); err != nil || st.payload == nil {
		return err
	}
	st.head = nil
	sent, err = st.payload.sendTo(nc, s.conns)
	return err
}

// abandon ends a connection that failed, perhaps before a stream could take it.
func (c *conn) abandon() {
	if st := c.lent; st != nil {
		c.lent = nil
		c.own.activity.end()
		if st.payload != nil {
			st.payload.close()
		}
	}
	c.abort()
}

// resume makes a connection wait for its next request.
func (c *conn) resume(idle time.Duration) {
	c.idle = idle
	c.idleSince.Store(time.Now().UnixNano())
}

// recoverConn ends a connection whose goroutine panicked outside of a handler.
func (s *Server) recoverConn(c *conn) {
	p := recover()
	if p == nil {
		return
	}
	s.opts.Log.LogAttrs(context.Background(), slog.LevelError, "connection panicked",
		slog.String("remote", c.RemoteAddr().String()), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	c.abort()
}
