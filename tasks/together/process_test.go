package together_test

import (
	"sync"
	"sync/atomic"
	"time"

	"berth/oci/ocitest"
	"berth/oci/registry"
)

// process is one of the fleet, from its birth to its death.
type process struct {
	member *member
	store  *ocitest.Replica
	reg    *registry.Registry
	dead   atomic.Bool

	born time.Time
	rate float64 // of its clock

	mu sync.Mutex // guards everything below; times are since born
	// from and until are those of its last pause, in which its clock stands, or
	// does not. lost is how long it has stood before.
	from, until, lost time.Duration
	stands            bool
	pauses            int
	elected           time.Duration // when it last asked for the lease; 0: never
}

// leaseTerm is the least for which nobody takes a lease over.
const leaseTerm = 5 * time.Minute

// born is a new process.
func (m *member) born() *process {
	p := &process{member: m, store: ocitest.NewReplica(m.memory), born: time.Now()}
	p.rate = 1 + float64(m.below(61)-30)/1000
	p.store.Decide(p.decide)
	p.store.Around(p.around)
	p.store.Delay(func() {
		if m.one(3) {
			time.Sleep(m.upTo(10 * time.Minute))
		} else {
			time.Sleep(m.upTo(20 * time.Second))
		}
	})
	p.reg = registry.New(p.store, registry.Options{Remember: delay, Now: p.clock, Sparse: m.sparse})
	return p
}

// clock is the process's own: up to 3 % too fast or too slow, and standing while
// a machine sleeps.
func (p *process) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.born)
	if p.stands && now < p.until {
		now = p.from
	} else if p.stands {
		p.lost += p.until - p.from
		p.stands = false
	}
	return p.born.Add(time.Duration(float64(now-p.lost) * p.rate))
}

// paused is for how long the process is paused still, and how often it was.
func (p *process) paused() (left time.Duration, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.until-time.Since(p.born)), p.pauses
}

// pause stops the process for a while, with its clock or without.
func (p *process) pause() {
	p.clock() // takes the last one into account
	m := p.member
	d := m.upTo([]time.Duration{10 * time.Second, time.Minute, 2 * time.Hour}[m.below(3)])
	stands := m.one(2)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.born)
	if now < p.until {
		return
	}
	p.from, p.until, p.stands = now, now+d, stands
	p.pauses++
	m.pauses.Add(1)
}

// around is before and after each call: it takes its time, more of it where much
// hangs on it, and as long as the process is paused.
func (p *process) around(method string) {
	m := p.member
	if method == "CancelUpload" {
		return // the registry has a mutex meanwhile
	}
	often, long, pause := 30, 2*time.Second, 3000
	switch method {
	case "DeleteBlobsBefore": // after the announcement
		often, long, pause = 2, 8*time.Second, 20
	case "PutBlob", "SwapIndex": // before the index, or an answer
		often, long, pause = 4, 10*time.Second, 100
	}
	switch {
	case m.calm.Load():
		time.Sleep(time.Millisecond)
	case m.one(pause):
		p.pause()
	case m.one(often):
		time.Sleep(m.upTo(long))
	default:
		time.Sleep(m.upTo(30 * time.Millisecond))
	}
	for left, _ := p.paused(); left > 0; left, _ = p.paused() {
		time.Sleep(left)
	}
}

// decide says what becomes of a call.
func (p *process) decide(method string) (ocitest.When, error) {
	m := p.member
	if p.dead.Load() {
		return ocitest.Before, errDead
	}
	p.watch(method)
	if m.calm.Load() {
		return ocitest.Never, nil
	}
	ways := []ocitest.When{ocitest.Before, ocitest.After}
	switch method {
	case "DeleteBlobsBefore", "PutBlob", "LinkBlob", "SwapIndex":
		ways = append(ways, ocitest.Later)
	}
	when := ways[m.below(len(ways))]
	deadly := method == "DeleteBlobsBefore" || method == "SwapIndex"
	switch {
	case deadly && m.one(60), m.one(20_000):
		p.dead.Store(true)
		m.deaths.Add(1)
		return when, errDead
	case method == "DeleteBlobsBefore" && m.one(3), method == "SwapIndex" && m.one(20), m.one(1000):
		return when, errFault
	case method != "DeleteBlobsBefore" && len(ways) > 2 && m.one(20):
		return ocitest.Twice, nil
	}
	return ocitest.Never, nil
}

// watch looks that who collects was elected, and tells of moments in which much
// can go wrong.
func (p *process) watch(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.born) + 1
	switch method {
	case "Lease":
		p.elected = now
	case "WalkUploads": // with which a collection begins
		if p.elected == 0 || now-p.elected < leaseTerm && !p.store.Has("gc") {
			p.member.t.Error("a process collects that was not elected")
		}
	case "WalkBlobs", "DeleteBlobsBefore":
		p.member.alert()
	}
}
