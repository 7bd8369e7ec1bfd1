package tasks

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// slots are the right to run, for as many rounds as there are workers. The
// highest priority gets one first, and among equals who has waited longest.
type slots struct {
	mu    sync.Mutex // guards what follows, and writes of want
	free  int
	queue []*claim // those who wait, best first
	want  atomic.Int64
}

// claim is one round that waits for a slot.
type claim struct {
	priority int
	granted  chan struct{} // closed when it has one
}

// nobody is what want holds where nobody waits.
const nobody = math.MinInt64

func newSlots(n int) *slots {
	s := &slots{free: n}
	s.want.Store(nobody)
	return s
}

// wanted tells whether somebody of a higher priority waits.
func (s *slots) wanted(priority int) bool { return s.want.Load() > int64(priority) }

// enter queues claims, all before the first of them is granted.
func (s *slots) enter(claims ...*claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range claims {
		at := slices.IndexFunc(s.queue, func(other *claim) bool { return other.priority < c.priority })
		if at < 0 {
			at = len(s.queue)
		}
		s.queue = slices.Insert(s.queue, at, c)
	}
	s.grant()
}

// leave gives a slot back.
func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	s.grant()
}

// grant gives out what is free. The caller holds mu.
func (s *slots) grant() {
	for s.free > 0 && len(s.queue) > 0 {
		close(s.queue[0].granted)
		s.queue = slices.Delete(s.queue, 0, 1)
		s.free--
	}
	s.want.Store(nobody)
	if len(s.queue) > 0 {
		s.want.Store(int64(s.queue[0].priority))
	}
}

// wait returns nil once a claim is granted. When ctx ends before, the claim is
// dropped.
func (s *slots) wait(ctx context.Context, c *claim) error {
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(s.queue, c); at >= 0 {
		s.queue = slices.Delete(s.queue, at, at+1)
	} else {
		s.free++ // it was granted meanwhile
	}
	s.grant()
	return ctx.Err()
}

func newClaim(priority int) *claim {
	return &claim{priority: priority, granted: make(chan struct{})}
}
