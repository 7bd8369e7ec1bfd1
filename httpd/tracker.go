package httpd

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// tracker knows every open connection.
type tracker struct {
	tick       time.Duration // between two looks at each connection
	idleEnough time.Duration // before a connection makes room for another
	leastBytes int64         // to move in a window of waiting
	spare      time.Duration // firstRequest; tests lengthen it
	linger     time.Duration // lingerTime; tests lengthen it
	forced     atomic.Bool   // all connections end now
	buffers    sync.Pool     // *[]byte of bufferSize
	wide       sync.Pool     // *[]byte of wideSize, for clients that hold a token of fast
	activity   activity

	mu      sync.Mutex // guards conns and quiet
	conns   map[*conn]struct{}
	quiet   time.Time     // since when there is no connection, while there is none
	fast    chan struct{} // one token for each client that is being sent to fast
	slots   chan struct{} // one token for each connection that may still come
	arrived chan struct{} // wakes the sweeper when the first one comes
	left    chan struct{} // wakes shutdown when one ends
}

// bufferSize is of the buffers that copy bodies; wideSize of those for quick
// clients, of which there are fastSlots at a time.
const bufferSize, wideSize = 16 << 10, 128 << 10

func newTracker(maxConns int, leastBytes int64, tick, idleEnough time.Duration) *tracker {
	t := &tracker{
		tick:       tick,
		idleEnough: idleEnough,
		activity:   activity{born: time.Now()},
		leastBytes: leastBytes,
		spare:      firstRequest,
		linger:     lingerTime,
		conns:      map[*conn]struct{}{},
		quiet:      time.Now(),
		fast:       make(chan struct{}, fastSlots),
		slots:      make(chan struct{}, maxConns),
		arrived:    make(chan struct{}, 1),
		left:       make(chan struct{}, 1),
	}
	t.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	t.wide.New = func() any { b := make([]byte, wideSize); return &b }
	return t
}

func (t *tracker) buffer() *[]byte   { return t.buffers.Get().(*[]byte) }
func (t *tracker) release(b *[]byte) { t.buffers.Put(b) }

// copy moves r to w through a pooled buffer.
func (t *tracker) copy(w io.Writer, r io.Reader) (int64, error) {
	buf := t.buffer()
	defer t.release(buf)
	return io.CopyBuffer(onlyWriter{w}, onlyReader{r}, *buf)
}

// onlyWriter and onlyReader hide methods by which io.Copy would pass the
// buffer by.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// add takes a connection into the books. The caller holds a slot for it.
func (t *tracker) add(raw net.Conn, secure bool) *conn {
	c := &conn{raw: raw, own: t, secure: secure}
	c.tcp, _ = raw.(*net.TCPConn)
	c.idleSince.Store(time.Now().UnixNano())
	t.mu.Lock()
	t.conns[c] = struct{}{}
	t.mu.Unlock()
	signal(t.arrived)
	return c
}

func (t *tracker) remove(c *conn) {
	t.mu.Lock()
	delete(t.conns, c)
	if len(t.conns) == 0 {
		t.quiet = time.Now()
	}
	t.mu.Unlock()
	<-t.slots
	signal(t.left)
}

// signal leaves a token in a channel with room for one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (t *tracker) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// quietSince tells since when there has been no connection; ok is false while
// there is one.
func (t *tracker) quietSince() (since time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.quiet, len(t.conns) == 0
}

// each calls fn for every connection there is now, outside of the lock.
func (t *tracker) each(fn func(*conn)) {
	t.mu.Lock()
	list := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		list = append(list, c)
	}
	t.mu.Unlock()
	for _, c := range list {
		fn(c)
	}
}

// sweep looks at all connections every tick, while there are any.
func (t *tracker) sweep(ctx context.Context) {
	ticker := time.NewTicker(t.tick)
	defer ticker.Stop()
	for {
		if t.len() == 0 {
			ticker.Stop()
			select {
			case <-ctx.Done():
				return
			case <-t.arrived:
			}
			ticker.Reset(t.tick)
		}
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			t.judge(now)
		}
	}
}

// judge looks at each connection under the lock: it only reads atomics and
// rarely sets a deadline, and makes no list.
func (t *tracker) judge(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.judge(now)
	}
}

// firstRequest is how long a new connection is spared when the server stops:
// its request is on the way, and its client, unlike one whose connection was
// used before, takes a close for a failure.
const firstRequest = time.Second

// closeIdle ends the connections that wait for a request.
func (t *tracker) closeIdle() {
	fresh := time.Now().Add(-t.spare).UnixNano()
	t.each(func(c *conn) {
		since := c.idleSince.Load()
		if since != 0 && (c.asked.Load() || since <= fresh) {
			c.abort()
		}
	})
}

// closeLongestIdle makes room for a new connection, if it can.
func (t *tracker) closeLongestIdle() {
	var oldest *conn
	least := time.Now().Add(-t.idleEnough).UnixNano()
	t.each(func(c *conn) {
		if since := c.idleSince.Load(); since != 0 && since <= least {
			oldest, least = c, since
		}
	})
	if oldest != nil {
		oldest.abort()
	}
}

// closeAll ends every connection, whatever it does.
func (t *tracker) closeAll() {
	t.forced.Store(true)
	t.each(func(c *conn) { c.abort() })
}
