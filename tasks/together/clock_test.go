package together_test

import (
	"sync"
	"time"
)

// clock runs ahead of the one on the wall.
type clock struct {
	frozen sync.RWMutex // held shared by those who need that it does not leap

	mu    sync.Mutex // guards ahead
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// leap goes ahead, but not while anybody has the clock frozen.
func (c *clock) leap(by time.Duration) {
	if !c.frozen.TryLock() {
		return
	}
	defer c.frozen.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}
