package httpd

import (
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// How much of what was written may wait in the kernel unsent before writing
// blocks (TCP_NOTSENT_LOWAT). Slow clients cost kernel memory, not heap: so a
// connection starts with little. One that takes it quickly is given all that the
// kernel wants to buffer, which halves the CPU time of a pull; slots bound how
// many have that at once.
const (
	patientBytes = 16 << 10
	fastBytes    = -1 // no bound but the socket's buffer, 4 MiB where nobody changed that
	fastSlots    = 8

	probeBytes   = 256 << 10 // sent patiently to see whether a client is quick
	segmentBytes = 8 << 20   // sent fast between two looks at the clock
	quickRate    = 8 << 20   // bytes/s from which a client is quick
)

// keepAlive is after how much silence a peer is probed.
const keepAlive = 60 * time.Second

// tune sets the options of a new connection; net has set TCP_NODELAY. Failures
// do not matter: the connection works without them.
func tune(raw net.Conn) {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return
	}
	setUnsent(tcp, patientBytes)
	if sameHost(tcp.LocalAddr(), tcp.RemoteAddr()) {
		setOption(tcp, func(fd int) error { return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, unpaced) })
	}
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 4, Count: 4})
}

func setUnsent(tcp *net.TCPConn, bytes int) {
	setOption(tcp, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

func setOption(tcp *net.TCPConn, set func(fd int) error) {
	if rc, err := tcp.SyscallConn(); err == nil {
		rc.Control(func(fd uintptr) { set(int(fd)) })
	}
}

// unpaced is an algorithm that every kernel has and every process may choose.
// Some systems have one that sends by a clock (BBR). Within one machine, where
// proxies are, there is nothing to be polite to: there the timers cost more than
// all the rest of sending.
const unpaced = "reno"

// sameHost tells whether both ends of a connection are on this machine.
func sameHost(a, b net.Addr) bool {
	local, ok := a.(*net.TCPAddr)
	remote, also := b.(*net.TCPAddr)
	return ok && also && (remote.IP.IsLoopback() || remote.IP.Equal(local.IP))
}

// sendPaced sends in segments, with a look at the clock now and then. A client
// that was quick before is taken to be so again. Where the content is slow to
// come, its client is not quick.
func (c *conn) sendPaced(from *io.LimitedReader, send func(*io.LimitedReader) (int64, error)) (sent int64, err error) {
	defer c.slowDown()
	if c.quick {
		c.speedUp()
	}
	for from.N > 0 {
		segment := int64(probeBytes)
		if c.fast {
			segment = segmentBytes
		}
		part := io.LimitedReader{R: from.R, N: min(from.N, segment)}
		began := time.Now()
		n, err := send(&part)
		sent += n
		from.N -= n
		if err != nil || part.N > 0 {
			return sent, err
		}
		c.quick = time.Since(began) <= time.Duration(n)*time.Second/quickRate
		if c.quick {
			c.speedUp()
		} else {
			c.slowDown()
		}
	}
	return sent, nil
}

// speedUp takes one of the slots for quick clients, if there is one.
func (c *conn) speedUp() {
	if c.fast {
		return
	}
	select {
	case c.own.fast <- struct{}{}:
		c.fast = true
		setUnsent(c.tcp, fastBytes)
	default:
	}
}

// slowDown gives the slot back.
func (c *conn) slowDown() {
	if !c.fast {
		return
	}
	c.fast = false
	setUnsent(c.tcp, patientBytes)
	<-c.own.fast
}
