package wire

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"berth/s3lite/sigv4"
)

// fakeClock goes on only when it is told to.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]bool
}

type fakeTimer struct {
	clock *fakeClock
	at    time.Time
	f     func()
	armed bool
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[*fakeTimer]bool{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) Timer {
	t := &fakeTimer{clock: c, f: f}
	t.Reset(d)
	return t
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.armed
	t.armed = false
	delete(t.clock.timers, t)
	return was
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.armed
	t.armed, t.at = true, t.clock.now.Add(d)
	t.clock.timers[t] = true
	return was
}

// advance moves the clock and runs what is due.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			t.armed = false
			delete(c.timers, t)
			go t.f()
		}
	}
}

// jump moves the clock to the next timer that is due within a minute.
func (c *fakeClock) jump() {
	c.mu.Lock()
	next := time.Minute
	found := false
	for t := range c.timers {
		if left := t.at.Sub(c.now); left <= next {
			next, found = left, true
		}
	}
	c.mu.Unlock()
	if found {
		c.advance(next)
	}
}

// run has waits of less than a minute end at once until the test ends. No time
// goes by while nobody waits for so short a time.
func (c *fakeClock) run(t *testing.T) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				c.jump()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// fixed are credentials that count how often they were refused.
type fixed struct {
	mu      sync.Mutex
	refused int
	err     error
}

func (f *fixed) Get(context.Context) (sigv4.Credentials, error) {
	return sigv4.Credentials{AccessKeyID: "AKID", SecretKey: sigv4.NewSecret("secret")}, f.err
}

func (f *fixed) Refused(sigv4.Credentials) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused++
}

// harness is a client beside a server.
type harness struct {
	*Client
	clock *fakeClock
	creds *fixed
	url   url.URL
}

// noStall is longer than any clock of these tests runs.
const noStall = 1000 * time.Hour

// start makes a client of a handler. Its clock stands still, so that nothing
// stalls and no repetition comes, until the test lets it run.
func start(t *testing.T, handler http.HandlerFunc) *harness {
	t.Helper()
	h := &harness{clock: newFakeClock(), creds: &fixed{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", h.clock.Now().Format(http.TimeFormat))
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	transport, err := NewTransport(TransportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	transport.ExpectContinueTimeout = time.Hour // however slow the machine
	t.Cleanup(transport.CloseIdleConnections)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	h.url = *u
	h.Client = New(Options{
		RoundTripper: transport, Service: "s3", Credentials: h.creds, Clock: h.clock, UserAgent: "test", Stall: noStall,
		Fault: func(header http.Header, _ []byte) Fault { return Fault{Code: header.Get("Code")} },
	})
	return h
}

func (h *harness) place() Place { return Place{URL: h.url, Region: "here"} }

// refuse answers with a status and a code.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Code", code)
	w.WriteHeader(status)
}
