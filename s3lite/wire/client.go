package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"berth/s3lite/sigv4"
)

// Credentials is where a client gets what it signs with.
type Credentials interface {
	// Get returns credentials that are good now.
	Get(ctx context.Context) (sigv4.Credentials, error)
	// Refused tells that the service took these for expired.
	Refused(sigv4.Credentials)
}

// Fault is what a failure's answer says of itself.
type Fault struct{ Code, Message, RequestID, Region string }

// Options of a Client. What is zero has the default that it names.
type Options struct {
	RoundTripper http.RoundTripper
	Service      string      // of the signatures, such as "s3"
	Credentials  Credentials // nil leaves requests unsigned
	UserAgent    string
	// Fault reads the answer to a request that failed; body is bounded.
	Fault func(header http.Header, body []byte) Fault
	// Kind sorts an error into the service's own; nil where it is none.
	Kind func(*Error) error
	// Attempts at one call, the first among them; 6.
	Attempts int
	// Stall is how long nothing may move on a connection; 30 seconds.
	Stall time.Duration
	// Backoff is the most that is waited before the second attempt, doubled
	// for each one after it up to MaxBackoff; 200 milliseconds, 10 seconds.
	Backoff, MaxBackoff time.Duration
	Clock               Clock
	Log                 *slog.Logger // at debug level; nil for none
	// LogRequests logs every exchange; otherwise only those repeated.
	LogRequests bool
}

// Client makes requests to one service. It is safe for use by many goroutines.
type Client struct {
	o    Options
	skew atomic.Int64 // nanoseconds by which the service's clock is ahead
	// dated is that by the latest answer's date; nil before the first.
	dated atomic.Pointer[time.Duration]
}

// New makes a client.
func New(o Options) *Client {
	setDefault(&o.Attempts, 6)
	setDefault(&o.Stall, 30*time.Second)
	setDefault(&o.Backoff, 200*time.Millisecond)
	setDefault(&o.MaxBackoff, 10*time.Second)
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Kind == nil {
		o.Kind = func(*Error) error { return nil }
	}
	if o.Fault == nil {
		o.Fault = func(http.Header, []byte) Fault { return Fault{} }
	}
	return &Client{o: o}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Now is the time by the service's clock, as far as it is known.
func (c *Client) Now() time.Time { return c.o.Clock.Now().Add(time.Duration(c.skew.Load())) }

// ServiceTime is the time by the service's clock, as the latest answer has told
// it; false before there was one that did. It is behind by a second at most, and
// what that answer was on its way.
func (c *Client) ServiceTime() (time.Time, bool) {
	ahead := c.dated.Load()
	if ahead == nil {
		return time.Time{}, false
	}
	return c.o.Clock.Now().Add(*ahead), true
}

// observe reads the date of an answer.
func (c *Client) observe(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		ahead := date.Sub(c.o.Clock.Now())
		c.dated.Store(&ahead)
	}
}

// Place is where a request goes.
type Place struct {
	// URL has the path already encoded, in RawPath too where they differ.
	URL    url.URL
	Region string
}

// Request is one call.
type Request struct {
	Op, Target, Method string
	// Place is asked before each attempt.
	Place  func() Place
	Header http.Header // may be nil; not changed
	Body   *Body       // nil for none
	// Once: to do it twice is not the same as once. Such a request is
	// repeated only when the attempt before was certainly not carried out.
	Once bool
	// Slow: the service may work for minutes before it answers.
	Slow bool
	// Before, where it is not zero, is until when by its own clock the service
	// may take the request, rounded up to a second: later it refuses it, however
	// long the request was on its way. So it is signed in its query, which needs
	// credentials, and an earlier answer must have told the service's time
	// (ServiceTime). However wrong that is by now, the end stays where it is.
	// Nothing is sent any more when no time is left.
	Before time.Time
	// Moved is told of a redirect, or of a region that is wrong; it tells
	// whether Place has changed for it. May be nil.
	Moved func(*Error) bool
	// Read takes in the answer to success, once per attempt. It returns an
	// *Error where the answer says that the call failed after all. Where Read
	// is nil the caller gets the answer with its body.
	Read func(header http.Header, body io.Reader) error
}

// slowFactor is how much longer a slow call may be silent.
const slowFactor = 10

// Do makes a call, repeatedly if it must and may. Errors are *Error. Where the
// request has no Read, the body of the answer is the caller's to close.
func (c *Client) Do(ctx context.Context, r *Request) (*http.Response, error) {
	var t tries
	for {
		t.n++
		start := c.o.Clock.Now()
		resp, x := c.attempt(ctx, r)
		c.log(ctx, r, x, t.n, c.o.Clock.Now().Sub(start))
		if x.err == nil {
			return resp, nil
		}
		x.err.Attempts = t.n
		wait, again := c.judge(ctx, r, x, &t)
		if !again {
			return nil, x.err
		}
		if err := c.sleep(ctx, wait); err != nil {
			x.err.Err = errors.Join(x.err.Err, err)
			return nil, x.err
		}
	}
}

func (c *Client) log(ctx context.Context, r *Request, x exchange, n int, took time.Duration) {
	if x.err == nil && !c.o.LogRequests {
		return
	}
	attrs := []slog.Attr{slog.String("op", r.Op), slog.String("target", r.Target), slog.Int("attempt", n), slog.Duration("took", took)}
	if x.err != nil {
		attrs = append(attrs, slog.Any("error", x.err))
	}
	c.o.Log.LogAttrs(ctx, slog.LevelDebug, "storage request", attrs...)
}

// sleep waits, or returns what ended the context.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	done := make(chan struct{})
	timer := c.o.Clock.AfterFunc(d, func() { close(done) })
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
