package httpd

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestBusy: a request counts from its head to the last byte of its answer, an
// upload and a large download that are not done among them.
func TestBusy(t *testing.T) {
	s := start(t, Options{})
	idle := func() bool { return s.server.conns.activity.requests.Load() == 0 }
	if s.server.Busy() {
		t.Error("busy before the first request")
	}
	s.do("GET", "/v2/", nil).expect(t, 200)
	eventually(t, "nothing underway after an answer", idle)

	nc, r := s.send("POST /v2/a/blobs/uploads/?digest=" + absent + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
	eventually(t, "an upload underway", s.server.Busy)
	if _, err := io.WriteString(nc, "llo"); err != nil {
		t.Fatal(err)
	}
	answerTo(t, r, "POST")
	eventually(t, "nothing underway after an upload", idle)

	s.store.putSparse(t, 64<<20)
	nc, r = s.send("GET /v2/a/blobs/" + absent + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if !s.server.Busy() {
		t.Error("not busy with a download that nobody reads")
	}
	nc.Close()
	eventually(t, "nothing underway after the client has left", idle)
	eventually(t, "not busy a moment later", func() bool { return !s.server.Busy() })
}

// TestLull: the end of a request is followed by a moment that counts as busy.
func TestLull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := activity{born: time.Now()}
		time.Sleep(time.Second)
		a.begin()
		a.begin()
		a.end()
		time.Sleep(time.Hour)
		if !a.busy() {
			t.Error("not busy with one of two requests")
		}
		a.end()
		time.Sleep(lull - 1)
		if !a.busy() {
			t.Error("not busy right after the last one")
		}
		time.Sleep(time.Nanosecond)
		if a.busy() {
			t.Error("busy for too long")
		}
	})
}
