package client

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is many clients doing the same. Each has a connection of its own.
type Load struct {
	Addr    string
	Clients int
	Ops     int           // end after so many operations; 0: after Time
	Time    time.Duration // used where Ops is 0
	Op      Op
}

// Op does the n-th operation, counted over all clients from 0.
type Op func(c *Conn, n int) error

// Done is what a Load did.
type Done struct {
	Ops     int
	Elapsed time.Duration   // from the first start to the last end
	Ends    []time.Duration // when each operation ended, in order; only with Load.Ops
}

// Rate is operations per second.
func (d Done) Rate() float64 { return float64(d.Ops) / d.Elapsed.Seconds() }

// Run runs a load to its end, or to the first failed operation, whose error
// it returns.
func (l Load) Run() (Done, error) {
	r := run{Load: l}
	start := time.Now()
	r.deadline = start.Add(l.Time)
	var all sync.WaitGroup
	ends := make([][]time.Duration, l.Clients)
	for i := range l.Clients {
		all.Go(func() { ends[i] = r.client(start) })
	}
	all.Wait()
	done := Done{Ops: int(r.done.Load()), Elapsed: time.Since(start), Ends: slices.Concat(ends...)}
	slices.Sort(done.Ends)
	if r.err != nil {
		return done, fmt.Errorf("after %d operations: %w", done.Ops, r.err)
	}
	return done, nil
}

// run is a Load under way.
type run struct {
	Load
	deadline time.Time
	next     atomic.Int64
	done     atomic.Int64
	failed   atomic.Bool
	once     sync.Once
	err      error // set once; read when all clients have ended
}

// client does operations until there are no more to do.
func (r *run) client(start time.Time) (ends []time.Duration) {
	c := New(r.Addr)
	defer c.Close()
	for !r.failed.Load() {
		n := int(r.next.Add(1) - 1)
		if r.Ops > 0 && n >= r.Ops {
			return ends
		}
		if err := r.Op(c, n); err != nil {
			r.once.Do(func() { r.err = err })
			r.failed.Store(true)
			return ends
		}
		r.done.Add(1)
		now := time.Now()
		if r.Ops > 0 {
			ends = append(ends, now.Sub(start))
		} else if now.After(r.deadline) {
			return ends
		}
	}
	return ends
}
