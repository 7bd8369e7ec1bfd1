package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUploadThatHangs(t *testing.T) {
	s := start(t, impatient(Options{}))
	location := s.session("a")
	_, r := s.send("PATCH " + location + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
	answerTo(t, r, "PATCH").expect(t, 400, "Connection", "close")
	closed(t, r)
	s.do("GET", location, nil).expect(t, 204, "Range", "0-3")
}

// byHand starts a server whose sweeper never comes; window does its work.
func byHand(t *testing.T) *site {
	t.Helper()
	s := start(t, Options{tick: time.Hour})
	s.server.conns.leastBytes = 1
	return s
}

// window lets as much time pass for the one connection that waits for its
// client as its rate is measured over, and returns when that was judged, or
// where the transfer is over. It comes to the window's end once: a second one
// might begin before the client can move a byte.
func (s *site) window(d direction) {
	s.t.Helper()
	judged := func() (n int64, ticks int) {
		s.server.conns.each(func(c *conn) { n, ticks = n+d.of(c).windows.Load(), ticks+d.of(c).ticks })
		return n, ticks
	}
	before, ticks := judged()
	ended := false
	eventually(s.t, "a window passed", func() bool {
		if n, _ := judged(); n > before || !s.transfers(d) {
			return true
		}
		for !ended {
			s.server.conns.judge(time.Now())
			last := ticks
			if _, ticks = judged(); ticks == last {
				break // it does not wait just now
			}
			ended = ticks < last
		}
		return false
	})
}

// transfers tells whether a connection has something under way.
func (s *site) transfers(d direction) (any bool) {
	s.server.conns.each(func(c *conn) { any = any || d.underway(c) })
	return any
}

// direction is one of a connection.
type direction struct {
	of       func(*conn) *meter
	underway func(*conn) bool
}

var (
	incoming = direction{func(c *conn) *meter { return &c.in }, func(c *conn) bool { return c.transfer.Load() }}
	outgoing = direction{func(c *conn) *meter { return &c.out }, func(c *conn) bool { return true }}
)

// A body that is slow, but keeps the least rate, may take longer than any
// deadline; when it falls below, it ends.
func TestSlowUpload(t *testing.T) {
	s := byHand(t)
	location := s.session("a")
	s.client.CloseIdleConnections()
	nc, r := s.send("PATCH " + location + " HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n")
	var c *conn
	for range 5 {
		io.WriteString(nc, "x")
		eventually(t, "the byte has come", func() bool {
			s.server.conns.each(func(other *conn) {
				if other.transfer.Load() {
					c = other
				}
			})
			return c != nil && (c.in.moved.Load() > 0 || c.in.waiting.Load())
		})
		c.in.moved.Add(1) // the first byte may have come before the transfer began
		s.window(incoming)
	}
	for range 3 { // the last byte may count for the next window
		s.window(incoming)
	}
	answerTo(t, r, "PATCH").expect(t, 400, "Connection", "close")
	s.do("GET", location, nil).expect(t, 204, "Range", "0-4")
}

// A window that spans two requests counts what came by both: who has just begun
// with the second is not the slower for it.
func TestSlowUploads(t *testing.T) {
	s := byHand(t)
	location := s.session("a")
	s.client.CloseIdleConnections()
	eventually(t, "nobody is there", func() bool { return s.server.conns.len() == 0 })
	nc, r := s.send("PATCH " + location + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx")
	var c *conn
	eventually(t, "the upload has begun", func() bool {
		s.server.conns.each(func(only *conn) { c = only })
		return c != nil && c.transfer.Load()
	})
	eventually(t, "a window has almost passed", func() bool {
		c.judge(time.Now())
		return c.in.ticks == rateWindow-1
	})
	io.WriteString(nc, "x")
	answer := answerTo(t, r, "PATCH")
	answer.expect(t, 202)
	io.WriteString(nc, "PATCH "+answer.header.Get("Location")+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx")
	eventually(t, "the window has passed", func() bool {
		if c.transfer.Load() {
			c.judge(time.Now())
		}
		return c.in.windows.Load() == 1
	})
	io.WriteString(nc, "x")
	answerTo(t, r, "PATCH").expect(t, 202)
	s.do("GET", location, nil).expect(t, 204, "Range", "0-3")
}

// A client that reads now and then is sent to on; one that stops is not.
func TestSlowDownload(t *testing.T) {
	for _, how := range []string{"read", "files", "pipes"} {
		s := byHand(t)
		s.store.files, s.store.pipes = how == "files", how == "pipes"
		d := s.blob("a", strings.Repeat("x", 32<<20))
		s.client.CloseIdleConnections()
		eventually(t, "nobody is there", func() bool { return s.server.conns.len() == 0 })
		nc, r := s.dial()
		nc.(*net.TCPConn).SetReadBuffer(64 << 10)
		io.WriteString(nc, "GET /v2/a/blobs/"+string(d)+" HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		// What the client reads between two windows is more than the kernel has
		// room for: so the server has moved something, too.
		s.server.conns.each(func(c *conn) { c.tcp.SetWriteBuffer(64 << 10) })
		for range 5 {
			if _, err := io.CopyN(io.Discard, resp.Body, 4<<20); err != nil {
				t.Fatal(err)
			}
			s.window(outgoing)
		}
		if s.server.conns.len() != 1 {
			t.Fatal("the connection was ended")
		}
		for range 10 { // what the kernel has room for still moves
			s.window(outgoing)
		}
		eventually(t, "the connection is ended", func() bool { return s.server.conns.len() == 0 })
		eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
	}
}

func TestDownloadThatHangs(t *testing.T) {
	s := start(t, impatient(Options{}))
	s.store.files = true
	d := s.stored("a", strings.Repeat("x", 32<<20)) // a push could be found slow itself
	_, r := s.send("GET /v2/a/blobs/" + string(d) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is closed", func() bool { return s.store.opened() == 0 })
	eventually(t, "the connection is closed", func() bool { return s.server.conns.len() <= 1 })
}

// pair is a connection that no server has, and its client's side.
func pair(t *testing.T, leastBytes int64) (*conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	raw, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	conns := newTracker(1, leastBytes, time.Hour, time.Hour)
	conns.slots <- struct{}{}
	return conns.add(raw, false), client
}

// TestLateWake: a call that finds the deadline passed by which another one was to
// be woken loses none of a file.
func TestLateWake(t *testing.T) {
	var content []byte
	for i := range 64 << 10 { // no two parts are equal
		content = fmt.Appendf(content, "%015d\n", i)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, client := pair(t, 0)
	c.raw.SetWriteDeadline(time.Now().Add(-time.Second))
	sent := make(chan error, 1)
	go func() {
		n, err := c.ReadFrom(&io.LimitedReader{R: f, N: int64(len(content))})
		if err == nil && n != int64(len(content)) {
			err = fmt.Errorf("%d bytes were sent", n)
		}
		sent <- errors.Join(err, c.Close())
	}()
	got, err := io.ReadAll(client)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came of %d, or other ones: %v", len(got), len(content), err)
	}
}

// TestWokenForAnotherReason: a body whose connection the sweeper has just taken
// for idle is not judged by what came of it until then.
func TestWokenForAnotherReason(t *testing.T) {
	c, client := pair(t, 1<<20)
	c.startTransfer()
	c.raw.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := io.WriteString(client, "body"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "body" {
		t.Errorf("%q, %v", got, err)
	}
}
