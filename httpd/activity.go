package httpd

import (
	"sync/atomic"
	"time"
)

// activity knows whether requests are being answered, at the cost of a few
// atomic operations for each.
type activity struct {
	born     time.Time    // what ended counts from, by the monotonic clock
	requests atomic.Int64 // underway
	ended    atomic.Int64 // when the last one did, nanoseconds
}

// lull is how long after the end of a request another one is to be expected.
const lull = 50 * time.Millisecond

func (a *activity) begin() { a.requests.Add(1) }

func (a *activity) end() {
	a.ended.Store(int64(time.Since(a.born)))
	a.requests.Add(-1)
}

// busy tells whether there is a request, or was one a moment ago.
func (a *activity) busy() bool {
	if a.requests.Load() > 0 {
		return true
	}
	ended := a.ended.Load()
	return ended > 0 && time.Since(a.born)-time.Duration(ended) < lull
}

// Busy tells whether a request is being answered, or was until a moment ago:
// whether work that can wait should. It is cheap, and for any goroutine.
func (s *Server) Busy() bool { return s.conns.activity.busy() }
