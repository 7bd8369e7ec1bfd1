package tasks_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth/tasks"
)

// world runs a scheduler inside a bubble in which time passes at once.
type world struct {
	*tasks.Scheduler
	stop func() // ends Run, and waits for it

	mu     sync.Mutex // guards events
	events []string
}

func start(t *testing.T, opts tasks.Options) *world {
	t.Helper()
	if opts.Random == nil {
		opts.Random = func() float64 { return 0.5 } // exactly what was asked for
	}
	w := &world{Scheduler: tasks.New(opts)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	w.stop = func() { cancel(); <-done }
	t.Cleanup(w.stop)
	return w
}

func (w *world) note(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// seen returns the events so far, and forgets them.
func (w *world) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.events, " ")
	w.events = nil
	return all
}

func (w *world) add(t *testing.T, j tasks.Job) {
	t.Helper()
	if err := w.Add(j); err != nil {
		t.Fatal(err)
	}
}

func (w *world) status(t *testing.T, name string) tasks.Status {
	t.Helper()
	all := w.List()
	i := slices.IndexFunc(all, func(s tasks.Status) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%s is not among %v", name, all)
	}
	return all[i]
}

// noting is a round that does nothing but say that it was there.
func (w *world) noting(name string) func(context.Context, *tasks.Round) error {
	return func(context.Context, *tasks.Round) error { w.note(name); return nil }
}

// TestIntervals: nothing runs at the start; then a job runs after First, and
// Every after that.
func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		began := time.Now()
		at := func() { w.note(time.Since(began).String()) }
		w.add(t, tasks.Job{Name: "a", First: time.Second, Every: time.Minute, Run: func(context.Context, *tasks.Round) error {
			at()
			time.Sleep(10 * time.Second)
			return nil
		}})
		time.Sleep(3 * time.Minute)
		if got := w.seen(); got != "30s 1m40s 2m50s" {
			t.Errorf("rounds began at %s", got)
		}
	})
}

// TestOnce: without an interval there is one round; with a First below 0 none.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		w.add(t, tasks.Job{Name: "once", First: time.Minute, Run: w.noting("once")})
		w.add(t, tasks.Job{Name: "never", First: -1, Every: time.Minute, Run: w.noting("never")})
		time.Sleep(24 * time.Hour)
		if got := w.seen(); got != "once" {
			t.Errorf("rounds: %s", got)
		}
		if st := w.status(t, "once"); !st.Next.IsZero() || st.Result != "done" || st.State != tasks.Waiting {
			t.Errorf("status %+v", st)
		}
	})
}

// TestJitter: a fleet of devices that start together does not act together.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		low := start(t, tasks.Options{Random: func() float64 { return 0 }})
		high := start(t, tasks.Options{Random: func() float64 { return 0.999999 }})
		began := time.Now()
		for _, w := range []*world{low, high} {
			w.add(t, tasks.Job{Name: "a", First: 100 * time.Second, Every: 1000 * time.Second, Run: func(context.Context, *tasks.Round) error {
				w.note(time.Since(began).Round(time.Second).String())
				return nil
			}})
		}
		time.Sleep(1300 * time.Second)
		if got := low.seen(); got != "1m40s 16m40s" {
			t.Errorf("at the least: %s", got)
		}
		if got := high.seen(); got != "2m30s 20m50s" {
			t.Errorf("at the most: %s", got)
		}
	})
}

// TestPriorities: of what waits, the highest priority goes first, then what
// waited longest.
func TestPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		w.add(t, tasks.Job{Name: "first", Run: func(context.Context, *tasks.Round) error {
			w.note("first")
			time.Sleep(time.Minute)
			return nil
		}})
		for name, j := range map[string]tasks.Job{
			"late":  {Priority: 1, First: 50 * time.Second},
			"early": {Priority: 1, First: 40 * time.Second},
			"high":  {Priority: 2, First: 60 * time.Second},
			"low":   {Priority: -1, First: 35 * time.Second},
		} {
			j.Name, j.Run = name, w.noting(name)
			j.First = j.First * 4 / 5 // and a quarter more
			w.add(t, j)
		}
		time.Sleep(10 * time.Minute)
		if got := w.seen(); got != "first high early late low" {
			t.Errorf("order: %s", got)
		}
	})
}

// TestPreempt: a round of higher priority begins at the next Step of another,
// which goes on after it.
func TestPreempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		steps := func(name string, n int) func(context.Context, *tasks.Round) error {
			return func(ctx context.Context, r *tasks.Round) error {
				for range n {
					time.Sleep(time.Minute)
					w.note(name)
					if err := r.Step(ctx, 0); err != nil {
						return err
					}
				}
				return nil
			}
		}
		w.add(t, tasks.Job{Name: "long", Run: steps("long", 4)})
		w.add(t, tasks.Job{Name: "equal", First: 100 * time.Second, Run: steps("equal", 1)})
		w.add(t, tasks.Job{Name: "high", First: 100 * time.Second, Priority: 1, Run: steps("high", 2)})
		time.Sleep(30*time.Second + 150*time.Second)
		if st := w.status(t, "long"); st.State != tasks.Paused || st.Why != "another job goes first" {
			t.Errorf("the one that was preempted: %+v", st)
		}
		if st := w.status(t, "high"); st.State != tasks.Running {
			t.Errorf("the one that goes first: %+v", st)
		}
		time.Sleep(time.Hour)
		if got := w.seen(); got != "long long high high equal long long" {
			t.Errorf("order: %s", got)
		}
	})
}

// TestWorkers: as many rounds as there are workers run side by side.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{Workers: 2})
		for _, name := range []string{"a", "b", "c"} {
			w.add(t, tasks.Job{Name: name, Run: func(context.Context, *tasks.Round) error {
				w.note(name)
				time.Sleep(time.Minute)
				return nil
			}})
		}
		time.Sleep(31 * time.Second)
		if got := w.seen(); len(got) != len("a b") {
			t.Errorf("at first: %s", got)
		}
		time.Sleep(time.Hour)
		if got := w.seen(); len(got) != len("c") {
			t.Errorf("then: %s", got)
		}
	})
}

// TestPanic: a job that panics has failed, and the others go on.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		w.add(t, tasks.Job{Name: "bad", Every: time.Minute, Run: func(context.Context, *tasks.Round) error {
			w.note("bad")
			panic("out of cheese")
		}})
		w.add(t, tasks.Job{Name: "good", First: time.Minute, Run: w.noting("good")})
		time.Sleep(110 * time.Second)
		if got := w.seen(); got != "bad good bad" {
			t.Errorf("rounds: %s", got)
		}
		if st := w.status(t, "bad"); !st.Failed || st.Result != "panicked: out of cheese" || st.Next.IsZero() {
			t.Errorf("status %+v", st)
		}
	})
}

// TestAddAndRemove: jobs come and go while others run; one that goes ends its
// round before Remove returns.
func TestAddAndRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{})
		w.add(t, tasks.Job{Name: "a", Run: func(ctx context.Context, r *tasks.Round) error {
			w.note("begins")
			<-ctx.Done()
			time.Sleep(time.Second)
			w.note("ends")
			return ctx.Err()
		}})
		if err := w.Add(tasks.Job{Name: "a"}); !errors.Is(err, tasks.ErrExists) {
			t.Errorf("a second one of that name: %v", err)
		}
		w.add(t, tasks.Job{Name: "waits", Run: w.noting("ran")})
		time.Sleep(time.Minute)
		w.Remove("waits") // for its slot
		w.Remove("a")
		w.Remove("a")
		if got := w.seen(); got != "begins ends" {
			t.Errorf("events: %s", got)
		}
		if all := w.List(); len(all) != 0 {
			t.Errorf("left: %v", all)
		}
		w.add(t, tasks.Job{Name: "a", First: time.Minute, Run: w.noting("again")})
		time.Sleep(2 * time.Minute)
		if got := w.seen(); got != "again" {
			t.Errorf("events after it came back: %s", got)
		}
	})
}

// TestShutdown: Run ends the rounds, whatever they wait for.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{Limits: tasks.Limits{Rate: 1}})
		for _, name := range []string{"a", "b"} {
			w.add(t, tasks.Job{Name: name, Run: func(ctx context.Context, r *tasks.Round) error {
				defer w.note("ends")
				return r.Step(ctx, 1<<40)
			}})
		}
		time.Sleep(time.Hour)
		before := time.Now()
		w.stop()
		if took := time.Since(before); took != 0 {
			t.Errorf("it took %s", took)
		}
		if got := w.seen(); got != "ends" {
			t.Errorf("events: %s; the other one never had a slot", got)
		}
		if _, err := w.Trigger(t.Context(), "a", nil); !errors.Is(err, tasks.ErrStopped) {
			t.Errorf("a round afterwards: %v", err)
		}
	})
}
