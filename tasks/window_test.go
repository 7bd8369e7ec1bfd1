package tasks_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/tasks"
)

// wall is a clock on the wall that a test sets.
type wall struct{ off atomic.Int64 } // ahead of time.Now

func (c *wall) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())).UTC() }

func (c *wall) set(year, hour, minute int) {
	c.off.Store(int64(time.Until(time.Date(year, 5, 1, hour, minute, 0, 0, time.UTC))))
}

func window(from, to time.Duration) tasks.Limits {
	return tasks.Limits{Window: tasks.Window{From: from, To: to}}
}

// TestWindow: windowed rounds begin in the window and wait while it is closed;
// others do not care.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to time.Duration
		at       int // hour at the start
		begins   string
	}{
		{"before it", time.Hour, 5 * time.Hour, 0, "01:12:00"},
		{"in it", time.Hour, 5 * time.Hour, 3, "03:00:30"},
		{"after it", time.Hour, 5 * time.Hour, 5, "01:12:00"},
		{"over midnight, before it", 22 * time.Hour, 4 * time.Hour, 12, "22:18:00"},
		{"over midnight, in the evening", 22 * time.Hour, 4 * time.Hour, 23, "23:00:30"},
		{"over midnight, in the morning", 22 * time.Hour, 4 * time.Hour, 3, "03:00:30"},
		{"over midnight, after it", 22 * time.Hour, 4 * time.Hour, 4, "22:18:00"},
		{"to midnight", 20 * time.Hour, 24 * time.Hour, 0, "20:12:00"},
		{"always", 0, 0, 12, "12:00:30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var clock wall
				clock.set(2026, c.at, 0)
				w := start(t, tasks.Options{Now: clock.now, Limits: window(c.from, c.to)})
				began := func(context.Context, *tasks.Round) error {
					w.note(clock.now().Format(time.TimeOnly))
					return nil
				}
				w.add(t, tasks.Job{Name: "heavy", Windowed: true, Run: began})
				w.add(t, tasks.Job{Name: "light", First: time.Hour * 4 / 5, Run: w.noting("light")})
				next := w.status(t, "heavy").Next.Format(time.TimeOnly)
				time.Sleep(24 * time.Hour)
				if got := w.seen(); got != c.begins+" light" && got != "light "+c.begins {
					t.Errorf("rounds: %s, want %s", got, c.begins)
				}
				if c.begins[6:] == "00" && next != c.begins {
					t.Errorf("the next round was expected at %s, want %s", next, c.begins)
				}
			})
		})
	}
}

// TestWindowCloses: a round that is not done by then waits for the next
// window, and others run meanwhile; so does one whose window is changed.
func TestWindowCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wall
		clock.set(2026, 3, 0)
		w := start(t, tasks.Options{Now: clock.now, Limits: window(time.Hour, 5*time.Hour)})
		var steps atomic.Int64
		w.add(t, tasks.Job{Name: "heavy", Windowed: true, Run: func(ctx context.Context, r *tasks.Round) error {
			for {
				time.Sleep(time.Second)
				steps.Add(1)
				if err := r.Step(ctx, 0); err != nil {
					return err
				}
			}
		}})
		w.add(t, tasks.Job{Name: "light", Priority: -1, First: 3 * time.Hour, Run: w.noting("light")})
		time.Sleep(time.Hour)
		if st := w.status(t, "heavy"); st.State != tasks.Running || !w.Active() {
			t.Errorf("in the window: %+v, active %v", st, w.Active())
		}
		time.Sleep(3 * time.Hour) // it is 07:00
		if st := w.status(t, "heavy"); st.State != tasks.Paused || st.Why != "outside of the window 01:00-05:00" || w.Active() {
			t.Errorf("after it: %+v, active %v", st, w.Active())
		}
		if got := w.seen(); got != "light" {
			t.Errorf("meanwhile there ran %q", got)
		}
		if n := steps.Load(); n < 2*3600-60 || n > 2*3600 {
			t.Errorf("%d steps in two hours", n)
		}
		time.Sleep(18*time.Hour + time.Minute) // it is 01:01
		if n := steps.Load(); n < 2*3600 || n > 2*3600+60 {
			t.Errorf("%d steps after another minute of a window", n)
		}
		w.SetLimits(window(10*time.Hour, 11*time.Hour))
		time.Sleep(2 * time.Second)
		if st := w.status(t, "heavy"); st.State != tasks.Paused {
			t.Errorf("in another window: %+v", st)
		}
		w.SetLimits(tasks.Limits{})
		time.Sleep(2 * time.Second)
		if st := w.status(t, "heavy"); st.State != tasks.Running {
			t.Errorf("without a window: %+v", st)
		}
	})
}

// TestClockJumps: intervals are none of the wall clock's business. The window
// is, once that was ever set.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wall
		clock.set(1970, 12, 0)
		w := start(t, tasks.Options{Now: clock.now, Limits: window(time.Hour, 5*time.Hour)})
		w.add(t, tasks.Job{Name: "light", Every: 10 * time.Minute, Run: w.noting("light")})
		w.add(t, tasks.Job{Name: "heavy", Windowed: true, Every: 10 * time.Minute, Run: w.noting("heavy")})
		time.Sleep(31 * time.Second)
		if got := w.seen(); got != "heavy light" {
			t.Errorf("with a clock that was never set: %s", got)
		}
		clock.set(2026, 12, 0)
		time.Sleep(10 * time.Minute)
		if got := w.seen(); got != "light" {
			t.Errorf("at noon: %s", got)
		}
		if st := w.status(t, "light"); clock.now().Sub(st.Last) > time.Minute || st.Last.After(clock.now()) {
			t.Errorf("the last round was at %s, and it is %s", st.Last, clock.now())
		}
		clock.set(2031, 3, 0)
		time.Sleep(10 * time.Minute)
		if got := w.seen(); got != "heavy light" && got != "light heavy" {
			t.Errorf("at night: %s", got)
		}
		clock.set(2021, 12, 0)
		time.Sleep(time.Hour)
		if got := w.seen(); got != "light light light light light light" {
			t.Errorf("at noon of an earlier year: %s", got)
		}
	})
}
