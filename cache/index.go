package cache

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"berth/oci"
)

var (
	_ oci.Locations        = (*Index)(nil)
	_ oci.LocationsRebuild = (*Index)(nil)
)

const (
	// queueLimit is the most notes that wait to be written; more are dropped,
	// and a rebuild is due.
	queueLimit = 4096
	// openWait is how long a question waits for the index to be opened, where
	// Options do not say otherwise.
	openWait = 2 * time.Second
)

// Options of an index. Dir is needed, all else has a default.
type Options struct {
	// Dir is the directory that the index owns. It is created when needed.
	Dir string
	// Log receives what an operator should know, once for each state of
	// affairs. The default drops it.
	Log *slog.Logger
	// Free tells how many bytes are free on Dir's file system for berth to
	// use. The default asks the file system.
	Free func() int64
	// Floor is the number of free bytes below which nothing is written. Badger
	// writes through maps of sparse files, and the kernel ends the process
	// when there is no block left for them, so it must be well above the floor
	// at which the store refuses uploads. The default is 64 MiB.
	Floor int64
	// Rebuild walks all repositories and calls add for each blob of each, until
	// add returns an error, which it returns. Run calls it in the background
	// when the index is new, was wiped, or has dropped notes; with a context
	// that ends when the walk is of no more use. Nil for none.
	Rebuild func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error
	// Idle is how long the index stays open unused. The default is 5 minutes.
	Idle time.Duration
	// Group is how long a note waits for others to be written with it. The
	// default is 50 ms.
	Group time.Duration

	// openWait is how long a question waits for the index to be opened, and
	// stuckAfter how long Badger may take for one thing; tests, which want what
	// comes of it on the slowest machine, wait longer.
	openWait, stuckAfter time.Duration
}

// Index is a dedupe index. It answers oci.ErrNoHint until Run is called, and
// after Run has returned.
type Index struct {
	opt  Options
	wake chan struct{} // tells Run that there is something to do

	// gate guards db: shared to read from it, whole to open and close.
	gate sync.RWMutex
	db   *badger.DB

	mu      sync.Mutex    // guards all that follows
	changed chan struct{} // closed, and replaced, when any of it changes for the better or worse
	stage   stage
	parked  bool // too little space: nothing is written
	asked   bool // somebody waits for it to be opened
	used    time.Time
	users   int   // calls under way, for which it stays open
	failure error // why the files are not to be trusted
	reset   bool  // somebody wants it wiped
	wipes   uint64
	meta    meta // as last written
	queue   queue
}

// stage is what Run is about.
type stage int

const (
	stopped stage = iota // Run is not there
	closed               // not open, for want of questions
	ready                // open
	out                  // out of service
)

// New makes an index; it does no I/O.
func New(opt Options) *Index {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Floor == 0 {
		opt.Floor = 64 << 20
	}
	if opt.Idle == 0 {
		opt.Idle = 5 * time.Minute
	}
	if opt.Group == 0 {
		opt.Group = 50 * time.Millisecond
	}
	if opt.openWait == 0 {
		opt.openWait = openWait
	}
	if opt.stuckAfter == 0 {
		opt.stuckAfter = stuckAfter
	}
	if opt.Free == nil {
		opt.Free = func() int64 { return freeSpace(opt.Dir) }
	}
	return &Index{opt: opt, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Holders implements oci.Locations.
func (x *Index) Holders(ctx context.Context, d oci.Digest, most int) ([]oci.Repo, error) {
	key, err := keyOf(d)
	if err != nil {
		return nil, oci.ErrNoHint
	}
	defer x.hold()()
	if err := x.await(ctx, func() bool { return x.stage == ready }); err != nil {
		return nil, err
	}
	// The notes first: one that is written between the two looks is then seen
	// twice, which does no harm.
	x.mu.Lock()
	notes := x.queue.about(key)
	x.mu.Unlock()
	written, err := x.read(key)
	if err != nil {
		return nil, err
	}
	repos := apply(written, notes)
	if most > 0 && len(repos) > most {
		repos = repos[len(repos)-most:]
	}
	return repos, nil
}

// Add implements oci.Locations. It waits for nothing.
func (x *Index) Add(ctx context.Context, d oci.Digest, repos ...oci.Repo) error {
	changes := make([]change, len(repos))
	for i, r := range repos {
		changes[i] = change{repo: r}
	}
	return x.note(ctx, d, changes)
}

// Remove implements oci.Locations. It waits for nothing.
func (x *Index) Remove(ctx context.Context, d oci.Digest, repo oci.Repo) error {
	return x.note(ctx, d, []change{{repo: repo, gone: true}})
}

// Count implements oci.Locations.
func (x *Index) Count(ctx context.Context) (int64, error) {
	m, err := x.about(ctx)
	return m.count, err
}

// Complete implements oci.LocationsRebuild.
func (x *Index) Complete(ctx context.Context) (bool, error) {
	m, err := x.about(ctx)
	return m.complete, err
}

// about returns what the index says of itself.
func (x *Index) about(ctx context.Context) (meta, error) {
	err := x.await(ctx, func() bool { return x.stage == ready })
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.meta, err
}

// SetComplete implements oci.LocationsRebuild.
func (x *Index) SetComplete(ctx context.Context) error {
	x.mu.Lock()
	wipes := x.wipes
	x.queue.completing, x.queue.lossy = true, false
	x.mu.Unlock()
	err := x.await(ctx, func() bool { return x.stage == ready && !x.queue.completing || x.wipes != wipes })
	if err != nil {
		return err
	}
	if done, err := x.Complete(ctx); err != nil || !done {
		return oci.ErrNoHint
	}
	return nil
}

// Reset implements oci.LocationsRebuild.
func (x *Index) Reset(ctx context.Context) error {
	x.mu.Lock()
	wipes := x.wipes
	x.reset, x.queue = true, queue{}
	x.mu.Unlock()
	return x.await(ctx, func() bool { return x.stage == ready && x.wipes != wipes })
}

// Flush waits until every note made before has been written or dropped.
func (x *Index) Flush(ctx context.Context) error {
	x.mu.Lock()
	x.queue.hurry = true
	x.mu.Unlock()
	return x.await(ctx, func() bool { return x.stage == ready && x.queue.empty() })
}
