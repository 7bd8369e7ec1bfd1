package registry

import (
	"hash/maphash"
	"log/slog"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// told remembers what clients were told exists, or has arrived: they build on
// it without sending it again, so that it must not be collected for a while.
//
// It is two Bloom filters, of the present generation and of the one before: it
// never forgets too early, may take a little for told that was not, and costs
// the same whatever comes. Times are those of the monotonic clock, so that it
// does not matter when somebody sets the clock on the wall.
type told struct {
	keep  time.Duration // the least time that something is remembered; 0: nothing is
	now   func() time.Time
	since time.Time // when it began to remember
	seed  maphash.Seed
	log   *slog.Logger

	// locks are held shared while somebody finds out whether something is
	// there, so as to tell it, and alone while it is collected.
	locks [256]sync.RWMutex

	generations atomic.Pointer[generations]
	turning     sync.Mutex // held while generations is replaced, and guards crowded
	crowded     bool       // that there was too much to remember was logged
}

// generations never changes; its filters do.
type generations struct {
	now, past *filter   // past is nil where nothing was told
	until     time.Time // when now becomes past
}

// filter is a Bloom filter.
type filter struct {
	words [filterWords]atomic.Uint64
	ones  atomic.Int64
}

const (
	filterWords  = 64 << 10 / 8 // so that 50,000 names are mistaken in 1 of 100 cases
	filterHashes = 4
)

// add is quick where the name is known.
func (f *filter) add(h uint64) {
	for i := range uint64(filterHashes) {
		word, bit := place(h, i)
		if f.words[word].Load()&bit == 0 && f.words[word].Or(bit)&bit == 0 {
			f.ones.Add(1)
		}
	}
}

func (f *filter) has(h uint64) bool {
	for i := range uint64(filterHashes) {
		if word, bit := place(h, i); f.words[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

// place is the i-th bit of a name.
func place(h, i uint64) (word, bit uint64) {
	at := h + i*(h>>32|1)
	return at / 64 % filterWords, 1 << (at % 64)
}

// start begins to remember things for at least keep; now is the clock.
func (t *told) start(keep time.Duration, now func() time.Time, log *slog.Logger) {
	t.keep, t.now, t.log = keep, now, log
	t.since, t.seed = now(), maphash.MakeSeed()
}

// hash stands for a digest or an upload session in a repository.
func (t *told) hash(repo oci.Repo, name string) uint64 {
	return bits.RotateLeft64(maphash.String(t.seed, string(repo)), 17) ^ maphash.String(t.seed, name)
}

func (t *told) lock(h uint64) *sync.RWMutex { return &t.locks[h>>56] }

// promise is what was remembered before the answer is known. Until it is kept
// the thing is not collected, if it is there.
type promise struct{ lock *sync.RWMutex }

// promise comes before the look that the answer follows from.
func (t *told) promise(repo oci.Repo, name string) promise {
	if t.keep == 0 {
		return promise{}
	}
	h := t.hash(repo, name)
	lock := t.lock(h)
	lock.RLock()
	t.add(h)
	return promise{lock}
}

// kept ends a promise: the answer is known.
func (p promise) kept() {
	if p.lock != nil {
		p.lock.RUnlock()
	}
}

// remember is for what cannot be collected at this moment for another reason.
// It waits for nobody.
func (t *told) remember(repo oci.Repo, name string) {
	if t.keep > 0 {
		t.add(t.hash(repo, name))
	}
}

// add adds to the present generation, and again where that became older than
// the past one meanwhile.
func (t *told) add(h uint64) {
	for {
		g := t.present()
		g.now.add(h)
		if later := t.generations.Load(); later == g || later.past == g.now {
			return
		}
	}
}

// present is the generations at this moment.
func (t *told) present() *generations {
	now := t.now()
	if g := t.generations.Load(); g != nil && now.Before(g.until) {
		return g
	}
	return t.turn(now)
}

// turn begins a new generation.
func (t *told) turn(now time.Time) *generations {
	t.turning.Lock()
	defer t.turning.Unlock()
	g := t.generations.Load()
	if g != nil && now.Before(g.until) {
		return g
	}
	next := &generations{now: new(filter), until: now.Add(t.keep)}
	if g != nil && now.Before(g.until.Add(t.keep)) {
		next.past = g.now
		t.warn(g.now)
	}
	t.generations.Store(next)
	return next
}

// warn says once that so much was told that little can be told apart.
func (t *told) warn(f *filter) {
	if t.crowded || f.ones.Load() < filterWords*64*3/4 {
		return
	}
	t.crowded = true
	t.log.Warn("clients asked for more blobs than can be remembered: garbage is collected later; a shorter gcDelay helps")
}

// naming is held while something gets a name in a repository by which it will
// be remembered.
func (t *told) naming(repo oci.Repo) promise {
	if t.keep == 0 {
		return promise{}
	}
	lock := t.lock(t.hash(repo, ""))
	lock.RLock()
	return promise{lock}
}

// named tells whether everything that has a name in a repository is remembered.
func (t *told) named(repo oci.Repo) bool {
	if t.keep == 0 {
		return true
	}
	lock := t.lock(t.hash(repo, ""))
	if !lock.TryLock() {
		return false
	}
	lock.Unlock()
	return true
}

// has tells whether something was told lately.
func (t *told) has(repo oci.Repo, name string) bool {
	if t.keep == 0 || t.generations.Load() == nil {
		return false
	}
	g, h := t.present(), t.hash(repo, name)
	return g.now.has(h) || g.past != nil && g.past.has(h)
}

// claim is a promise's opposite: until release is called nobody is told of the
// thing. ok is false where somebody was, or is about to be.
func (t *told) claim(repo oci.Repo, name string) (release func(), ok bool) {
	if t.keep == 0 {
		return func() {}, true
	}
	lock := t.lock(t.hash(repo, name))
	if !lock.TryLock() {
		return nil, false
	}
	if t.has(repo, name) {
		lock.Unlock()
		return nil, false
	}
	return lock.Unlock, true
}
