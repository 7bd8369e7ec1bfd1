// Package budget holds pushes to limits of bytes. It owns the count of what
// repositories take, and the decorator of a store that keeps the count up to date
// and refuses what does not fit.
//
// Invariants: a push is refused before its bytes are taken where its length is
// known, and else with the first byte that has no room. The count is exact when
// somebody has gone through the store; from then on it is never less than what is
// stored, but for what others do to the store. Memory does not depend on the
// store's size.
package budget

import (
	"cmp"
	"context"
	"sync"
	"time"

	"berth/oci"
)

// Limit is what some repositories may take together.
type Limit struct {
	Name string // in messages: "storage.maxBytes"
	// Covers tells whether a repository is one of them.
	Covers func(oci.Repo) bool
	// Bytes is the limit; it is asked at each count, since a share of a medium
	// is as large as the medium that is there. 0: no limit now.
	Bytes func() int64
	// High and Low are the watermarks in percent of Bytes.
	High, Low int64
	// Whole: it covers a root as a whole, so that whatever shares its bytes with
	// one of its blobs is covered too.
	Whole bool
}

// Options of a Ledger. The zero value is usable.
type Options struct {
	Now func() time.Time // nil: time.Now
	// Patience is how long a push waits for the first count; 0: 3 seconds.
	Patience time.Duration
	// LeastPause and MostPause are between what counts are asked for; within
	// them a pause is 50 times as long as the last count took. 0: a second, and
	// a minute.
	LeastPause, MostPause time.Duration
}

// Ledger is the count of several limits. It is safe for concurrent use.
type Ledger struct {
	opts Options
	want chan struct{} // one token: a count is wanted

	mu       sync.Mutex // guards what follows, and the accounts
	accounts []*account
	counted  chan struct{} // closed at the end of the first count
	done     bool          // counted is closed
	hopeless bool          // nobody waits for the first count any more
	last     time.Time     // when a count ended
	took     time.Duration // by the last count
	opened   time.Time     // when the running count began
}

// account is one limit and what is taken of it.
type account struct {
	Limit
	max      int64 // Bytes at the last count
	used     int64 // blobs and uploads
	reserved int64 // of pushes that are under way
	added    int64 // to used since a count began
	refused  int64 // the largest push that had no room since the last count
	over     bool  // the high watermark was passed since the last count
}

func (a *account) free() int64 { return max(a.max-a.used-a.reserved, 0) }

// NewLedger makes a Ledger that has counted nothing yet.
func NewLedger(opts Options, limits ...Limit) *Ledger {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Patience = cmp.Or(opts.Patience, 3*time.Second)
	opts.LeastPause = cmp.Or(opts.LeastPause, time.Second)
	opts.MostPause = cmp.Or(opts.MostPause, time.Minute)
	l := &Ledger{opts: opts, want: make(chan struct{}, 1), counted: make(chan struct{})}
	for _, limit := range limits {
		l.accounts = append(l.accounts, &account{Limit: limit, max: limit.Bytes()})
	}
	return l
}

// Covers tells whether some limit is about a repository.
func (l *Ledger) Covers(repo oci.Repo) bool {
	for _, a := range l.accounts {
		if a.Limit.Covers(repo) {
			return true
		}
	}
	return false
}

// Recount asks for a count: what was stored or removed is not known any more.
func (l *Ledger) Recount() {
	select {
	case l.want <- struct{}{}:
	default:
	}
}

// Run calls count whenever a count is wanted, and not too often, until ctx ends.
// count goes through the store, by Begin.
func (l *Ledger) Run(ctx context.Context, count func(context.Context)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.want:
		}
		timer := time.NewTimer(l.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		count(ctx)
	}
}

// pause is how long the next count has to wait.
func (l *Ledger) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() {
		return 0
	}
	least := min(max(50*l.took, l.opts.LeastPause), l.opts.MostPause)
	gone := l.opts.Now().Sub(l.last)
	if gone < 0 {
		gone = 0
	}
	return least - gone
}

// State is where one limit stands.
type State struct {
	Limit
	Max, Used, Free int64 // bytes
	// Refused is the largest push that had no room since the count before.
	Refused int64
}

// States returns where all limits stand, in their order.
func (l *Ledger) States() []State {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []State
	for _, a := range l.accounts {
		all = append(all, State{Limit: a.Limit, Max: a.max, Used: a.used, Free: a.free(), Refused: a.refused})
	}
	return all
}

// Begin begins a count, in which Add is called for everything that is stored.
func (l *Ledger) Begin() *Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = l.opts.Now()
	for _, a := range l.accounts {
		a.added = 0
	}
	return &Count{ledger: l, sums: make([]sum, len(l.accounts))}
}

// awaitCount waits a little for the first count: a full store is not known to
// be full before.
func (l *Ledger) awaitCount(ctx context.Context) {
	l.mu.Lock()
	if l.done || l.hopeless {
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.Recount()
	timer := time.NewTimer(l.opts.Patience)
	defer timer.Stop()
	select {
	case <-l.counted:
	case <-ctx.Done():
	case <-timer.C:
		l.mu.Lock()
		l.hopeless = true
		l.mu.Unlock()
	}
}

// reservation is room that was set aside for one push.
type reservation struct {
	ledger *Ledger
	rooms  []room
}

type room struct {
	account *account
	bytes   int64
}

// reserve sets room aside in every limit of a repository, or in none of them.
// need tells how much a limit has to have; below 0: what there is will do, but
// there has to be some. Errors: ErrStorageFull.
func (l *Ledger) reserve(ctx context.Context, repo oci.Repo, need func(*account) int64) (*reservation, error) {
	l.awaitCount(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &reservation{ledger: l}
	for _, a := range l.accounts {
		if !a.Limit.Covers(repo) {
			continue
		}
		n := need(a)
		if a.max > 0 && (n > a.free() || n < 0 && a.free() == 0) {
			return nil, l.refuse(a, n)
		}
		r.rooms = append(r.rooms, room{a, max(n, 0)})
	}
	for _, room := range r.rooms {
		room.account.reserved += room.bytes
	}
	return r, nil
}

// refuse says that there is no room, and asks for a count: it may make some.
func (l *Ledger) refuse(a *account, n int64) error {
	if n <= a.max {
		a.refused = max(a.refused, n, 1)
		l.Recount()
	}
	if n < 0 {
		return oci.Errorf(oci.ErrStorageFull, "nothing is free of the %d bytes that %s allows; delete what is not needed", a.max, a.Name)
	}
	return oci.Errorf(oci.ErrStorageFull, "%d bytes are to be stored, %d are free of the %d that %s allows; delete what is not needed", n, a.free(), a.max, a.Name)
}

// more sets aside up to n bytes more, as many as are free in every limit, and
// returns how many those are.
func (r *reservation) more(n int64) int64 {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for _, room := range r.rooms {
		if a := room.account; a.max > 0 {
			n = min(n, a.free())
		}
	}
	for i := range r.rooms {
		r.rooms[i].bytes += n
		r.rooms[i].account.reserved += n
	}
	return n
}

// full is the error where more found nothing.
func (r *reservation) full() error {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for _, room := range r.rooms {
		if a := room.account; a.max > 0 && a.free() == 0 {
			return r.ledger.refuse(a, -1)
		}
	}
	return oci.Errorf(oci.ErrStorageFull, "there was no room a moment ago; try again")
}

// settle gives the room back, and counts what was stored, which may be less than
// nothing.
func (r *reservation) settle(stored func(*account) int64) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for _, room := range r.rooms {
		room.account.reserved -= room.bytes
		r.ledger.store(room.account, stored(room.account))
	}
	r.rooms = nil
}

// change counts what was stored in a repository, or removed from it.
func (l *Ledger) change(repo oci.Repo, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		if a.Limit.Covers(repo) {
			l.store(a, n)
		}
	}
}

// store counts n bytes in one account.
func (l *Ledger) store(a *account, n int64) {
	a.used = max(a.used+n, 0)
	a.added += max(n, 0)
	if a.max > 0 && n > 0 && !a.over && a.used > percent(a.max, a.High) {
		a.over = true
		l.Recount()
	}
}

// percent is p percent of n.
func percent(n, p int64) int64 { return n/100*p + n%100*p/100 }

// HighMark is the number of bytes above which tags are to go.
func (s State) HighMark() int64 { return percent(s.Max, s.High) }

// LowMark is the number of bytes down to which tags are to go.
func (s State) LowMark() int64 { return percent(s.Max, s.Low) }
