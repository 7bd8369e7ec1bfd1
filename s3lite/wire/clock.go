package wire

import "time"

// Clock is the time that a client goes by; tests bring their own.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call to come. Both methods tell whether they came before it; see
// time.Timer.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// SystemClock is the machine's own.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
