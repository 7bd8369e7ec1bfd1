package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestStalls: in each phase of an exchange, one in which nothing moves is cut.
func TestStalls(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 32<<20)
	for name, c := range map[string]struct {
		body  *Body
		serve func(w http.ResponseWriter, r *http.Request)
	}{
		"before the answer": {nil, func(http.ResponseWriter, *http.Request) {}},
		"in the request":    {Bytes(big), func(http.ResponseWriter, *http.Request) {}},
		"in the answer": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "01234")
			_ = http.NewResponseController(w).Flush()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan struct{}, 10)
			h := start(t, func(w http.ResponseWriter, r *http.Request) {
				c.serve(w, r)
				entered <- struct{}{}
				<-release
			})
			t.Cleanup(func() { close(release) }) // before the server's own
			h.o.Attempts, h.o.Stall = 2, 30*time.Second
			go func() { // the time begins when the first request is where it stalls
				select {
				case <-entered:
					h.clock.run(t)
				case <-t.Context().Done():
				}
			}()
			_, err := h.call(t, Request{Body: c.body, Read: func(_ http.Header, body io.Reader) error {
				_, err := io.Copy(io.Discard, body)
				return err
			}})
			var e *Error
			if !errors.Is(err, ErrStalled) || !errors.As(err, &e) || e.Attempts != 2 {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// slow lets the fake time go by at each Read, as a slow client of berth does.
type slow struct {
	clock *fakeClock
	left  int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.clock.advance(time.Hour)
	s.left--
	return copy(p, "x"), nil
}

// TestSlowHereIsNoStall: neither a source nor a reader of ours that is slow
// makes the service's connection one that stalled.
func TestSlowHereIsNoStall(t *testing.T) {
	h := start(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n < 20 {
			t.Errorf("server read %d bytes, %v", n, err)
		}
		_, _ = w.Write(bytes.Repeat([]byte("y"), 1000))
	})
	h.o.Stall = 30 * time.Second
	r := Request{Op: "Test", Method: "PUT", Place: h.place, Body: Stream(&slow{h.clock, 20}, 20)}
	resp, err := h.Do(context.Background(), &r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 1000 {
		h.clock.advance(time.Hour)
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// TestDetached: when a call is over, nothing reads its body any more.
func TestDetached(t *testing.T) {
	h := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) })
	h.clock.run(t) // a connection that is cut under the body is tried again
	for range 50 {
		body := make([]byte, 1<<20)
		r := Request{Op: "Test", Method: "PUT", Place: h.place, Body: Bytes(body)}
		if _, err := h.Do(context.Background(), &r); err == nil {
			t.Fatal("400 is no failure")
		}
		clear(body) // a race with a read that goes on
	}
}
