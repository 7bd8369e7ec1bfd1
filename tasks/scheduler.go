package tasks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Scheduler runs jobs. Its methods are for any goroutine, but not for the
// rounds of its own jobs.
type Scheduler struct {
	log    *slog.Logger
	quiet  time.Duration
	now    func() time.Time
	random func() float64
	busy   func() bool

	slots    *slots
	rate     bucket
	pressure pressure
	wake     chan struct{} // one token: there is something to do

	mu      sync.Mutex // guards what follows
	jobs    map[string]*entry
	window  Window
	began   time.Time // when Run did; zero: not yet
	stopped bool
}

// entry is a job and when it runs.
type entry struct {
	job   Job
	due   time.Time     // by the monotonic clock; zero: not by itself
	late  time.Duration // how long the window has to be open for the next round
	round *Round        // under way, or about to be; nil: none
	last  Status        // what is told of the last round that ended
	ended time.Time     // when it did, by the monotonic clock
}

// New makes a Scheduler. Nothing runs before Run.
func New(opts Options) *Scheduler {
	s := &Scheduler{
		log: opts.Log, quiet: cmp.Or(opts.Quiet, defaultQuiet), now: opts.Now, random: opts.Random, busy: opts.Busy,
		slots:    newSlots(max(1, opts.Workers)),
		pressure: pressure{system: opts.System},
		wake:     make(chan struct{}, 1),
		jobs:     make(map[string]*entry),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Float64
	}
	if s.busy == nil {
		s.busy = func() bool { return false }
	}
	if s.pressure.system == nil {
		s.pressure.system = os.DirFS("/")
	}
	s.SetLimits(opts.Limits)
	return s
}

// SetLimits changes the limits, also of rounds that are under way.
func (s *Scheduler) SetLimits(l Limits) {
	s.rate.set(l.Rate, time.Now())
	s.pressure.set(l.Pressure)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window = l.Window
	for _, e := range s.jobs {
		if e.round != nil {
			signal(e.round.poke)
		}
	}
	signal(s.wake)
}

// Add takes a job over, also while others run.
func (s *Scheduler) Add(j Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[j.Name] != nil {
		return fmt.Errorf("job %q: %w", j.Name, ErrExists)
	}
	e := &entry{job: j, last: Status{Name: j.Name, Priority: j.Priority}}
	if j.First >= 0 {
		s.schedule(e, j.First+time.Duration(s.random()*float64(j.First/2)))
	}
	s.jobs[j.Name] = e
	signal(s.wake)
	return nil
}

// schedule sets when the next round begins, a time from now. The caller holds mu.
func (s *Scheduler) schedule(e *entry, after time.Duration) {
	e.due = time.Now().Add(after)
	e.late = 0
	if e.job.Windowed {
		e.late = time.Duration(s.random() * float64(s.window.length()/10))
	}
}

// Remove takes a job away, after its round, if one is under way, has been ended.
func (s *Scheduler) Remove(name string) {
	s.mu.Lock()
	e := s.jobs[name]
	if e == nil || e.round == nil {
		delete(s.jobs, name)
		s.mu.Unlock()
		return
	}
	delete(s.jobs, name)
	r := e.round
	if r.cancel == nil {
		s.finish(e, r, ErrStopped) // the dispatcher knows nothing of it any more
	} else {
		r.cancel()
	}
	s.mu.Unlock()
	<-r.done
}

// Run runs the jobs until ctx ends, and ends their rounds then. It is called
// once, and never fails.
func (s *Scheduler) Run(ctx context.Context) error {
	var rounds sync.WaitGroup
	s.mu.Lock()
	s.began = time.Now()
	s.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.dispatch(ctx, &rounds))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
	}
	s.stop()
	rounds.Wait()
	return nil
}

// stop ends what was asked for and has not begun, and refuses more.
func (s *Scheduler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, e := range s.jobs {
		if e.round != nil && e.round.cancel == nil {
			s.finish(e, e.round, ErrStopped)
		}
	}
}

// closed tells for how long the window stays closed for a round; 0: it does not
// hold it up.
func (s *Scheduler) closed(r *Round) (Window, time.Duration) {
	if !r.job.Windowed || r.urgent.Load() {
		return Window{}, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window, s.window.until(s.now(), 0)
}

// load tells what is in the way of work in the background, "" where nothing is.
func (s *Scheduler) load(now time.Time) string {
	if s.busy() {
		return "requests are being answered"
	}
	return s.pressure.check(now)
}
