package httpd

import (
	"fmt"
	"io"

	"berth/oci"
)

// body is a request's body. It ends with io.EOF only where it is complete; one
// that was cut short ends with an error that wraps oci.ErrClientGone.
type body struct {
	from io.Reader
	conn *conn // that it comes by
	left int64 // bytes still to come; -1: not known
	err  error // how it ended
}

var _ oci.Remaining = (*body)(nil)

// Read reads what the client sends.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = io.EOF
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF && b.left > 0:
		b.err = fmt.Errorf("%w: %d bytes were still to come", oci.ErrClientGone, b.left)
	case err == io.EOF && b.left < 0 && b.conn.eof.Load(): // fasthttp takes the connection's end for the last chunk
		b.err = fmt.Errorf("%w: the last chunk did not come", oci.ErrClientGone)
	case err == io.EOF:
		b.err = io.EOF
	case err != nil:
		b.err = fmt.Errorf("%w: %w", oci.ErrClientGone, err)
	}
	return n, b.err
}

// Remaining tells how many bytes are still to come, -1 where that is not known.
func (b *body) Remaining() int64 { return b.left }

// complete tells whether all of the body was read.
func (b *body) complete() bool { return b.left == 0 || b.err == io.EOF }

// chunkBody holds a body of unknown length to the length that its
// Content-Range tells.
type chunkBody struct {
	from io.Reader
	left int64
	want int64
}

var _ oci.Remaining = (*chunkBody)(nil)

// checkChunk wraps a body where its length has to be checked against
// Content-Range yet; parse has done so where the length is known.
func (r *request) checkChunk(from io.Reader) io.Reader {
	if !r.hasChunk || r.length >= 0 {
		return from
	}
	return &chunkBody{from: from, left: r.chunk.length(), want: r.chunk.length()}
}

// Read fails where the body has more or fewer bytes than told, before the
// first byte too many is passed on.
func (b *chunkBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if int64(n) > b.left || err == io.EOF && int64(n) < b.left {
		n = int(min(int64(n), b.left))
		b.left -= int64(n)
		return n, oci.Errorf(oci.ErrSizeInvalid, "the body has not the %d bytes that Content-Range tells", b.want)
	}
	b.left -= int64(n)
	return n, err
}

// Remaining tells how many bytes are still to come.
func (b *chunkBody) Remaining() int64 { return b.left }
