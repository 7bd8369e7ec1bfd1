package wire

import (
	"context"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connection on which a body can be moved into a pipe by splice(2),
// without being copied. net/http knows nothing of that: what it reads into the
// buffer of readOrMove goes to the pipe instead, and it counts the bytes. Its
// own buffer, with the head of the answer and what came with it, is read first
// and in the common way.
type socket struct {
	*net.TCPConn

	// asked is set while readOrMove runs. When that ends, net/http may have the
	// connection at work for somebody else.
	asked atomic.Pointer[move]
}

// move is one call of readOrMove.
type move struct {
	buf  []byte
	pipe int
	done bool
}

// dial makes connections sockets where they can be.
func dial(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if tcp, ok := c.(*net.TCPConn); ok {
			return &socket{TCPConn: tcp}, err
		}
		return c, err
	}
}

// traced has the socket of an exchange written down, where it is neither
// encrypted nor of another kind.
func traced(trace *httptrace.ClientTrace, at **socket) *httptrace.ClientTrace {
	trace.GotConn = func(info httptrace.GotConnInfo) { *at, _ = info.Conn.(*socket) }
	return trace
}

// readOrMove reads from a body that comes over the socket.
func (s *socket) readOrMove(body io.Reader, buf []byte, pipe int) (n int, moved bool, err error) {
	m := &move{buf: buf, pipe: pipe}
	s.asked.Store(m)
	n, err = body.Read(buf)
	s.asked.CompareAndSwap(m, nil)
	return n, m.done && n > 0, err
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) {
	m := s.asked.Load()
	if m == nil || len(p) == 0 || unsafe.SliceData(p) != unsafe.SliceData(m.buf) {
		return s.TCPConn.Read(p)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int64
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			some, err := unix.Splice(int(fd), nil, m.pipe, nil, len(p), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			n, failed = int64(some), err // its type is another one on 32-bit
			if failed != unix.EINTR {
				return failed != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		// Nothing was taken: the error comes again where it is the connection's,
		// and is none where the kernel cannot do this.
		return s.TCPConn.Read(p)
	case n == 0:
		return 0, io.EOF
	}
	m.done = true
	return int(n), nil
}
