package tasks

import (
	"sync"
	"time"
)

// bucket limits bytes a second. What was moved is paid afterwards: a step may
// be larger than the bucket, and the next one then waits for longer.
type bucket struct {
	mu    sync.Mutex // guards what follows
	rate  int64      // bytes a second; 0: no limit
	level float64    // bytes that may be moved at once; below 0: a debt
	at    time.Time  // when level was right
}

// bucketDepth is for how long unused bytes are kept.
const bucketDepth = 250 * time.Millisecond

// set changes the rate. A debt stays one.
func (b *bucket) set(rate int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.rate = rate
	b.level = min(b.level, b.depth())
}

func (b *bucket) depth() float64 { return float64(b.rate) * bucketDepth.Seconds() }

// fill adds what has run in since at. The caller holds mu.
func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.level = min(b.level+float64(b.rate)*passed.Seconds(), b.depth())
	}
	b.at = now
}

// take takes out bytes that were moved.
func (b *bucket) take(bytes int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return
	}
	b.fill(now)
	b.level -= float64(bytes)
}

// wait is how long it takes until more may be moved.
func (b *bucket) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return 0
	}
	b.fill(now)
	if b.level >= 0 {
		return 0
	}
	seconds := min(-b.level/float64(b.rate), day.Seconds())
	return max(1, time.Duration(seconds*float64(time.Second)))
}
