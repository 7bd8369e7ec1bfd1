package httpd

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"berth/oci"
)

// trouble tells the log of failures of the store that every request meets while
// they last, such as a bucket that refuses a key: not of each.
type trouble struct {
	mu     sync.Mutex // guards all below
	told   time.Time
	untold int // since then
}

// toldAgain is how long nothing more is told.
const toldAgain = 10 * time.Second

// isTrouble tells whether an error is one of the store, of whose cause the client
// is not told.
func isTrouble(err error) bool {
	if _, told := errors.AsType[*oci.Error](err); told {
		return false
	}
	return errors.Is(err, oci.ErrUnavailable) || errors.Is(err, oci.ErrStorageFull)
}

// meet notes one at a time, and tells whether the log should have it, and how
// many it has not had.
func (t *trouble) meet(now time.Time) (tell bool, before int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.told.IsZero() && now.Sub(t.told) < toldAgain {
		t.untold++
		return false, 0
	}
	before = t.untold
	t.told, t.untold = now, 0
	return true, before
}

// logTrouble is told of an error that was answered.
func (s *Server) logTrouble(c *call, err error) {
	if !isTrouble(err) {
		return
	}
	if tell, before := s.trouble.meet(time.Now()); tell {
		s.opts.Log.Warn("the storage could not do what was asked", slog.String("request", c.id), slog.String("method", c.req.method),
			slog.String("repository", string(c.req.repo)), slog.Any("error", err), slog.Int("others_before", before))
	}
}
