package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/oci"
	"berth/s3lite/wire"
)

var _ oci.Locations = (*Index)(nil)

// Options of an Index. What has no default is needed.
type Options struct {
	// Endpoint is the address of the service; "" for AWS's in the region.
	Endpoint string
	Region   string
	Table    string
	// Scope tells stores apart that share the table: the same for all
	// processes with the same store, and another one for each other.
	Scope string
	// Credentials sign the calls; nil leaves them unsigned.
	Credentials wire.Credentials
	// RoundTripper makes the connections; nil for those of package wire.
	RoundTripper http.RoundTripper
	Clock        wire.Clock   // nil: the system's
	Log          *slog.Logger // nil: discard
}

// Index is a dedupe index in a table. It writes nothing before Run is called.
type Index struct {
	table *table
	scope string
	clock wire.Clock
	log   *slog.Logger
	wake  chan struct{} // tells Run that there is something to write

	mu    sync.Mutex // guards all below
	notes notes
	bad   bool      // the last call failed
	until time.Time // before then, no call is made
	pause time.Duration
}

const (
	firstPause = time.Second
	maxPause   = time.Minute
	// maxScope keeps keys below what the service takes, with the longest digest.
	maxScope = 1024
)

// New checks the options and makes an index. It sends nothing.
func New(o Options) (*Index, error) {
	if o.Region == "" {
		return nil, errors.New("the region is missing")
	}
	if o.Table == "" {
		return nil, errors.New("the name of the table is missing")
	}
	if o.Clock == nil {
		o.Clock = wire.SystemClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RoundTripper == nil {
		transport, err := wire.NewTransport(wire.TransportOptions{})
		if err != nil {
			return nil, err
		}
		o.RoundTripper = transport
	}
	if len(o.Scope) > maxScope {
		sum := sha256.Sum256([]byte(o.Scope))
		o.Scope = hex.EncodeToString(sum[:])
	}
	t, err := newTable(o)
	if err != nil {
		return nil, err
	}
	return &Index{table: t, scope: o.Scope, clock: o.Clock, log: o.Log, wake: make(chan struct{}, 1), pause: firstPause}, nil
}

func (x *Index) key(d oci.Digest) string { return x.scope + "|" + string(d) }

// Holders implements oci.Locations: those that were noted last come last, the
// others in the order of their names.
func (x *Index) Holders(ctx context.Context, d oci.Digest, most int) ([]oci.Repo, error) {
	if x.resting() {
		return nil, oci.ErrNoHint
	}
	key := x.key(d)
	// The notes first: one that is written between the two looks is then seen
	// twice, which does no harm.
	x.mu.Lock()
	about := x.notes.of(key)
	x.mu.Unlock()
	names, err := x.table.get(ctx, key)
	if err != nil && !errors.Is(err, errNoTable) {
		return nil, x.failed(ctx, err)
	}
	x.worked(err == nil)
	repos := apply(about, parse(names))
	if most > 0 && len(repos) > most {
		repos = repos[len(repos)-most:]
	}
	return repos, nil
}

// parse takes the names of repositories out of what the table has.
func parse(names []string) []oci.Repo {
	var repos []oci.Repo
	for _, name := range names[:min(len(names), maxHolders)] {
		if repo, err := oci.ParseRepo(name); err == nil {
			repos = append(repos, repo)
		}
	}
	slices.Sort(repos)
	return slices.Compact(repos)
}

// Add implements oci.Locations. It waits for nothing.
func (x *Index) Add(ctx context.Context, d oci.Digest, repos ...oci.Repo) error {
	return x.note(ctx, d, repos, false)
}

// Remove implements oci.Locations. It waits for nothing.
func (x *Index) Remove(ctx context.Context, d oci.Digest, repo oci.Repo) error {
	return x.note(ctx, d, []oci.Repo{repo}, true)
}

// Count implements oci.Locations: to count takes a call that is not made.
func (x *Index) Count(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return 0, oci.ErrNoHint
}

func (x *Index) note(ctx context.Context, d oci.Digest, repos []oci.Repo, gone bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, fits := x.key(d), true
	x.mu.Lock()
	for _, repo := range repos {
		fits = x.notes.add(key, oci.Repo(strings.Clone(string(repo))), gone) && fits
	}
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
	if !fits {
		return oci.ErrNoHint
	}
	return nil
}

// Run writes the notes until ctx ends.
func (x *Index) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		x.mu.Lock()
		key, about, some := x.notes.some()
		rest := x.until.Sub(x.clock.Now())
		x.mu.Unlock()
		switch {
		case !some:
			select {
			case <-ctx.Done():
			case <-x.wake:
			}
			continue
		case rest > 0:
			x.sleep(ctx, rest)
			continue
		}
		if err := x.write(ctx, key, about); err != nil {
			_ = x.failed(ctx, err) // which is logged, and rested for
			continue
		}
		x.worked(true)
		x.mu.Lock()
		x.notes.written(key, about)
		x.mu.Unlock()
	}
	return nil
}

// write writes the notes about one key. Where the table is missing it is made,
// and the error is that.
func (x *Index) write(ctx context.Context, key string, about map[oci.Repo]note) error {
	var here, gone []string
	for repo, n := range about {
		if n.gone {
			gone = append(gone, string(repo))
		} else {
			here = append(here, string(repo))
		}
	}
	if len(gone) > 0 {
		if err := x.table.remove(ctx, key, gone); err != nil {
			return err
		}
	}
	if len(here) == 0 {
		return nil
	}
	err := x.table.add(ctx, key, here)
	if errors.Is(err, errNoTable) {
		if made := x.table.create(ctx); made != nil {
			return made
		}
	}
	return err
}

// resting tells whether the table was out of reach just now.
func (x *Index) resting() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.clock.Now().Before(x.until)
}

// failed notes that a call failed, and returns what callers are told. A table
// that is being made is nothing that anybody need know of.
func (x *Index) failed(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	news := !x.bad && !errors.Is(err, errNoTable)
	x.until = x.clock.Now().Add(x.pause)
	x.pause = min(2*x.pause, maxPause)
	if news {
		x.bad = true
		x.log.Warn("the dedupe index in DynamoDB is not available: what it would tell costs space or time until it is", "table", x.table.name, "error", err)
	}
	return oci.ErrNoHint
}

// worked notes that a call succeeded; written: nothing stands in the way of
// writing, either.
func (x *Index) worked(written bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if written {
		x.pause = firstPause
	}
	if x.bad {
		x.bad = false
		x.log.Info("the dedupe index in DynamoDB is available again", "table", x.table.name)
	}
}

// sleep waits, no longer than ctx lasts.
func (x *Index) sleep(ctx context.Context, d time.Duration) {
	done := make(chan struct{})
	timer := x.clock.AfterFunc(d, func() { close(done) })
	defer timer.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
