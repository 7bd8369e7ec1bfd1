package httpd

import (
	"io"
	"time"
)

// parkTicks is after how many ticks of idleness a connection is parked.
const parkTicks = 2

// What conn.parked holds.
const (
	notParked = iota
	parking   // fasthttp is letting go
	waiting   // unpark has it
)

// parkable tells whether the connection has waited long enough for its next
// request to be parked: taken out of fasthttp's hands, which would hold its
// buffers, 18 KiB with the goroutine's stack, until that comes. A session of
// TLS holds more than that itself.
func (c *conn) parkable(now time.Time) bool {
	since := c.idleSince.Load()
	return since != 0 && c.parked.Load() == notParked && !c.secure && now.UnixNano()-since >= int64(parkTicks*c.own.tick)
}

// park makes fasthttp believe that the client has left, and keeps it from
// closing the connection.
func (c *conn) park() error {
	c.parked.Store(parking)
	c.keep.Add(1)
	return io.EOF
}

// unpark waits for the first byte of the next request, and then has fasthttp
// serve the connection again.
func (s *Server) unpark(c *conn) {
	defer s.recoverConn(c)
	n, err := c.Read(c.first[:])
	if n == 0 || err != nil {
		c.abort()
		return
	}
	c.front = c.first[:]
	c.parked.Store(notParked)
	c.idle = s.opts.IdleTimeout // until fasthttp sees the byte
	s.serveConn(c, c)
}
