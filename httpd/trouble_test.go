package httpd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/oci"
)

// TestTroubleIsLogged: of a store that is out of order the client learns no
// more than that, and the log why.
func TestTroubleIsLogged(t *testing.T) {
	s := start(t, Options{})
	s.store.set(func(string) error { return fmt.Errorf("%w: 403 InvalidAccessKeyId: no such key", oci.ErrUnavailable) })
	got := s.do("GET", "/v2/a/blobs/"+absent, nil).expect(t, 503)
	if strings.Contains(got.body, "InvalidAccessKeyId") {
		t.Errorf("the client is told %s", got.body)
	}
	if log := s.log.String(); !strings.Contains(log, "InvalidAccessKeyId") || !strings.Contains(log, got.header.Get("X-Request-Id")) {
		t.Errorf("the log is %q", log)
	}
}

// TestTroubleIsToldOnce: while it lasts, the log has it once in a while.
func TestTroubleIsToldOnce(t *testing.T) {
	var tr trouble
	now := time.Now()
	for i, step := range []struct {
		after  time.Duration
		tell   bool
		before int
	}{{0, true, 0}, {time.Second, false, 0}, {toldAgain - time.Second - 1, false, 0}, {1, true, 2}, {toldAgain / 2, false, 0}, {time.Hour, true, 1}, {toldAgain, true, 0}} {
		now = now.Add(step.after)
		if tell, before := tr.meet(now); tell != step.tell || before != step.before {
			t.Errorf("step %d: %v, %d; want %v, %d", i, tell, before, step.tell, step.before)
		}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{oci.ErrUnavailable, true}, {fmt.Errorf("disk: %w", oci.ErrStorageFull), true},
		{oci.Errorf(oci.ErrUnavailable, "the client is told all of it"), false}, {oci.ErrBlobUnknown, false}, {errors.New("other"), false},
	} {
		if got := isTrouble(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
