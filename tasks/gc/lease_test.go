package gc

import (
	"context"
	"errors"
	"testing"
	"time"

	"berth/oci"
)

// fake is a lease whose renewals end as the test says.
type fake struct {
	renewals chan error
	lost     bool
}

func (f *fake) Renew(context.Context) error   { return <-f.renewals }
func (f *fake) Lost() bool                    { return f.lost }
func (f *fake) Release(context.Context) error { return nil }

// TestHold: a round ends when its lease is lost, not when one renewal fails.
func TestHold(t *testing.T) {
	for name, last := range map[string]error{"another has it": oci.ErrConflict, "not renewed in time": errors.New("no answer")} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancelCause(t.Context())
			ticks := make(chan time.Time)
			l := &fake{renewals: make(chan error)}
			over := make(chan struct{})
			go func() {
				defer close(over)
				hold(ctx, l, ticks, end)
			}()
			for _, err := range []error{nil, errors.New("no answer"), nil} {
				ticks <- time.Time{}
				l.renewals <- err
			}
			ticks <- time.Time{}
			if ctx.Err() != nil {
				t.Fatal("the round ends early")
			}
			l.lost = !errors.Is(last, oci.ErrConflict)
			l.renewals <- last
			<-over
			if !errors.Is(context.Cause(ctx), errLost) {
				t.Fatalf("the round ends by %v", context.Cause(ctx))
			}
		})
	}
}
