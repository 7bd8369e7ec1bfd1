package together_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/gc"
	"berth/tasks/scrub"
)

// fleet is several processes that share a store and know nothing of each other.
// Their requests take their time and get lost, their clocks run apart, they are
// paused, and they die. All of it happens in the bubble of synctest, whose time
// goes on by itself: so hours take a moment, and the machine's speed changes
// nothing.
type fleet struct {
	t       *testing.T
	memory  *ocitest.Memory
	members [3]*member
	calm    atomic.Bool // nothing fails any more
	running sync.WaitGroup
	stop    context.CancelFunc
	sparse  registry.Sparse // whether indexes may lack manifests

	mu     sync.Mutex // guards rng and moment
	rng    *rand.Rand
	moment chan struct{} // closed when something is about to be deleted

	deaths, pauses, collected, repeated atomic.Int64
}

// member is one place in the fleet. The process there is another one after each
// death.
type member struct {
	*fleet
	now atomic.Pointer[process]
}

var (
	errFault = errors.New("the connection was cut")
	errDead  = errors.New("the process has died")
)

func newFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{t: t, memory: ocitest.NewMemory(), rng: rand.New(rand.NewPCG(seed, 2)), moment: make(chan struct{})}
	if f.sparse = registry.SparseNone; seed%2 == 0 {
		f.sparse = registry.SparseIndex
	}
	f.memory.Deleting = f.deleting
	f.memory.ByContent = true
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	for i := range f.members {
		m := &member{fleet: f}
		m.now.Store(m.born())
		f.members[i] = m
	}
	for _, m := range f.members {
		f.running.Go(func() { m.live(ctx) })
	}
	return f
}

// deleting is called as a blob is deleted: nothing with a tag may need it.
func (f *fleet) deleting(repo oci.Repo, d oci.Digest, data []byte, read func(oci.Digest) []byte) {
	index, err := oci.ParseIndex(data)
	if err != nil {
		f.t.Errorf("the index of %s: %v", repo, err)
		return
	}
	if neededBy(index, read)[d] {
		f.t.Errorf("%s is deleted from %s, and something needs it", d, repo)
	}
}

// one in n is true.
func (f *fleet) one(n int) bool { return f.below(n) == 0 }

func (f *fleet) below(n int) int { return int(f.upTo(time.Duration(n))) }

// upTo is a time from zero to d.
func (f *fleet) upTo(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.rng.Int64N(int64(d)))
}

// any is a process, alive or not.
func (f *fleet) any() *process { return f.members[f.below(len(f.members))].now.Load() }

// alert wakes those who wait for a moment in which much can go wrong.
func (f *fleet) alert() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.moment)
	f.moment = make(chan struct{})
}

// lurk waits for such a moment, for so long at most.
func (f *fleet) lurk(most time.Duration) {
	f.mu.Lock()
	moment := f.moment
	f.mu.Unlock()
	select {
	case <-moment:
	case <-time.After(most):
	}
}

// live does the work of one process after the other.
func (m *member) live(ctx context.Context) {
	for ctx.Err() == nil {
		p := m.now.Load()
		collector := gc.New(gc.Options{Registry: p.reg, Store: p.store, Delay: delay, Now: p.clock})
		scrubber := scrub.New(p.store, scrub.Options{Now: p.clock, Lost: p.reg.Forget})
		for ctx.Err() == nil && !p.dead.Load() {
			report, err := collector.Run(ctx, nil, gc.Request{})
			m.collected.Add(report.Items())
			m.bearable(ctx, "collection", err)
			if m.one(20) {
				_, err = scrubber.Run(ctx, nil)
				m.bearable(ctx, "scrub", err)
			}
			m.sleep(ctx, m.upTo(10*time.Minute))
		}
		if p.dead.Load() {
			m.sleep(ctx, m.upTo(10*time.Minute))
			m.now.Store(m.born())
		}
	}
}

func (f *fleet) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// bearable fails the test at an error that nothing explains.
func (f *fleet) bearable(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil && !isTrouble(err) {
		f.t.Errorf("%s: %v", doing, err)
	}
}

// isTrouble tells whether an error is of those that the test makes.
func isTrouble(err error) bool {
	return errors.Is(err, errFault) || errors.Is(err, errDead) || errors.Is(err, oci.ErrUnavailable) || errors.Is(err, ocitest.ErrTooLate)
}

// patience is what no request may need, unless its process was paused.
const patience = 5 * time.Minute

// try has a process do something, until one of them answers for certain.
func (f *fleet) try(doing string, do func(context.Context, *registry.Registry) error) error {
	for range 500 {
		p := f.any()
		paused, before := p.paused()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := do(ctx, p.reg)
		late := ctx.Err() != nil
		cancel()
		if _, after := p.paused(); late && paused == 0 && after == before {
			f.t.Errorf("%s: no answer for %v: %v", doing, patience, err)
		}
		if err == nil || !isTrouble(err) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		time.Sleep(f.upTo(5 * time.Second))
	}
	f.t.Errorf("%s: it fails always", doing)
	return errFault
}

// TestReplicas: with three processes on one store, each with its own memory,
// collector and scrub, and with all that can happen to their requests and to
// them, no acknowledged manifest breaks, no tag goes back, nobody waits for
// ever, one process at a time collects, and garbage goes in the end.
func TestReplicas(t *testing.T) {
	for range 5 {
		seed := rand.Uint64()
		t.Log("seed", seed)
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, seed)
			began := time.Now()
			f.work(seed)
			f.calm.Store(true)
			worked := time.Since(began)
			f.settle()
			f.stop()
			f.running.Wait()
			time.Sleep(6 * time.Hour) // what nobody waits for ends, too
			t.Logf("%v, of it %v of work: %d collected, %d deaths, %d pauses, %d pushes begun anew",
				time.Since(began).Round(time.Minute), worked.Round(time.Minute), f.collected.Load(), f.deaths.Load(), f.pauses.Load(), f.repeated.Load())
		})
		if t.Failed() {
			return
		}
	}
}
