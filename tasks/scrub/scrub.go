// Package scrub reads everything that a store's repositories lead to and tells
// what is damaged: blobs that are not what their digests say, cannot be read,
// are missing or have another size, and manifests, indexes and layouts that
// make no sense. It owns the order in which a store is gone through, what
// counts as damage, the progress of a round, its report and the table that
// people read; what a quarantine is, the store knows (oci.Quarantiner).
//
// Invariants: each copy of a blob is read once in a round, however many
// manifests and repositories name it. Nothing is called damaged that was read
// right on a second look. Memory is bounded: eight bytes for a blob that
// repositories share, and for each of the repository that is looked at. What is
// in the page cache stays there, and nothing else comes into it.
package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
)

// Store is what the job needs of a store. It makes use of oci.Quarantiner,
// oci.OnceReader, oci.UnservedWalker and oci.NoteKeeper where the store is one.
type Store interface {
	oci.Blobs
	oci.Indexes
	oci.Repos
}

// Options of a Scrubber. The zero value is usable.
type Options struct {
	Log *slog.Logger     // nil: discard
	Now func() time.Time // nil: time.Now
	// Sparse says what may be missing without being damage: as the registry's.
	// "": registry.SparseIndex.
	Sparse registry.Sparse
	// ReportOnly changes nothing in the store: no blob is taken away, no
	// progress and no report is kept.
	ReportOnly bool
	// Lost is called for each blob that a repository lost; nil: nobody asks.
	Lost func(repo oci.Repo, d oci.Digest)
	// SaveEvery and SaveBytes are after how long, and after how many bytes
	// read, progress is kept, whichever comes first. 0: 5 minutes, 16 GiB.
	SaveEvery time.Duration
	SaveBytes int64
	// Keys bounds what is remembered of blobs that were read, eight bytes
	// each; more blobs than that are read again where they are shared. 0: 2^19.
	Keys int
}

// Scrubber goes through one store, a round at a time.
type Scrubber struct {
	store Store
	opts  Options
}

// New makes a Scrubber. It does no I/O.
func New(store Store, opts Options) *Scrubber {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Sparse = cmp.Or(opts.Sparse, registry.SparseIndex)
	opts.SaveEvery = cmp.Or(opts.SaveEvery, 5*time.Minute)
	opts.SaveBytes = cmp.Or(opts.SaveBytes, 16<<30)
	opts.Keys = cmp.Or(opts.Keys, 1<<19)
	return &Scrubber{store: store, opts: opts}
}

// Run is one round, or the rest of one that was interrupted. It reads at the
// pace that r gives; nil: as fast as it can. A context that ends is an error,
// and the next round goes on there. The report of a round that ended is kept
// in the store too. One call runs at a time.
func (s *Scrubber) Run(ctx context.Context, r *tasks.Round) (Report, error) {
	j := &job{Scrubber: s, round: r, started: s.opts.Now()}
	j.quarantiner, _ = s.store.(oci.Quarantiner)
	if s.opts.ReportOnly {
		j.quarantiner = nil
	} else {
		j.notes, _ = s.store.(oci.NoteKeeper)
	}
	j.begin()
	err := j.run(ctx)
	if err != nil {
		j.save()
		return j.report, err
	}
	j.end()
	return j.report, nil
}

// job is one call of Run.
type job struct {
	*Scrubber
	round       *tasks.Round
	quarantiner oci.Quarantiner // nil: damage is only told
	notes       oci.NoteKeeper  // nil: nothing is kept
	started     time.Time

	keys   keys
	report Report
	after  oci.Repo // the last repository that is done
	// expected is how many bytes the last round read, 0 where there was none.
	expected int64
	saved    time.Time
	unsaved  int64 // bytes read since
	buffer   []byte
}

func (j *job) run(ctx context.Context) error {
	err := j.store.WalkRepos(ctx, j.after, func(repo oci.Repo) error {
		if err := j.repository(ctx, repo); err != nil {
			return err
		}
		j.after = repo
		j.keys.leave()
		j.report.Repositories++
		j.saveIfDue()
		return j.round.Step(ctx, 0)
	})
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	walker, ok := j.store.(oci.UnservedWalker)
	if !ok {
		return nil
	}
	err = walker.WalkUnserved(ctx, func(repo oci.Repo, reason string) error {
		j.add(Problem{Repository: repo, Kind: KindLayout, Error: reason})
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("scrub: look for repositories that are not served: %w", err)
	}
	return nil
}

// rescans is how often a repository is looked at again, since its index changed
// while something was found missing in it.
const rescans = 4

// repository checks one repository. What was removed from it while it was
// checked is not damage.
func (j *job) repository(ctx context.Context, repo oci.Repo) error {
	taken := map[oci.Digest]Problem{}
	for try := 0; ; try++ {
		data, version, err := j.store.LoadIndex(ctx, repo, "")
		if errors.Is(err, oci.ErrNameUnknown) {
			return nil // removed meanwhile, or not served
		}
		if stops(ctx, err) {
			return err
		}
		if err != nil {
			j.add(Problem{Repository: repo, Kind: KindIndex, Error: "index.json cannot be read: " + err.Error()})
			return nil
		}
		index, err := oci.ParseIndex(data)
		if err != nil {
			j.add(Problem{Repository: repo, Kind: KindIndex, Error: err.Error()})
			return nil
		}
		v := &visit{job: j, repo: repo, taken: taken, memo: map[uint64]int32{}, sets: [][]int32{nil}}
		if err := v.index(ctx, index); err != nil {
			return err
		}
		if len(v.problems) > 0 && try < rescans {
			if now, _, err := j.store.LoadIndex(ctx, repo, version); err != nil || now != nil {
				continue
			}
		}
		j.report.Manifests += v.manifests
		for _, p := range v.problems {
			j.add(p)
		}
		return nil
	}
}

// stops tells whether an error ends the round: the store as a whole cannot be
// used, or nobody wants to know any more.
func stops(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, oci.ErrUnavailable))
}

// add puts a problem into the report and the log.
func (j *job) add(p Problem) {
	j.report.add(p)
	level := slog.LevelError
	if p.Outcome == OutcomeHealed {
		level = slog.LevelWarn
	}
	j.opts.Log.Log(context.Background(), level, "scrub found damage", "repository", p.Repository, "digest", p.Blob,
		"kind", p.Kind, "error", p.Error, "outcome", p.Outcome)
}

// progress tells how far the round is.
func (j *job) progress() {
	total := j.expected
	if total < j.report.Bytes {
		total = 0
	}
	j.round.Progress(j.report.Bytes, total, "bytes")
}
