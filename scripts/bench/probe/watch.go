package probe

import (
	"sync"
	"time"
)

// watchInterval is the time between two samples of a Watch.
const watchInterval = 20 * time.Millisecond

// Peaks are the largest values that a Watch saw.
type Peaks struct {
	Memory       // of the process tree
	Dirty  int64 // dirty and under write-back, of the control group; -1: unknown
	TCP    int64 // kernel TCP memory of the whole machine
	Own    int64 // that of the control group's sockets; 0: unknown
}

// Watch samples a process tree until it is stopped.
type Watch struct {
	stop chan struct{}
	done sync.WaitGroup
	seen Peaks // by the sampling goroutine; read after done
	err  error
}

// NewWatch begins to sample. group may be nil.
func NewWatch(t Tree, group *Group) *Watch {
	w := &Watch{stop: make(chan struct{}), seen: Peaks{Dirty: -1}}
	w.done.Go(func() { w.run(t, group) })
	return w
}

// Stop takes a last sample and returns the peaks.
func (w *Watch) Stop() (Peaks, error) {
	close(w.stop)
	w.done.Wait()
	return w.seen, w.err
}

func (w *Watch) run(t Tree, group *Group) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if w.err = w.sample(t, group); w.err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-w.stop:
			w.err = w.sample(t, group)
			return
		}
	}
}

func (w *Watch) sample(t Tree, group *Group) error {
	m, err := t.Memory()
	if err != nil {
		return err
	}
	w.seen.RSS = max(w.seen.RSS, m.RSS)
	w.seen.Anonymous = max(w.seen.Anonymous, m.Anonymous)
	tcp, err := TCPMemory()
	if err != nil {
		return err
	}
	w.seen.TCP = max(w.seen.TCP, tcp)
	if group == nil {
		return nil
	}
	if own, err := group.TCP(); err == nil { // a kernel may not count it
		w.seen.Own = max(w.seen.Own, own)
	}
	dirty, err := group.Dirty()
	w.seen.Dirty = max(w.seen.Dirty, dirty)
	return err
}
