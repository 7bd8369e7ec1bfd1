package s3test

import (
	"sync"
	"time"

	"berth/s3lite/wire"
)

// Clock is a clock for clients under test. What is to come within Soon comes
// at once, so that nobody waits between two attempts; all else, such as the
// end of a connection that stalls, only when Advance has gone that far.
type Clock struct {
	mu     sync.Mutex // guards all below
	now    time.Time
	timers map[*timer]time.Time
}

// Soon is more than a client waits between attempts, and less than after which
// it gives a connection up.
const Soon = 15 * time.Second

// NewClock makes a clock that stands at the machine's time.
func NewClock() *Clock { return &Clock{now: time.Now(), timers: map[*timer]time.Time{}} }

type timer struct {
	clock *Clock
	f     func()
}

// Now implements wire.Clock, and is one for Options.Now.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements wire.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) wire.Timer {
	t := &timer{c, f}
	t.Reset(d)
	return t
}

// Advance moves the clock, calls what is due, and tells how much that was.
func (c *Clock) Advance(d time.Duration) (due int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t, at := range c.timers {
		if !at.After(c.now) {
			delete(c.timers, t)
			due++
			go t.f()
		}
	}
	return due
}

// Stop implements wire.Timer.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, armed := t.clock.timers[t]
	delete(t.clock.timers, t)
	return armed
}

// Reset implements wire.Timer.
func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, armed := t.clock.timers[t]
	if d <= Soon {
		delete(t.clock.timers, t)
		go t.f()
		return armed
	}
	t.clock.timers[t] = t.clock.now.Add(d)
	return armed
}
