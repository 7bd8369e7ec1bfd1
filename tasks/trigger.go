package tasks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Trigger runs a round of a job now, whatever the window says, and waits for
// its end; where one is under way, it waits for that. told, if not nil, is
// called from time to time while the status changes. It returns the status
// after the end, and the round's error, ErrNoJob or ErrStopped. Where ctx ends
// before, it returns its error, and the round is ended unless it has begun by
// itself or somebody else waits for it.
func (s *Scheduler) Trigger(ctx context.Context, name string, told func(Status)) (Status, error) {
	return s.ask(ctx, name, nil, told)
}

// Do is Trigger with a run of its own in place of the job's, such as one with
// other options: never beside another round of that job, and at the job's
// pace. A round that is under way is waited for. When Do returns, run does not
// run any more. The job's next round is as before.
func (s *Scheduler) Do(ctx context.Context, name string, run func(context.Context, *Round) error, told func(Status)) (Status, error) {
	return s.ask(ctx, name, run, told)
}

func (s *Scheduler) ask(ctx context.Context, name string, run func(context.Context, *Round) error, told func(Status)) (Status, error) {
	if told == nil {
		told = func(Status) {}
	}
	for {
		r, joined, err := s.join(name, run)
		if err != nil {
			return Status{}, err
		}
		if joined {
			return s.follow(ctx, r, told)
		}
		select { // for a round that cannot be joined
		case <-r.done:
		case <-ctx.Done():
			return Status{}, ctx.Err()
		}
	}
}

// join finds the round to wait for, or makes one. joined is false where there
// is another one, which has to end first.
func (s *Scheduler) join(name string, run func(context.Context, *Round) error) (r *Round, joined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[name]
	switch {
	case s.stopped:
		return nil, false, ErrStopped
	case e == nil:
		known := slices.Sorted(maps.Keys(s.jobs))
		return nil, false, fmt.Errorf("job %q: %w; there are: %s", name, ErrNoJob, strings.Join(known, ", "))
	case e.round == nil:
		e.round = s.newRound(e, run)
		e.round.asked = true
		signal(s.wake)
	case run != nil || e.round.run != nil || e.round.left:
		return e.round, false, nil
	}
	r = e.round
	r.askers++
	r.urgent.Store(true)
	signal(r.poke)
	return r, true, nil
}

// tellEvery is how often who waits for a round is told of it.
const tellEvery = 500 * time.Millisecond

// follow waits for the end of a round that was joined.
func (s *Scheduler) follow(ctx context.Context, r *Round, told func(Status)) (Status, error) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	var before Status
	for {
		select {
		case <-r.done:
			return r.final, r.err
		case <-ctx.Done():
			s.leave(r)
			return Status{}, ctx.Err()
		case <-ticker.C:
		}
		if now, ok := s.statusOf(r); ok && now.differs(before) {
			told(now)
			before = now
		}
	}
}

// leave stops waiting for a round. One that nobody wants is ended.
func (s *Scheduler) leave(r *Round) {
	s.mu.Lock()
	r.askers--
	if r.askers == 0 {
		r.urgent.Store(false)
	}
	unwanted := r.askers == 0 && r.asked
	if unwanted {
		r.left = true
		s.abandon(r)
	}
	s.mu.Unlock()
	if unwanted {
		<-r.done
	}
}

// abandon ends a round. The caller holds mu.
func (s *Scheduler) abandon(r *Round) {
	if r.cancel != nil {
		r.cancel()
		return
	}
	if e := s.jobs[r.job.Name]; e != nil && e.round == r {
		s.finish(e, r, ErrStopped) // it was not launched yet
	}
}

// statusOf tells of the job whose round this is, while it is.
func (s *Scheduler) statusOf(r *Round) (Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.jobs[r.job.Name]
	if e == nil || e.round != r {
		return Status{}, false
	}
	return s.status(e), true
}

// differs tells whether there is something new to tell.
func (s Status) differs(o Status) bool {
	return s.State != o.State || s.Why != o.Why || s.Done != o.Done || s.Total != o.Total
}
