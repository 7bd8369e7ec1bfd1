package creds

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// Temporary credentials are renewed this long before they end, and must be
// when they end within the second time. A renewal that failed is tried again
// after the third.
const (
	renewBefore = 5 * time.Minute
	mustRenew   = 30 * time.Second
	retryAfter  = 10 * time.Second
)

// Cache keeps what a source gave for as long as it is good. It is a
// wire.Credentials and safe for use by many goroutines.
type Cache struct {
	source Source
	clock  wire.Clock
	log    *slog.Logger
	turn   chan struct{} // held by the goroutine that asks the source

	mu    sync.Mutex // guards all below
	last  sigv4.Credentials
	next  time.Time // before then, the source is not asked again for a renewal
	stale bool      // last was refused
}

// NewCache makes a cache; clock and log may be nil.
func NewCache(source Source, clock wire.Clock, log *slog.Logger) *Cache {
	if clock == nil {
		clock = wire.SystemClock{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Cache{source: source, clock: clock, log: log, turn: make(chan struct{}, 1)}
}

// state of what is kept
type state int

const (
	good  state = iota
	aging       // good, but to be renewed
	gone
)

func (c *Cache) look() (sigv4.Credentials, state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	left := c.last.Expires.Sub(now)
	switch {
	case c.last.IsZero() || c.stale:
		return c.last, gone
	case c.last.Expires.IsZero() || left > renewBefore:
		return c.last, good
	case left <= mustRenew:
		return c.last, gone
	case now.Before(c.next):
		return c.last, good
	}
	return c.last, aging
}

// Get implements wire.Credentials. While one goroutine renews credentials that
// are still good, others get these.
func (c *Cache) Get(ctx context.Context) (sigv4.Credentials, error) {
	last, s := c.look()
	switch s {
	case good:
		return last, nil
	case aging:
		select {
		case c.turn <- struct{}{}:
		default:
			return last, nil
		}
	case gone:
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return sigv4.Credentials{}, ctx.Err()
		}
	}
	defer func() { <-c.turn }()
	if last, s = c.look(); s == good { // another one's turn did it
		return last, nil
	}
	fresh, err := c.source.Retrieve(ctx)
	if err != nil {
		return c.failed(ctx, last, s, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.stale, c.next = fresh, false, c.clock.Now().Add(retryAfter)
	return fresh, nil
}

// failed goes on with what is kept where that is good still.
func (c *Cache) failed(ctx context.Context, last sigv4.Credentials, s state, err error) (sigv4.Credentials, error) {
	if s == gone {
		return sigv4.Credentials{}, fmt.Errorf("credentials of %s: %w", c.source.Name(), err)
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "credentials were not renewed, those at hand go on", slog.Any("credentials", last), slog.Any("error", err))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = c.clock.Now().Add(retryAfter)
	return last, nil
}

// Refused implements wire.Credentials: these are not used again.
func (c *Cache) Refused(used sigv4.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if used.AccessKeyID == c.last.AccessKeyID && used.SessionToken == c.last.SessionToken {
		c.stale = true
	}
}
