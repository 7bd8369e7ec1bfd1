// Package client is the load generator's side of HTTP: keep-alive connections
// that cost so little processor time that the server is what is measured.
// Requests are written as prepared bytes, answers are read header by header,
// and bodies are dropped inside the kernel. It speaks as much of HTTP/1.1 as
// the servers under test do; whatever else they send is an error, never a guess.
package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Timeout bounds one exchange.
const Timeout = 60 * time.Second

// dropChunk is how many bytes one system call may drop.
const dropChunk = 1 << 20

// Conn is one connection, dialled on first use and again after the server
// closed it. It is not safe for concurrent use.
type Conn struct {
	addr    string
	control func(network, address string, c syscall.RawConn) error
	tcp     *net.TCPConn
	raw     syscall.RawConn
	in      *bufio.Reader
	scratch []byte
}

// New makes a connection to addr, "host:port". It does no I/O.
func New(addr string) *Conn { return &Conn{addr: addr} }

// NewNarrow is New with a receive buffer of so many bytes, set before the
// connection is made so that the window never opens further.
func NewNarrow(addr string, receive int) *Conn {
	return &Conn{addr: addr, control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
		})
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}}
}

// Dial connects unless the connection stands.
func (c *Conn) Dial() error {
	if c.tcp != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: Timeout, Control: c.control, KeepAlive: -1}
	conn, err := dialer.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	c.tcp = conn.(*net.TCPConn)
	if c.raw, err = c.tcp.SyscallConn(); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.tcp, 4096)
	return nil
}

// Close closes the connection; the next request dials again.
func (c *Conn) Close() {
	if c.tcp != nil {
		_ = c.tcp.Close()
		c.tcp = nil
	}
}

// Send writes a request: its head, as Head makes it, and then its body.
func (c *Conn) Send(head []byte, body ...[]byte) error {
	if err := c.Dial(); err != nil {
		return err
	}
	if err := c.tcp.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return err
	}
	parts := append(net.Buffers{head}, body...)
	_, err := parts.WriteTo(c.tcp)
	return err
}

// Do sends a request and reads the answer, whose body it drops.
func (c *Conn) Do(head []byte, body ...[]byte) (Answer, error) {
	a, err := c.exchange(head, body)
	if err != nil || a.Close {
		c.Close()
	}
	return a, err
}

func (c *Conn) exchange(head []byte, body [][]byte) (Answer, error) {
	if err := c.Send(head, body...); err != nil {
		return Answer{}, err
	}
	a, err := c.ReadHead()
	if err != nil || bytes.HasPrefix(head, []byte("HEAD ")) {
		return a, err
	}
	return a, c.drop(a.Length)
}

// Fetch sends a request without a body and returns the answer's body. It is
// for set-up and checks: it takes any answer that net/http can read.
func (c *Conn) Fetch(head []byte) (status int, body []byte, err error) {
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := c.Send(head); err != nil {
		return 0, nil, err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if answer.Close {
		c.Close()
	}
	return answer.StatusCode, body, err
}

// Read reads bytes of a body whose head ReadHead has read.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.tcp.SetReadDeadline(time.Now().Add(Timeout)); err != nil {
		return 0, err
	}
	return c.in.Read(p)
}

// drop discards n bytes of body: what is buffered here, then the rest by
// recv(2) with MSG_TRUNC, which frees them without copying them.
func (c *Conn) drop(n int64) error {
	buffered, err := c.in.Discard(int(min(n, int64(c.in.Buffered()))))
	n -= int64(buffered)
	if n == 0 || err != nil {
		return err
	}
	if c.scratch == nil {
		c.scratch = make([]byte, dropChunk)
	}
	var failed error
	err = c.raw.Read(func(fd uintptr) (done bool) {
		n, done, failed = dropReady(int(fd), n, c.scratch)
		return done
	})
	if err != nil {
		return err
	}
	return failed
}

// dropReady drops what has arrived of n bytes. done is false when the socket
// has to be waited for.
func dropReady(fd int, n int64, scratch []byte) (left int64, done bool, err error) {
	for n > 0 {
		got, _, err := syscall.Recvfrom(fd, scratch[:min(n, int64(len(scratch)))], syscall.MSG_TRUNC)
		switch {
		case err == syscall.EAGAIN:
			return n, false, nil
		case err == syscall.EINTR:
			continue
		case err != nil:
			return n, true, fmt.Errorf("recv: %w", err)
		case got == 0:
			return n, true, fmt.Errorf("the body ended %d bytes early", n)
		}
		n -= int64(got)
	}
	return 0, true, nil
}
