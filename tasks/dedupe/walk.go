package dedupe

import (
	"context"
	"encoding/hex"
	"math"

	"berth/oci"
)

// full compares every blob of the store with every other. A store that has
// more blobs than fit into memory is gone through several times, each time for
// a part of the digests.
func (j *job) full(ctx context.Context) error {
	counted := false
	for {
		p := pass{job: j, from: j.progress.From, to: math.MaxUint64, count: !counted, seen: make(map[uint64]place)}
		if err := p.run(ctx); err != nil {
			return err
		}
		counted = true
		if p.to == math.MaxUint64 {
			return nil
		}
		j.progress.From, j.progress.After = p.to, ""
	}
}

// pass is one walk over a store.
type pass struct {
	job *job
	// from and to bound the keys of the digests that it looks at; to goes down
	// when there are too many.
	from, to uint64
	count    bool // the first of a run
	repos    []oci.Repo
	seen     map[uint64]place
}

// place is where a digest was seen.
type place struct {
	device, inode uint64
	repo          int // in repos
	size          int64
}

// keyOf is the beginning of a digest; two that share it are not confused, one
// of them is only not linked.
func keyOf(d oci.Digest) uint64 {
	var b [8]byte
	_, _ = hex.Decode(b[:], []byte(d.Encoded()[:16]))
	key := uint64(0)
	for _, c := range b {
		key = key<<8 | uint64(c)
	}
	return key
}

func (p *pass) run(ctx context.Context) error {
	skip := p.job.progress.After
	return p.job.store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		if p.count {
			p.job.report.Repositories++
		}
		p.repos = append(p.repos, repo)
		done := repo <= skip // what was tried there is not tried again
		err := p.job.visit(ctx, repo, func(d oci.Digest, c oci.Copy) error {
			if p.count {
				p.job.report.Blobs++
			}
			return p.look(ctx, d, c, done)
		})
		if err != nil {
			return err
		}
		if !done {
			p.job.progress.After = repo
		}
		return p.job.saveIfDue()
	})
}

// look compares one blob with the one of that digest that was seen first.
func (p *pass) look(ctx context.Context, d oci.Digest, c oci.Copy, done bool) error {
	key := keyOf(d)
	if key < p.from || key >= p.to && p.to != math.MaxUint64 {
		return nil
	}
	here := place{c.Device, c.Inode, len(p.repos) - 1, c.Size}
	first, known := p.seen[key]
	if !known {
		p.seen[key] = here
		p.shrink()
		return nil
	}
	if done || first.device == here.device && first.inode == here.inode {
		return nil
	}
	good, err := p.job.relink(ctx, d, p.repos[first.repo], p.repos[here.repo])
	if err == nil && !good {
		p.seen[key] = here // perhaps the next ones can be linked to this
	}
	return err
}

// shrink leaves the upper half of the digests to the next pass where there is
// no room.
func (p *pass) shrink() {
	for len(p.seen) > p.job.opts.Entries && p.to-p.from > 1 {
		p.to = p.from + (p.to-p.from)/2
		for key := range p.seen {
			if key >= p.to {
				delete(p.seen, key)
			}
		}
	}
}

// changed looks into the repositories that have changed since the last walk,
// and asks the index about each blob there that shares its space with none.
func (j *job) changed(ctx context.Context) error {
	since := j.progress.Since
	return j.store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		at, err := j.store.BlobsChanged(ctx, repo)
		if err != nil || at.Before(since) {
			j.report.Unchanged++
			return nil
		}
		j.report.Repositories++
		return j.visit(ctx, repo, func(d oci.Digest, c oci.Copy) error {
			j.report.Blobs++
			defer j.note(ctx, d, repo)
			if c.Links > 1 {
				return nil
			}
			return j.ask(ctx, d, repo)
		})
	})
}

// ask links a blob to a copy that the index tells of.
func (j *job) ask(ctx context.Context, d oci.Digest, repo oci.Repo) error {
	holders, err := j.locations.Holders(ctx, d, 0)
	if err != nil {
		return ctx.Err() // the next walk will find it
	}
	for _, holder := range holders {
		if holder == repo {
			continue
		}
		good, err := j.relink(ctx, d, holder, repo)
		if good || err != nil {
			return err
		}
	}
	return nil
}
