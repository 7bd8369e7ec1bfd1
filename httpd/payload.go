package httpd

import (
	"fmt"
	"io"
	"os"

	"berth/oci"
)

// fileContent is what a store on a file system may offer with its content: an
// open file, nil where there is none, and where in it the content's first byte
// is. The file goes out by sendfile(2).
type fileContent interface {
	File() (*os.File, int64)
}

// payload is the body of an answer that comes out of a store: parts of one
// content, each after a few bytes of its own.
type payload struct {
	content oci.Content
	parts   []part
	tail    string
	size    int64 // of all of it, in bytes
	one     [1]part
}

type part struct {
	head string
	span span
}

// whole makes one span the payload.
func (p *payload) whole(s span) {
	p.one[0] = part{span: s}
	p.parts = p.one[:]
	p.size = s.length()
}

// multipart makes several spans of content of a size and a type the payload
// (RFC 9110, section 14.6), and returns the media type of the whole.
func (p *payload) multipart(spans []span, size int64, typ, boundary string) string {
	p.parts = make([]part, len(spans))
	p.size = 0
	for i, s := range spans {
		head := "\r\n--" + boundary + "\r\nContent-Type: " + typ + "\r\nContent-Range: " + contentRange(s, size) + "\r\n\r\n"
		if i == 0 {
			head = head[2:]
		}
		p.parts[i] = part{head, s}
		p.size += int64(len(head)) + s.length()
	}
	p.tail = "\r\n--" + boundary + "--\r\n"
	p.size += int64(len(p.tail))
	return "multipart/byteranges; boundary=" + boundary
}

// sendTo writes the payload. An error leaves the answer incomplete.
func (p *payload) sendTo(w io.Writer, t *tracker) (sent int64, err error) {
	for _, part := range p.parts {
		n, err := sendText(w, part.head)
		sent += n
		if err != nil {
			return sent, err
		}
		n, err = p.sendSpan(w, part.span, t)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	n, err := sendText(w, p.tail)
	return sent + n, err
}

// sendText writes what stands around the parts, mostly nothing.
func sendText(w io.Writer, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := io.WriteString(w, s)
	return int64(n), err
}

func (p *payload) sendSpan(w io.Writer, s span, t *tracker) (sent int64, err error) {
	if s.length() == 0 {
		return 0, nil
	}
	var from io.ReadSeeker = p.content
	base := int64(0)
	isFile := false
	if c, ok := p.content.(fileContent); ok {
		if f, at := c.File(); f != nil {
			from, base, isFile = f, at, true
		}
	}
	if _, err := from.Seek(base+s.start, io.SeekStart); err != nil {
		return 0, err
	}
	limited := io.LimitedReader{R: from, N: s.length()}
	_, direct := w.(*conn)
	if to, ok := w.(io.ReaderFrom); ok && (isFile || direct) {
		sent, err = to.ReadFrom(&limited)
	} else {
		sent, err = t.copy(w, &limited)
	}
	if err == nil && sent < s.length() {
		err = fmt.Errorf("content ended %d bytes early: %w", s.length()-sent, io.ErrUnexpectedEOF)
	}
	return sent, err
}

func (p *payload) close() {
	if p.content != nil {
		p.content.Close()
		p.content = nil
	}
}
