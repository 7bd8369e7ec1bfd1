package tasks

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"
)

// Job is work in the background that recurs.
type Job struct {
	// Name is unique in a scheduler: "gc", "gc /usb".
	Name string
	// Priority: of two rounds, that with the higher one goes first, and the
	// other waits at its next Step. Among equals who waited longest goes first,
	// and is not interrupted. Long rounds should have low priorities.
	Priority int
	// Every is the time from the end of a round to the next one, give or take
	// a tenth. 0: there is one round by itself.
	Every time.Duration
	// First is the time from Add to the first round, and up to a half more.
	// Below 0: there is no round but those that somebody asks for.
	First time.Duration
	// Windowed rounds keep to the window: they begin in it, and wait at Step
	// while it is closed, with all that they hold in memory.
	Windowed bool
	// Run is one round. It calls Step between small steps, ends soon after ctx
	// does, and keeps by itself how far it has come, where that matters.
	Run func(ctx context.Context, r *Round) error
}

// Options of a Scheduler. The zero value is usable.
type Options struct {
	Log *slog.Logger // nil: discard
	// Workers is how many rounds run at a time; 0: 1.
	Workers int
	// Limits can be changed later, by Scheduler.SetLimits.
	Limits Limits
	// Busy tells whether requests are being answered; nil: never. It is asked
	// at every step.
	Busy func() bool
	// Quiet is the time after the beginning of Run in which no round begins by
	// itself; 0: 30 seconds.
	Quiet time.Duration
	// Now is the clock on the wall, for windows and what is shown; nil:
	// time.Now. Intervals are measured by the monotonic clock.
	Now func() time.Time
	// Random returns a number in [0, 1); nil: math/rand/v2.Float64.
	Random func() float64
	// System holds the files that the kernel tells its state in, proc/pressure
	// among them; nil: the directory /.
	System fs.FS
}

// Limits are what all rounds keep to.
type Limits struct {
	// Rate is how many bytes a second are read and written by all rounds
	// together; 0: no limit.
	Rate int64
	// Window is when windowed rounds may run; the zero value: always.
	Window Window
	// Pressure is the share of time, in percent, for which the kernel may find
	// threads waiting for the processor or for disks before rounds back off;
	// 0: that does not matter.
	Pressure float64
}

// defaultQuiet is Options.Quiet where that is 0.
const defaultQuiet = 30 * time.Second

// The errors of a Scheduler.
var (
	ErrNoJob   = errors.New("there is no such job")
	ErrExists  = errors.New("there is a job of that name already")
	ErrStopped = errors.New("background work has stopped")
)
