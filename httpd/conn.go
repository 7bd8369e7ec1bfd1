package httpd

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a client's connection. It stands below fasthttp, and below TLS, and
// adds what they lack: a deadline for heads and a least rate for bodies, an end
// that is remembered, and a close that lets the client read the answer.
//
// No deadline is set on the socket while all goes well: the sweeper looks at
// every connection once a second, and where a client has been waited for too
// long it wakes the blocked call by a deadline in the past. The woken call
// itself decides whether to go on, by expired.
type conn struct {
	raw net.Conn
	tcp *net.TCPConn // nil on a unix socket
	own *tracker

	deadline  atomic.Int64 // of a head, or of idleness; Unix nanoseconds, 0: none
	transfer  atomic.Bool  // a body is being read: by rate, not by deadline
	in, out   meter
	idleSince atomic.Int64 // Unix nanoseconds; 0: a request is being answered
	asked     atomic.Bool  // a request has come over it
	eof       atomic.Bool  // the client has ended its side
	keep      atomic.Int32 // calls of Close to ignore
	parked    atomic.Int32 // see park.go
	secure    bool         // TLS is spoken over it

	// The rest is of the goroutine that serves the connection.
	unread bool          // the client may still be sending: linger
	quick  bool          // its client was, when last asked
	fast   bool          // it has one of the slots for quick clients
	first  [1]byte       // of the next request, after it was parked
	hold   bool          // Read ends at what is already buffered
	front  []byte        // to be read before the socket
	idle   time.Duration // not 0: how long to wait for the next request
	lent   *stream       // to be sent as soon as fasthttp lets go

	closing sync.Once
}

var (
	_ net.Conn      = (*conn)(nil)
	_ io.ReaderFrom = (*conn)(nil)
)

// errHeld is what Read returns in place of waiting, while hold is set.
var errHeld = errors.New("nothing more is buffered")

// A meter sees one direction of a connection.
type meter struct {
	waiting atomic.Bool  // a call is blocked, or about to be
	moved   atomic.Int64 // bytes since the last judgement
	windows atomic.Int64 // judged
	over    atomic.Bool  // a window has ended, and is to be judged
	ticks   int          // of the sweeper, while waiting, since then
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.front) > 0 {
		n := copy(p, c.front)
		c.front = c.front[n:]
		return n, nil
	}
	if c.hold {
		return 0, errHeld
	}
	for {
		c.in.waiting.Store(true)
		n, err := c.raw.Read(p)
		c.in.waiting.Store(false)
		if err == nil {
			c.in.moved.Add(int64(n))
			return n, nil
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.readExpired() {
			c.raw.SetReadDeadline(time.Time{})
			if c.parkable(time.Now()) {
				return 0, c.park()
			}
			continue
		}
		if err == io.EOF {
			c.eof.Store(true)
		}
		return n, err
	}
}

// readExpired decides, once a blocked Read was woken, whether it is over.
func (c *conn) readExpired() bool {
	if c.own.forced.Load() {
		return true
	}
	if c.transfer.Load() {
		return !c.in.keepsUp(c.own.leastBytes)
	}
	deadline := c.deadline.Load()
	return deadline != 0 && time.Now().UnixNano() >= deadline
}

func (c *conn) Write(p []byte) (written int, err error) {
	for {
		c.out.waiting.Store(true)
		n, err := c.raw.Write(p[written:])
		c.out.waiting.Store(false)
		c.out.moved.Add(int64(n))
		written += n
		if err == nil || !c.goOnWriting(err) {
			return written, err
		}
	}
}

// ReadFrom sends what r yields: a file in an io.LimitedReader by sendfile(2),
// where the connection is TCP.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if c.tcp == nil || !ok {
		return c.own.copy(c, r)
	}
	send := c.sendCopy
	if _, ok := limited.R.(*os.File); ok {
		send = c.sendFile
	}
	if limited.N <= probeBytes {
		return send(limited)
	}
	return c.sendPaced(limited, send)
}

// sendCopy sends through a buffer: to a client that is sent to fast through a
// large one, or through a pipe where the content can go that way.
func (c *conn) sendCopy(from *io.LimitedReader) (sent int64, err error) {
	if c.fast {
		if sent, err = c.sendWide(from); err != nil {
			return sent, err
		}
	}
	rest, err := c.own.copy(c, from)
	return sent + rest, err
}

// sendFile is one call of sendfile(2), seen from here.
func (c *conn) sendFile(from *io.LimitedReader) (sent int64, err error) {
	for {
		left := from.N
		c.out.waiting.Store(true)
		n, err := c.tcp.ReadFrom(from)
		c.out.waiting.Store(false)
		c.out.moved.Add(n)
		sent += n
		if err == nil || !c.goOnWriting(err) {
			return sent, err
		}
		if err := unread(from, left-n); err != nil {
			return sent, err
		}
	}
}

// unread goes back in a file to where so many bytes were left to send. A call that
// begins when the deadline has passed already, since the one that the sweeper saw
// had just ended, is none of sendfile(2): package net reads a part of the file
// itself then, cannot write it, and forgets it.
func unread(from *io.LimitedReader, left int64) error {
	back := left - from.N
	if back == 0 {
		return nil
	}
	from.N = left
	_, err := from.R.(io.Seeker).Seek(-back, io.SeekCurrent)
	return err
}

// goOnWriting decides, once a blocked write was woken, whether it is over.
func (c *conn) goOnWriting(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.own.forced.Load() {
		return false
	}
	if !c.out.keepsUp(c.own.leastBytes) {
		return false
	}
	c.slowDown() // it has been waited for, for a whole window
	c.raw.SetWriteDeadline(time.Time{})
	return true
}

// judge is the sweeper's look at the connection.
func (c *conn) judge(now time.Time) {
	if c.in.waiting.Load() {
		deadline := c.deadline.Load()
		late := !c.transfer.Load() && deadline != 0 && now.UnixNano() >= deadline
		if late || c.transfer.Load() && c.in.due() || c.parkable(now) {
			c.raw.SetReadDeadline(now)
		}
	}
	if c.out.waiting.Load() && c.out.due() {
		c.raw.SetWriteDeadline(now)
	}
}

// keepsUp is the judgement at a window's end. A call that was woken for another
// reason, as the sweeper took its connection for idle a moment too late, goes on.
func (m *meter) keepsUp(leastBytes int64) bool {
	if !m.over.Swap(false) {
		return true
	}
	m.windows.Add(1)
	return m.moved.Swap(0) >= leastBytes
}

// due counts a tick of waiting and tells whether it is time for a judgement.
func (m *meter) due() bool {
	m.ticks++
	if m.ticks < rateWindow {
		return false
	}
	m.ticks = 0
	m.over.Store(true)
	return true
}

// startTransfer begins the reading of a body. What moved before stays counted,
// as do the ticks: a window may span the bodies of many requests.
func (c *conn) startTransfer() { c.transfer.Store(true) }

// endTransfer ends it; what is left of the body must come within a time.
func (c *conn) endTransfer(rest time.Duration) {
	c.SetReadDeadline(time.Now().Add(rest))
	c.transfer.Store(false)
}

// SetReadDeadline sets when the head of a request must be there.
func (c *conn) SetReadDeadline(t time.Time) error {
	switch {
	case t.IsZero():
		c.deadline.Store(0)
	case c.idle != 0: // fasthttp takes a connection that it gets back for a new one
		c.deadline.Store(time.Now().Add(c.idle).UnixNano())
	default:
		c.deadline.Store(t.UnixNano())
	}
	return nil
}

// SetWriteDeadline does nothing: what is written is held to the least rate.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// LocalAddr is the socket's.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the socket's.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Close ends the connection, after the client has had time to read the answer
// where it may still be sending. A connection that a stream has taken over is
// closed by that.
func (c *conn) Close() error {
	if c.ignoreClose() {
		return nil
	}
	if c.unread && !c.eof.Load() && !c.own.forced.Load() {
		c.linger()
	}
	return c.abort()
}

// ignoreClose uses up one call of Close that is to be ignored, if there is one.
func (c *conn) ignoreClose() bool {
	for {
		n := c.keep.Load()
		if n == 0 {
			return false
		}
		if c.keep.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// abort closes at once, whatever is underway.
func (c *conn) abort() (err error) {
	c.closing.Do(func() {
		err = c.raw.Close()
		c.own.remove(c)
	})
	return err
}

const (
	lingerTime  = 5 * time.Second
	lingerBytes = 64 << 20
)

// linger ends our side and reads on for a while. Closing a socket that holds
// unread bytes resets it, and a client that is still sending would see the
// reset in place of the answer.
func (c *conn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(c.own.linger)
	buf := c.own.buffer()
	defer c.own.release(buf)
	for n := 0; n < lingerBytes && !c.own.forced.Load() && time.Now().Before(end); {
		c.raw.SetReadDeadline(end)
		got, err := c.raw.Read(*buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // that may be the sweeper's, come late
			return
		}
		n += got
	}
}
