package httpd

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// gate bounds what is underway at once: a number of bodies, or of bytes.
// Callers enter in the order they came.
type gate struct {
	mu    sync.Mutex // guards what follows
	free  int64
	queue []*waiter

	most int64
	wait time.Duration
}

type waiter struct {
	need     int64
	admitted chan struct{}
}

// newGate makes a gate with room for most, at which a caller waits at most for
// the given time.
func newGate(most int64, wait time.Duration) *gate {
	return &gate{free: most, most: most, wait: wait}
}

// errBusy is a 429: what is bounded stayed in use for too long.
func errBusy() error {
	return &failure{
		status: http.StatusTooManyRequests, code: "TOOMANYREQUESTS", retryAfter: 5,
		message: "too many uploads are underway; try again in a while",
	}
}

// enter takes n, all there is where n is more, or fails with a 429. What was
// taken is given back by leave with the same n.
func (g *gate) enter(ctx context.Context, n int64) error {
	n = min(n, g.most)
	g.mu.Lock()
	if len(g.queue) == 0 && g.free >= n {
		g.free -= n
		g.mu.Unlock()
		return nil
	}
	w := &waiter{need: n, admitted: make(chan struct{})}
	g.queue = append(g.queue, w)
	g.mu.Unlock()

	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case <-w.admitted:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	return g.giveUp(w)
}

// giveUp leaves the queue; the caller may have been let in meanwhile.
func (g *gate) giveUp(w *waiter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.queue {
		if other == w {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.admit()
			return errBusy()
		}
	}
	return nil
}

// leave gives back what enter took.
func (g *gate) leave(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += min(n, g.most)
	g.admit()
}

// admit lets in whom there is room for. The caller holds the lock.
func (g *gate) admit() {
	for len(g.queue) > 0 && g.free >= g.queue[0].need {
		g.free -= g.queue[0].need
		close(g.queue[0].admitted)
		g.queue = g.queue[1:]
	}
}
