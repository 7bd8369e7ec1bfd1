package httpd

import (
	"io"
	"testing"
)

// TestQuietSince: it is quiet while nobody is connected, request or not.
func TestQuietSince(t *testing.T) {
	s := start(t, Options{})
	first, ok := s.server.QuietSince()
	if !ok || first.IsZero() {
		t.Fatalf("before the first connection: %v, %v", first, ok)
	}
	nc, r := s.dial()
	eventually(t, "the connection is counted", func() bool { _, ok := s.server.QuietSince(); return !ok })
	io.WriteString(nc, get+"\r\n")
	answerTo(t, r, "GET").expect(t, 200)
	if _, ok := s.server.QuietSince(); ok {
		t.Error("quiet with an open connection")
	}
	nc.Close()
	eventually(t, "the connection is gone", func() bool { _, ok := s.server.QuietSince(); return ok })
	if again, _ := s.server.QuietSince(); !again.After(first) {
		t.Errorf("quiet since %v, and before the connection since %v", again, first)
	}
}

// TestStopSparesNewConnections: the request of a connection that was accepted
// just before the stop is answered, and then the connection ends.
func TestStopSparesNewConnections(t *testing.T) {
	s := start(t, Options{ShutdownTimeout: patience})
	s.server.conns.spare = patience
	nc, r := s.dial()
	eventually(t, "the connection is accepted", func() bool { return s.server.conns.len() == 1 })
	s.stop()
	eventually(t, "the server stops", s.server.stopping.Load)
	s.server.conns.closeIdle()
	if _, err := io.WriteString(nc, get+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answerTo(t, r, "GET").expect(t, 200)
	closed(t, r)
}

// TestStopEndsSilentConnections: one over which nothing came for long is not
// waited for.
func TestStopEndsSilentConnections(t *testing.T) {
	s := start(t, Options{ShutdownTimeout: patience})
	s.server.conns.spare = 0
	_, r := s.dial()
	eventually(t, "the connection is accepted", func() bool { return s.server.conns.len() == 1 })
	s.stop()
	closed(t, r)
}
