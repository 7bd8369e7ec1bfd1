package tasks

import (
	"fmt"
	"time"
)

// Window is a time of day, local time, in which work of some size is done. The
// zero value is always.
type Window struct {
	// From and To count from midnight; equal: always. A From after To wraps
	// midnight.
	From, To time.Duration
}

const (
	day = 24 * time.Hour
	// firstYear is the first that a clock can show which was ever set. A device
	// without a battery starts in 1970; what it takes for the night may be noon.
	firstYear = 2020
)

// always tells whether the window has no bounds at a time by the wall clock.
// Where the clock was never set, it has none: better now than never.
func (w Window) always(now time.Time) bool {
	return w.From == w.To || now.Year() < firstYear
}

// since is how long the window has been open; it is false where it is closed.
func (w Window) since(now time.Time) (time.Duration, bool) {
	if w.always(now) {
		return day, true
	}
	into := (timeOfDay(now) - w.From + day) % day
	return into, into < w.length()
}

// until is how long it takes for the window to have been open for a while; 0
// where it has been.
func (w Window) until(now time.Time, while time.Duration) time.Duration {
	into, open := w.since(now)
	if open {
		return max(0, while-into)
	}
	return (w.From-timeOfDay(now)+day)%day + while
}

// length is how long the window is open.
func (w Window) length() time.Duration {
	if w.From == w.To {
		return day
	}
	return (w.To - w.From + day) % day
}

// timeOfDay is what a clock on the wall shows.
func timeOfDay(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
}

func (w Window) String() string {
	if w.From == w.To {
		return "always"
	}
	return fmt.Sprintf("%s-%s", clock(w.From), clock(w.To))
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
