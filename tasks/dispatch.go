package tasks

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// longestWait is for how long Run sleeps where nothing is to come.
const longestWait = 24 * time.Hour

// dispatch launches what is due or was asked for, and returns for how long
// nothing else is.
func (s *Scheduler) dispatch(ctx context.Context, rounds *sync.WaitGroup) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, sleep := time.Now(), longestWait
	var ready []*entry
	for _, e := range s.jobs {
		if e.round == nil {
			if wait := s.waitFor(e, now); wait > 0 {
				sleep = min(sleep, wait)
				continue
			}
			e.round = s.newRound(e, nil)
		}
		if e.round.cancel == nil {
			ready = append(ready, e)
		}
	}
	slices.SortFunc(ready, func(a, b *entry) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.job.Name, b.job.Name))
	})
	s.launch(ctx, rounds, ready)
	return sleep
}

// waitFor is how long it is until a job's next round. The caller holds mu.
func (s *Scheduler) waitFor(e *entry, now time.Time) time.Duration {
	if e.due.IsZero() {
		return longestWait
	}
	if wait := max(e.due.Sub(now), s.began.Add(s.quiet).Sub(now)); wait > 0 {
		return wait
	}
	if !e.job.Windowed {
		return 0
	}
	return min(s.window.until(s.now(), e.late), longestSleep)
}

// newRound makes a round that waits to be launched. The caller holds mu.
func (s *Scheduler) newRound(e *entry, run func(context.Context, *Round) error) *Round {
	return &Round{own: s, job: e.job, run: run, poke: make(chan struct{}, 1), done: make(chan struct{})}
}

// launch gives rounds their goroutines. They have queued for slots before the
// first of them runs. The caller holds mu.
func (s *Scheduler) launch(ctx context.Context, rounds *sync.WaitGroup, ready []*entry) {
	claims := make([]*claim, len(ready))
	for i, e := range ready {
		claims[i] = newClaim(e.job.Priority)
	}
	s.slots.enter(claims...)
	for i, e := range ready {
		r := e.round
		ctx, cancel := context.WithCancel(ctx)
		r.cancel = cancel
		rounds.Go(func() {
			err := r.perform(ctx, claims[i])
			if err != nil && ctx.Err() != nil {
				err = ErrStopped
			}
			cancel()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.finish(e, r, err)
			signal(s.wake)
		})
	}
}

// finish notes that a round has ended. The caller holds mu.
func (s *Scheduler) finish(e *entry, r *Round, err error) {
	now := time.Now()
	r.err = err
	e.round = nil
	stopped := errors.Is(err, ErrStopped)
	if began := r.startedAt(); !began.IsZero() {
		e.last, e.ended = r.outcome(), now
		e.last.Took = now.Sub(began)
		switch {
		case stopped:
			e.last.Result = "stopped before its end"
		case err != nil:
			e.last.Result, e.last.Failed = err.Error(), true
			s.log.Warn("a background job failed", "job", e.job.Name, "error", err)
		}
	}
	// What was stopped on the way, or was something else, stands for no round.
	if r.run == nil && !stopped {
		e.due = time.Time{}
		if e.job.Every > 0 && e.job.First >= 0 {
			s.schedule(e, time.Duration(float64(e.job.Every)*(0.9+0.2*s.random())))
		}
	}
	r.final = s.status(e)
	close(r.done)
}

// signal leaves a token in a channel with room for one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
