package httpd

import (
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

const apiVersion = "registry/2.0"

// write hands the answer to fasthttp and puts the call back, or lets a stream
// take the connection over where the answer is large.
func (s *Server) write(rc *fasthttp.RequestCtx, c *call) {
	if c.api {
		c.set("Docker-Distribution-API-Version", apiVersion)
	}
	c.set("X-Request-Id", c.id)
	if s.stopping.Load() {
		rc.SetConnectionClose()
	}
	if c.streams() {
		s.takeOver(rc, c)
		return
	}
	size := s.fill(&rc.Response, c)
	s.logCall(rc, c, size)
	s.end(c)
}

// end puts a call back. fasthttp sends and closes the payload after this;
// whoever takes the call from the pool next must not find it there.
func (s *Server) end(c *call) {
	c.payload, c.content, c.body, c.failed = nil, nil, nil, nil
	s.calls.Put(c)
}

// fill copies the answer into fasthttp's and returns the length of its body.
func (s *Server) fill(resp *fasthttp.Response, c *call) int64 {
	h := &resp.Header
	resp.SetStatusCode(c.status)
	h.DisableNormalizing()
	if c.typ != "" {
		h.SetContentType(c.typ)
	}
	for _, f := range c.fields {
		h.Add(f.name, f.value)
	}
	switch {
	case c.isHead():
		resp.SkipBody = true
		h.SetContentLength(int(c.bodyLength()))
		if c.payload != nil {
			c.payload.close()
		}
		return 0
	case c.payload != nil:
		resp.SetBodyStream(&bodyStream{c.payload, s.conns}, int(c.payload.size))
	default:
		resp.SetBodyRaw(c.content)
	}
	return c.bodyLength()
}

// bodyLength is the length of the answer's body, or, for HEAD, what a GET's
// would be.
func (c *call) bodyLength() int64 {
	switch {
	case c.length >= 0:
		return c.length
	case c.payload != nil:
		return c.payload.size
	}
	return int64(len(c.content))
}

// bodyStream is a payload as fasthttp takes it.
type bodyStream struct {
	p *payload
	t *tracker
}

// WriteTo writes all of it.
func (b *bodyStream) WriteTo(w io.Writer) (int64, error) { return b.p.sendTo(w, b.t) }

// Read is there for the interface; fasthttp prefers WriteTo.
func (b *bodyStream) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// Close closes the content.
func (b *bodyStream) Close() error {
	b.p.close()
	return nil
}

// takeOverMin is the length from which an answer's body is sent apart from
// fasthttp, which would hold its buffers, 15 KiB, while a slow client reads.
// Less than that fits into the socket's own buffer.
const takeOverMin = 64 << 10

// streams tells whether the answer is sent by takeOver. On 32-bit machines
// fasthttp cannot tell a length over 2 GiB.
func (c *call) streams() bool {
	n := c.bodyLength()
	return c.payload != nil && !c.isHead() && n >= takeOverMin || int64(int(n)) != n
}

// appendHead makes the head of an answer that fasthttp does not write.
func (c *call) appendHead(b []byte, now time.Time, closing bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(c.status), 10)
	b = append(b, ' ')
	b = append(b, fasthttp.StatusMessage(c.status)...)
	b = append(b, "\r\nServer: berth\r\nDate: "...)
	b = fasthttp.AppendHTTPDate(b, now)
	b = appendField(b, "Content-Type", c.typ)
	for _, f := range c.fields {
		b = appendField(b, f.name, f.value)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, c.bodyLength(), 10)
	if closing {
		b = append(b, "\r\nConnection: close"...)
	}
	return append(b, "\r\n\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, "\r\n"...)
	b = append(b, name...)
	b = append(b, ": "...)
	return append(b, value...)
}
