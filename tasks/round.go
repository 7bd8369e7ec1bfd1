package tasks

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Round is one run of a job, through which it paces itself and tells how far
// it is. All methods work on a nil *Round, which limits nothing and tells
// nobody. Step is for one goroutine at a time; the others are for any.
type Round struct {
	own *Scheduler
	job Job
	run func(context.Context, *Round) error // nil: the job's

	urgent atomic.Bool   // somebody waits for it: no window holds it up
	shut   atomic.Bool   // the window holds it up
	poke   chan struct{} // one token: look again at what it waits for
	done   chan struct{} // closed when it has ended and final is set
	final  Status
	err    error

	// Of the goroutine that runs it.
	holds   bool // a slot
	resumed time.Time
	burst   burst

	// Guarded by own.mu.
	asked  bool               // it has not begun by itself
	askers int                // those who wait for its end
	left   bool               // nobody waits any more
	cancel context.CancelFunc // nil: it has not been launched

	mu     sync.Mutex // guards what follows
	began  time.Time  // zero: it waits for its first slot
	paused string     // why it does not go on
	count  count
	result string
}

// count is how far a round has come.
type count struct {
	done, total int64
	unit        string
}

// burst is what was done since the last wait.
type burst struct {
	time  time.Duration
	bytes int64
}

// What a round may do at a time while something is in its way, and how long it
// then waits: so that it ends at last also under load that never ends.
const (
	burstTime  = 2 * time.Millisecond
	burstBytes = 256 << 10
	burstPause = 100 * time.Millisecond
)

// over tells whether it is time to wait.
func (b burst) over() bool { return b.time >= burstTime || b.bytes >= burstBytes }

// Step is called between small steps, with the bytes that the last one read or
// wrote (0: none). It returns when the job may go on: it waits for the byte
// rate, for jobs of a higher priority and, if the job keeps to it, for the
// window. While requests are being answered or the system is under pressure it
// lets a little through from time to time. Its error is that of ctx. Where there
// is nothing to wait for, it costs less than a microsecond.
func (r *Round) Step(ctx context.Context, bytes int64) error {
	if r == nil {
		return ctx.Err()
	}
	now := time.Now()
	r.own.rate.take(bytes, now)
	if !r.resumed.IsZero() {
		r.burst.time += now.Sub(r.resumed)
	}
	r.burst.bytes += bytes
	err := r.hold(ctx, now)
	if err == nil {
		r.resume()
	}
	return err
}

// hold waits until the round may go on.
func (r *Round) hold(ctx context.Context, now time.Time) error {
	rested := time.Duration(0) // for the sake of others, in this call
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.keepSlot(ctx); err != nil {
			return err
		}
		why, wait := r.obstacle(now, rested)
		if wait <= 0 {
			return nil
		}
		if err := r.sleep(ctx, why, wait); err != nil {
			return err
		}
		later := time.Now()
		rested += later.Sub(now)
		now = later
	}
}

// keepSlot has the round let others go first: while the window is closed, and
// where somebody with a higher priority waits.
func (r *Round) keepSlot(ctx context.Context) error {
	for {
		window, wait := r.own.closed(r)
		if wait <= 0 {
			break
		}
		r.leave()
		r.shut.Store(true)
		err := r.sleep(ctx, "outside of the window "+window.String(), wait)
		r.shut.Store(false)
		if err != nil {
			return err
		}
	}
	if r.holds && !r.own.slots.wanted(r.job.Priority) {
		return nil
	}
	claim := newClaim(r.job.Priority)
	r.own.slots.enter(claim)
	r.leave()
	r.pause("another job goes first")
	return r.take(ctx, claim)
}

// take waits for the slot that a claim is for.
func (r *Round) take(ctx context.Context, c *claim) error {
	err := r.own.slots.wait(ctx, c)
	r.holds = err == nil
	return err
}

// leave gives up the slot, if the round holds one.
func (r *Round) leave() {
	if r.holds {
		r.holds = false
		r.own.slots.leave()
	}
}

// pollEvery is how often what may end soon is looked at.
const pollEvery = 25 * time.Millisecond

// longestSleep is for how long a round sleeps at most: clocks are set, and
// limits change.
const longestSleep = 5 * time.Minute

// obstacle tells why the round must not go on yet, and for how long at most it
// has to wait before it looks again. A wait of 0: it may.
func (r *Round) obstacle(now time.Time, rested time.Duration) (why string, wait time.Duration) {
	if wait = r.own.rate.wait(now); wait > 0 {
		return "the rate is limited", min(wait, burstPause)
	}
	switch why = r.own.load(now); {
	case why == "":
		r.burst = burst{}
		return "", 0
	case !r.burst.over():
		return "", 0
	case rested < burstPause:
		return why, min(pollEvery, burstPause-rested)
	}
	r.burst = burst{}
	return "", 0
}

// sleep waits for a time, ctx or a change of the limits.
func (r *Round) sleep(ctx context.Context, why string, d time.Duration) error {
	r.pause(why)
	timer := time.NewTimer(min(d, longestSleep))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-r.poke:
	}
	return nil
}

func (r *Round) pause(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = why
}

// resume notes that the round goes on.
func (r *Round) resume() {
	r.resumed = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paused = ""
	if r.began.IsZero() {
		r.began = r.resumed
	}
}

// Progress tells how much is done, of how much in all, 0 where that is not
// known. unit is what is counted: "blobs", "bytes", "repositories".
func (r *Round) Progress(done, total int64, unit string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count = count{done, total, unit}
}

// Say tells what came of the round, in a few words, as it is shown until the
// next one has ended.
func (r *Round) Say(result string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result = result
}

// perform runs the round from its first slot to its end.
func (r *Round) perform(ctx context.Context, c *claim) error {
	defer r.leave()
	if err := r.take(ctx, c); err != nil {
		return err
	}
	if err := r.Step(ctx, 0); err != nil {
		return err
	}
	return Low(ctx, r.guarded)
}

// guarded runs the job, and makes an error of its panic.
func (r *Round) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.own.log.Error("a background job panicked", "job", r.job.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panicked: %v", p)
		}
	}()
	run := r.run
	if run == nil {
		run = r.job.Run
	}
	return run(ctx, r)
}
