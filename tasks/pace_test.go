package tasks_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"berth/tasks"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	work = 10 * time.Millisecond
)

// stepper is a job of equal steps, which counts the bytes that it has moved.
type stepper struct {
	bytes int64         // of each step
	work  time.Duration // for which a step takes; 0: work
	moved atomic.Int64
	steps atomic.Int64
}

func (j *stepper) run(ctx context.Context, r *tasks.Round) error {
	for {
		time.Sleep(cmp.Or(j.work, work))
		j.moved.Add(j.bytes)
		j.steps.Add(1)
		if err := r.Step(ctx, j.bytes); err != nil {
			return err
		}
	}
}

// during returns the bytes and steps of a time.
func (j *stepper) during(d time.Duration) (bytes, steps int64) {
	bytes, steps = j.moved.Load(), j.steps.Load()
	time.Sleep(d)
	return j.moved.Load() - bytes, j.steps.Load() - steps
}

func within(t *testing.T, what string, got, least, most int64) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %d, want %d to %d", what, got, least, most)
	}
}

// begun adds a job and waits until it runs.
func (w *world) begun(t *testing.T, j tasks.Job) {
	t.Helper()
	w.add(t, j)
	time.Sleep(31 * time.Second)
	synctest.Wait()
	if w.status(t, j.Name).State == tasks.Waiting {
		t.Fatalf("%s has not begun", j.Name)
	}
}

// TestFullSpeed: nothing is waited for where nothing is in the way.
func TestFullSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, tasks.Options{System: fstest.MapFS{}, Limits: tasks.Limits{Pressure: 50}})
		j := &stepper{bytes: mib}
		w.begun(t, tasks.Job{Name: "a", Run: j.run})
		_, steps := j.during(10 * time.Second)
		within(t, "steps", steps, int64(10*time.Second/work)-1, int64(10*time.Second/work)+1)
		if st := w.status(t, "a"); st.State != tasks.Running || st.Why != "" {
			t.Errorf("status %+v", st)
		}
	})
}

// TestRate: all rounds together keep to the byte rate, also after it changed,
// and a large step is paid for by those after it.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		workers int
		bytes   int64
	}{{1, 64 * kib}, {2, 64 * kib}, {1, 16 * mib}, {1, 1}} {
		t.Run(fmt.Sprintf("%d workers, %d bytes", c.workers, c.bytes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rate := min(2*mib, c.bytes*20)
				w := start(t, tasks.Options{Workers: c.workers, Limits: tasks.Limits{Rate: rate}})
				j := &stepper{bytes: c.bytes}
				for i := range c.workers - 1 {
					w.add(t, tasks.Job{Name: fmt.Sprint(i), Run: j.run})
				}
				w.begun(t, tasks.Job{Name: "a", Run: j.run})
				moved, _ := j.during(200 * time.Second)
				within(t, "bytes", moved, 200*rate-200*rate/50-16*mib, 200*rate+200*rate/50+16*mib)
				if st := w.status(t, "a"); st.Why != "the rate is limited" && c.bytes > 1 {
					t.Errorf("status %+v", st)
				}
				w.SetLimits(tasks.Limits{Rate: rate / 2})
				time.Sleep(time.Minute)
				moved, _ = j.during(200 * time.Second)
				within(t, "bytes at half the rate", moved, 100*rate-100*rate/50-16*mib, 100*rate+100*rate/50+16*mib)
				w.SetLimits(tasks.Limits{})
				time.Sleep(time.Second)
				_, steps := j.during(time.Second)
				within(t, "steps without a limit", steps, int64(time.Second/work)-1, int64(c.workers)*int64(time.Second/work)+2)
			})
		})
	}
}

// TestBusy: while requests are answered a little is done, however small or
// large the steps are, and everything right after that.
func TestBusy(t *testing.T) {
	for _, c := range []struct{ bytes, least, most int64 }{
		{0, 150, 210},      // by time: 2 ms of each 100
		{64 * kib, 36, 44}, // by bytes: 256 KiB of each 100 ms
		{16 * mib, 9, 11},  // one step at least
	} {
		t.Run(fmt.Sprint(c.bytes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var busy atomic.Bool
				w := start(t, tasks.Options{Busy: busy.Load})
				j := &stepper{bytes: c.bytes, work: 100 * time.Microsecond}
				busy.Store(true)
				w.begun(t, tasks.Job{Name: "a", Run: j.run})
				_, steps := j.during(time.Second)
				within(t, "steps under load", steps, c.least, c.most)
				if st := w.status(t, "a"); st.State != tasks.Paused || st.Why != "requests are being answered" {
					t.Errorf("status %+v", st)
				}
				busy.Store(false)
				time.Sleep(30 * time.Millisecond)
				_, steps = j.during(100 * time.Millisecond)
				within(t, "steps after it", steps, 999, 1001)
			})
		})
	}
}

// stalls is a kernel whose measure of pressure a test makes.
type stalls struct {
	mu    sync.Mutex         // guards what follows
	share map[string]float64 // of the time in which some thread is stalled
	own   *stepper           // while it moves bytes, it is stalled on disks itself
	total map[string]float64 // microseconds
	at    time.Time
	moved int64
	asked int
}

func (s *stalls) set(resource string, share float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.share[resource] = share
}

// advance counts the stalls up to now. The caller holds mu.
func (s *stalls) advance() {
	if s.total == nil {
		s.total = map[string]float64{}
	}
	passed := time.Since(s.at)
	if passed == 0 {
		return
	}
	if !s.at.IsZero() {
		for _, resource := range []string{"cpu", "io"} {
			share := s.share[resource]
			if resource == "io" {
				took := float64(s.own.moved.Load()-s.moved) / float64(s.own.bytes) * work.Seconds()
				share = max(share, min(1, took/passed.Seconds()))
			}
			s.total[resource] += share * float64(passed.Microseconds())
		}
	}
	s.at = time.Now()
	s.moved = s.own.moved.Load()
}

func (s *stalls) Open(name string) (fs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resource, ok := strings.CutPrefix(name, "proc/pressure/")
	if _, known := s.share[resource]; !ok || !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	s.asked++
	s.advance()
	content := fmt.Sprintf("some avg10=99.99 avg60=0.00 avg300=0.00 total=%.0f\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", s.total[resource])
	return fstest.MapFS{name: {Data: []byte(content)}}.Open(name)
}

func pressed(t *testing.T, j *stepper, share map[string]float64) (*world, *stalls) {
	t.Helper()
	system := &stalls{share: share, own: j}
	w := start(t, tasks.Options{System: system, Limits: tasks.Limits{Pressure: 50}})
	w.begun(t, tasks.Job{Name: "a", Run: j.run})
	return w, system
}

// TestProcessorPressure: rounds back off while others wait for the processor.
func TestProcessorPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &stepper{bytes: 1}
		w, system := pressed(t, j, map[string]float64{"cpu": 0.4})
		full := int64(10 * time.Second / work)
		_, steps := j.during(10 * time.Second)
		within(t, "steps below the threshold", steps, full-1, full+1)
		system.set("cpu", 0.63)
		time.Sleep(3 * time.Second)
		_, steps = j.during(10 * time.Second)
		within(t, "steps above it", steps, full/15, full/10)
		if st := w.status(t, "a"); st.State != tasks.Paused || st.Why != "the processor is under pressure (63 %)" {
			t.Errorf("status %+v", st)
		}
		if system.asked > 26 {
			t.Errorf("the kernel was asked %d times in 24 seconds", system.asked)
		}
		system.set("cpu", 0.1)
		time.Sleep(3 * time.Second)
		_, steps = j.during(10 * time.Second)
		within(t, "steps after it", steps, full-1, full+1)
		system.set("cpu", 1)
		w.SetLimits(tasks.Limits{})
		time.Sleep(time.Second)
		_, steps = j.during(10 * time.Second)
		within(t, "steps without a threshold", steps, full-1, full+1)
	})
}

// TestOwnDiskPressure: what the work itself does to disks does not slow it down.
func TestOwnDiskPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &stepper{bytes: 64 * kib}
		_, _ = pressed(t, j, map[string]float64{"cpu": 0, "io": 0})
		_, steps := j.during(20 * time.Minute)
		full := int64(20 * time.Minute / work)
		within(t, "steps", steps, full-full/100, full)
	})
}

// TestDiskPressure: rounds back off while others wait for disks, and go on
// soon after that.
func TestDiskPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &stepper{bytes: 64 * kib}
		w, system := pressed(t, j, map[string]float64{"cpu": 0, "io": 0.8})
		time.Sleep(time.Minute)
		full := int64(10 * time.Second / work)
		_, steps := j.during(10 * time.Second)
		within(t, "steps under pressure", steps, 10*9, full/8)
		if st := w.status(t, "a"); st.State != tasks.Paused || st.Why != "disks are under pressure (80 %)" {
			t.Errorf("status %+v", st)
		}
		system.set("io", 0.1)
		time.Sleep(3 * time.Second)
		_, steps = j.during(10 * time.Second)
		within(t, "steps after it", steps, full-full/50, full+1)
	})
}

// TestNoPressure: a kernel that measures none, or something else, is ignored.
func TestNoPressure(t *testing.T) {
	for _, content := range []string{"", "some", "some total=x\n", "full total=5\n", "some total=-1\n", "some total=99999999999999999999\n"} {
		synctest.Test(t, func(t *testing.T) {
			system := fstest.MapFS{"proc/pressure/cpu": {Data: []byte(content)}}
			w := start(t, tasks.Options{System: system, Limits: tasks.Limits{Pressure: 1}})
			j := &stepper{}
			w.begun(t, tasks.Job{Name: "a", Run: j.run})
			_, steps := j.during(10 * time.Second)
			within(t, "steps", steps, int64(10*time.Second/work)-1, int64(10*time.Second/work)+1)
		})
	}
}

// TestNilRound: verbs and tests run jobs without a scheduler.
func TestNilRound(t *testing.T) {
	var r *tasks.Round
	r.Progress(1, 2, "blobs")
	r.Say("done")
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Step(ctx, 1<<40); err != nil {
		t.Errorf("Step: %v", err)
	}
	cancel()
	if err := r.Step(ctx, 0); err != context.Canceled {
		t.Errorf("Step after the end: %v", err)
	}
}

// BenchmarkStep is what a step costs where there is nothing to wait for.
func BenchmarkStep(b *testing.B) {
	s := tasks.New(tasks.Options{Quiet: 1, Limits: tasks.Limits{Pressure: 50}, Busy: func() bool { return false }})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	err := s.Add(tasks.Job{Name: "a", First: -1, Run: func(ctx context.Context, r *tasks.Round) error {
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if err := r.Step(ctx, 0); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Trigger(ctx, "a", nil); err != nil {
		b.Fatal(err)
	}
}
