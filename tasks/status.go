package tasks

import (
	"cmp"
	"slices"
	"time"
)

// State is what a job does.
type State string

// The states of a job.
const (
	Waiting State = "waiting" // for its next round
	Running State = "running"
	Paused  State = "paused" // in a round, which must not go on now
)

// Status tells of a job. Times are by the clock on the wall as it is now.
type Status struct {
	Name     string `json:"name"`
	Priority int    `json:"priority"`
	State    State  `json:"state"`
	Why      string `json:"why,omitempty"` // it is paused

	// How far the round has come that is under way.
	Began time.Time `json:"began,omitzero"`
	Done  int64     `json:"done,omitempty"`
	Total int64     `json:"total,omitempty"` // 0: not known
	Unit  string    `json:"unit,omitempty"`

	// What came of the last round that ended; zero where none has.
	Result string        `json:"result,omitempty"`
	Failed bool          `json:"failed,omitempty"`
	Last   time.Time     `json:"last,omitzero"` // when it ended
	Took   time.Duration `json:"took,omitempty"`

	// Next is when the next round begins; zero: not by itself.
	Next time.Time `json:"next,omitzero"`
}

// List tells of all jobs: first those of the highest priority, then by name.
func (s *Scheduler) List() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.jobs))
	for _, e := range s.jobs {
		all = append(all, s.status(e))
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Active tells whether a round is under way that would have to begin anew if
// it were ended. One that waits for the window is not.
func (s *Scheduler) Active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.jobs {
		if e.round != nil && !e.round.shut.Load() {
			return true
		}
	}
	return false
}

// WindowOpen tells whether windowed rounds may run now.
func (s *Scheduler) WindowOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window.until(s.now(), 0) == 0
}

// status tells of one job. The caller holds mu.
func (s *Scheduler) status(e *entry) Status {
	st := e.last
	wall, now := s.now(), time.Now()
	st.State = Waiting
	if !e.ended.IsZero() {
		st.Last = wall.Add(e.ended.Sub(now)).Round(0)
	}
	if !e.due.IsZero() && !s.stopped {
		st.Next = wall.Add(s.expected(e, wall, now)).Round(0)
	}
	if e.round == nil {
		return st
	}
	st.Next = time.Time{}
	r := e.round
	began := r.startedAt()
	if !began.IsZero() {
		st.Began = wall.Add(began.Sub(now)).Round(0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	st.State, st.Why = Running, r.paused
	if st.Why == "" && began.IsZero() {
		st.Why = "it is about to begin"
	}
	if st.Why != "" {
		st.State = Paused
	}
	st.Done, st.Total, st.Unit = r.count.done, r.count.total, r.count.unit
	return st
}

// expected is how long it is until a job's next round, as far as can be told.
// The caller holds mu.
func (s *Scheduler) expected(e *entry, wall, now time.Time) time.Duration {
	wait := max(0, e.due.Sub(now))
	if !s.began.IsZero() {
		wait = max(wait, s.began.Add(s.quiet).Sub(now))
	}
	if e.job.Windowed {
		wait += s.window.until(wall.Add(wait), e.late)
	}
	return wait
}

// startedAt is when the round began to run, zero where it has not.
func (r *Round) startedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// outcome is what a round that has ended leaves to tell.
func (r *Round) outcome() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Status{Name: r.job.Name, Priority: r.job.Priority, Result: cmp.Or(r.result, "done")}
}
