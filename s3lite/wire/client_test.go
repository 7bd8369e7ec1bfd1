package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// call makes a request with a body and throws the answer away.
func (h *harness) call(t *testing.T, r Request) (*http.Response, error) {
	t.Helper()
	r.Op, r.Place = "Test", h.place
	if r.Method == "" {
		r.Method = http.MethodPut
	}
	resp, err := h.Do(context.Background(), &r)
	if err == nil {
		_ = resp.Body.Close()
	}
	return resp, err
}

func TestRepeats(t *testing.T) {
	payload := strings.Repeat("payload", 10000)
	for _, c := range []struct {
		name     string
		body     func() *Body
		once     bool
		status   int
		code     string
		read     bool // the server reads the body before it fails
		attempts int32
		kind     error
	}{
		{name: "500, bytes", body: func() *Body { return Bytes([]byte(payload)) }, status: 500, read: true, attempts: 3},
		{name: "500, section", body: func() *Body { return Section(strings.NewReader("x"+payload), 1, int64(len(payload))) }, status: 500, read: true, attempts: 3},
		{name: "SlowDown, once", body: func() *Body { return Bytes([]byte(payload)) }, once: true, status: 503, code: "SlowDown", read: true, attempts: 3},
		{name: "503 of a proxy, once", body: func() *Body { return Bytes([]byte(payload)) }, once: true, status: 503, read: true, attempts: 1, kind: ErrOutcomeUnknown},
		{name: "500, once", body: func() *Body { return Bytes([]byte(payload)) }, once: true, status: 500, read: true, attempts: 1, kind: ErrOutcomeUnknown},
		{name: "403", body: func() *Body { return Bytes([]byte(payload)) }, status: 403, attempts: 1},
		{name: "500, stream", body: func() *Body { return Stream(strings.NewReader(payload), int64(len(payload))) }, status: 500, read: true, attempts: 1},
		{name: "503, stream untouched", body: func() *Body { return Stream(strings.NewReader(payload), int64(len(payload))) }, status: 503, attempts: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			h := start(t, func(w http.ResponseWriter, r *http.Request) {
				last := n.Add(1) == 3
				if c.read || last {
					text, err := io.ReadAll(r.Body)
					if err != nil || !strings.Contains(string(text), payload[:5000]) || len(text) < len(payload) {
						t.Errorf("body of %d bytes, %v; want %d", len(text), err, len(payload))
					}
				}
				if !last {
					refuse(w, c.status, c.code)
				}
			})
			h.clock.run(t)
			_, err := h.call(t, Request{Body: c.body(), Once: c.once})
			if n.Load() != c.attempts || (err == nil) != (c.attempts == 3) {
				t.Errorf("%d requests, %v; want %d", n.Load(), err, c.attempts)
			}
			if errors.Is(err, ErrOutcomeUnknown) != (c.kind != nil) {
				t.Errorf("error is %v, want kind %v", err, c.kind)
			}
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Status != c.status || e.Attempts != int(c.attempts)) {
				t.Errorf("error is %#v", err)
			}
		})
	}
}

// TestCut: a connection that is cut before the answer.
func TestCut(t *testing.T) {
	for name, once := range map[string]bool{"repeated": false, "once": true} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			h := start(t, func(http.ResponseWriter, *http.Request) {
				if n.Add(1) < 3 {
					panic(http.ErrAbortHandler)
				}
			})
			h.clock.run(t)
			_, err := h.call(t, Request{Body: Bytes([]byte("x")), Once: once})
			if once && (n.Load() != 1 || !errors.Is(err, ErrOutcomeUnknown)) || !once && (err != nil || n.Load() != 3) {
				t.Errorf("%d requests, %v", n.Load(), err)
			}
		})
	}
}

// TestNotConnected: what was never sent is repeated though it is for once, and
// its outcome is known.
func TestNotConnected(t *testing.T) {
	h := start(t, func(http.ResponseWriter, *http.Request) {})
	h.url.Host = "127.0.0.1:1"
	h.clock.run(t)
	_, err := h.call(t, Request{Body: Bytes([]byte("x")), Once: true})
	var e *Error
	if !errors.As(err, &e) || e.Attempts != 6 || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("error is %v", err)
	}
}

func TestBodyTooShort(t *testing.T) {
	h := start(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, body := range map[string]*Body{
		"stream": Stream(strings.NewReader("abc"), 10), "section": Section(strings.NewReader("abc"), 0, 10),
	} {
		_, err := h.call(t, Request{Body: body, Once: true})
		var e *Error
		if !errors.Is(err, ErrBody) || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) || e.Attempts != 1 {
			t.Errorf("%s: error is %v", name, err)
		}
		if errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("%s: half a body counts as one that may have been stored", name)
		}
	}
}

// TestReadAgain: an answer that is cut while it is read is asked for again.
func TestReadAgain(t *testing.T) {
	var n atomic.Int32
	h := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "01234")
		if n.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "56789")
	})
	h.clock.run(t)
	var got string
	_, err := h.call(t, Request{Method: "GET", Read: func(_ http.Header, body io.Reader) error {
		text, err := io.ReadAll(body)
		got = string(text)
		return err
	}})
	if err != nil || got != "0123456789" || n.Load() != 2 {
		t.Errorf("got %q, %v in %d requests", got, err, n.Load())
	}
}

// TestReadFails: an answer of success that turns out to be none.
func TestReadFails(t *testing.T) {
	h := start(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Amz-Request-Id", "77") })
	_, err := h.call(t, Request{Read: func(http.Header, io.Reader) error { return &Error{Status: 404, Code: "NoSuchUpload"} }})
	if want := "Test: 404 NoSuchUpload (request id 77)"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestSkew(t *testing.T) {
	for name, code := range map[string]string{"with a code": "RequestTimeTooSkewed", "of HEAD": ""} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			var h *harness
			h = start(t, func(w http.ResponseWriter, r *http.Request) {
				n.Add(1)
				now := h.clock.Now().Add(-3 * time.Hour)
				w.Header().Set("Date", now.Format(http.TimeFormat))
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil || signed.Sub(now).Abs() > 15*time.Minute {
					refuse(w, 403, code)
				}
			})
			for range 2 {
				if _, err := h.call(t, Request{Method: "HEAD"}); err != nil {
					t.Fatal(err)
				}
			}
			if n.Load() != 3 {
				t.Errorf("%d requests, want one that was refused and two", n.Load())
			}
		})
	}
}

func TestExpired(t *testing.T) {
	var n atomic.Int32
	h := start(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		refuse(w, 400, "ExpiredToken")
	})
	if _, err := h.call(t, Request{}); err == nil || n.Load() != 2 || h.creds.refused != 1 {
		t.Errorf("%v, %d requests, refused %d times", err, n.Load(), h.creds.refused)
	}
	h.creds.err = errors.New("no role here")
	if _, err := h.call(t, Request{Once: true}); !errors.Is(err, h.creds.err) || errors.Is(err, ErrOutcomeUnknown) || n.Load() != 2 {
		t.Errorf("without credentials: %v, %d requests", err, n.Load())
	}
}

// TestConnectionsAreKept: calls one after the other go over one connection,
// failures and answers that nobody read among them. On a machine with too much
// to do, net/http gives one up now and then: after an answer that comes 50 ms
// before the goroutine that wrote the request says so.
func TestConnectionsAreKept(t *testing.T) {
	const rounds = 6
	var n atomic.Int32
	seen := map[string]bool{}
	h := start(t, func(w http.ResponseWriter, r *http.Request) {
		seen[r.RemoteAddr] = true
		if n.Add(1)%2 == 0 {
			w.WriteHeader(404)
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 20000))
	})
	for range 2 * rounds {
		_, _ = h.call(t, Request{Method: "GET"})
	}
	if len(seen) >= rounds || n.Load() != 2*rounds {
		t.Errorf("%d requests over %d connections", n.Load(), len(seen))
	}
}

func TestContext(t *testing.T) {
	h := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	ctx, cancel := context.WithCancel(context.Background())
	r := Request{Op: "Test", Method: "GET", Place: func() Place { cancel(); return h.place() }}
	if _, err := h.Do(ctx, &r); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// TestErrorsHideSecrets: whatever goes wrong, no error holds a secret.
func TestErrorsHideSecrets(t *testing.T) {
	h := start(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "SignatureDoesNotMatch") })
	_, err := h.call(t, Request{})
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, err); strings.Contains(text, "secret") || strings.Contains(text, "Signature=") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}
