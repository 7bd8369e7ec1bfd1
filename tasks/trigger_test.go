package tasks_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/tasks"
)

// asked is what came of a round that somebody asked for.
type asked struct {
	status tasks.Status
	err    error
}

func (w *world) trigger(ctx context.Context, name string, told func(tasks.Status)) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		st, err := w.Trigger(ctx, name, told)
		done <- asked{st, err}
	}()
	return done
}

// long is a round that ends after a minute, or early with ctx.
func (w *world) long(ctx context.Context, r *tasks.Round) error {
	w.note("begins")
	for i := range int64(60) {
		r.Progress(i, 60, "seconds")
		select {
		case <-ctx.Done():
			w.note("cut")
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if err := r.Step(ctx, 0); err != nil {
			w.note("cut")
			return err
		}
	}
	r.Say("a minute")
	w.note("ends")
	return nil
}

// TestTrigger: a round runs at once, whatever the time and the window are, and
// who asked for it is told how far it is.
func TestTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wall
		clock.set(2026, 12, 0)
		w := start(t, tasks.Options{Now: clock.now, Limits: window(time.Hour, 2*time.Hour)})
		w.add(t, tasks.Job{Name: "a", Windowed: true, Every: time.Hour, Run: w.long})
		var told []int64
		got := <-w.trigger(t.Context(), "a", func(st tasks.Status) {
			if st.State != tasks.Running || st.Total != 60 || st.Unit != "seconds" || st.Began.IsZero() {
				t.Errorf("told %+v", st)
			}
			told = append(told, st.Done)
		})
		if got.err != nil || got.status.Result != "a minute" || got.status.Took != time.Minute || !got.status.Last.Equal(clock.now()) {
			t.Errorf("outcome %+v", got)
		}
		if len(told) < 59 || told[0] > 1 || told[len(told)-1] != 59 {
			t.Errorf("told %v", told)
		}
		if next := w.status(t, "a").Next.Format(time.DateTime); next != "2026-05-02 01:03:00" {
			t.Errorf("the next round: %s", next)
		}
	})
}

// TestTriggerCancel: a round ends when all who asked for it have left, unless
// it has begun by itself.
func TestTriggerCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		w.add(t, tasks.Job{Name: "a", First: time.Hour * 4 / 5, Run: w.long})
		first, leave := context.WithCancel(t.Context())
		second, leaveToo := context.WithCancel(t.Context())
		one, two := w.trigger(first, "a", nil), w.trigger(second, "a", nil)
		time.Sleep(5 * time.Second)
		leave()
		if got := <-one; got.err != context.Canceled {
			t.Errorf("who left: %+v", got)
		}
		time.Sleep(5 * time.Second)
		if got := w.seen(); got != "begins" {
			t.Errorf("after one has left: %s", got)
		}
		leaveToo()
		if got := <-two; got.err != context.Canceled {
			t.Errorf("the other: %+v", got)
		}
		if got := w.seen(); got != "cut" {
			t.Errorf("after both have left: %s", got)
		}
		if st := w.status(t, "a"); st.Result != "stopped before its end" || st.Failed || st.Next.IsZero() {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Hour - 5*time.Second) // it has begun by itself
		third, leave := context.WithCancel(t.Context())
		three := w.trigger(third, "a", nil)
		time.Sleep(5 * time.Second)
		leave()
		<-three
		time.Sleep(2 * time.Minute)
		if got := w.seen(); got != "begins ends" {
			t.Errorf("a round of its own: %s", got)
		}
	})
}

// TestTriggerOpensWindow: who waits for a round gets it out of the window's
// way, and leaves it there when gone.
func TestTriggerOpensWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wall
		clock.set(2026, 4, 59)
		w := start(t, tasks.Options{Now: clock.now, Limits: window(time.Hour, 5*time.Hour)})
		w.add(t, tasks.Job{Name: "a", Windowed: true, Run: w.long})
		time.Sleep(time.Hour)
		if st := w.status(t, "a"); st.State != tasks.Paused || st.Done < 25 {
			t.Fatalf("status %+v", st)
		}
		ctx, leave := context.WithCancel(t.Context())
		gone := w.trigger(ctx, "a", nil)
		time.Sleep(10 * time.Second)
		leave()
		<-gone
		time.Sleep(time.Hour)
		if st := w.status(t, "a"); st.State != tasks.Paused || st.Done < 35 || st.Done > 45 {
			t.Errorf("after somebody waited for ten seconds: %+v", st)
		}
		if got := <-w.trigger(t.Context(), "a", nil); got.err != nil {
			t.Errorf("outcome %+v", got)
		}
	})
}

// TestTriggerFails: the error of the round, and those of names and times.
func TestTriggerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		luck := errors.New("no luck")
		w.add(t, tasks.Job{Name: "a", First: -1, Run: func(context.Context, *tasks.Round) error { return luck }})
		w.add(t, tasks.Job{Name: "b", First: -1, Run: w.long})
		if got := <-w.trigger(t.Context(), "a", nil); !errors.Is(got.err, luck) || !got.status.Failed || got.status.Result != "no luck" {
			t.Errorf("outcome %+v", got)
		}
		if got := <-w.trigger(t.Context(), "c", nil); !errors.Is(got.err, tasks.ErrNoJob) || !strings.Contains(got.err.Error(), "there are: a, b") {
			t.Errorf("a job that is not there: %v", got.err)
		}
		removed := w.trigger(t.Context(), "b", nil)
		time.Sleep(time.Second)
		w.Remove("b")
		if got := <-removed; !errors.Is(got.err, tasks.ErrStopped) {
			t.Errorf("a job that was removed: %v", got.err)
		}
		w.add(t, tasks.Job{Name: "b", First: -1, Run: w.long})
		stopped := w.trigger(t.Context(), "b", nil)
		time.Sleep(time.Second)
		w.stop()
		if got := <-stopped; !errors.Is(got.err, tasks.ErrStopped) {
			t.Errorf("at the end: %v", got.err)
		}
	})
}

// TestDo: a run with other options waits for the round that is under way, is
// alone, and leaves the job's own rounds where they are.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{Workers: 2})
		w.add(t, tasks.Job{Name: "a", First: 24 * time.Second, Every: time.Hour, Run: w.long})
		time.Sleep(40 * time.Second)
		st, err := w.Do(t.Context(), "a", func(context.Context, *tasks.Round) error {
			w.note("dry")
			time.Sleep(time.Minute)
			w.note("dry-ends")
			return nil
		}, nil)
		if got := w.seen(); err != nil || got != "begins ends dry dry-ends" || st.Result != "done" {
			t.Errorf("events %s, status %+v, %v", got, st, err)
		}
		if next := time.Until(w.status(t, "a").Next).Round(time.Minute); next != 59*time.Minute {
			t.Errorf("the next round in %s", next)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		_, err = w.Do(ctx, "a", w.long, nil)
		if got := w.seen(); err != context.DeadlineExceeded || got != "begins cut" {
			t.Errorf("events %s, %v", got, err)
		}
	})
}
