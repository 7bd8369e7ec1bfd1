package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/oci"
)

// sweep is a round's work on one repository.
type sweep struct {
	*round
	repo, full oci.Repo // its names in the store and in the registry
	shared     bool     // others write to it

	version oci.Version
	marker  *marker
	changed time.Time // when it last did, as the sweep began; zero: not known
	removed map[oci.Digest]bool
	// preserved are manifests whose content was dated anew, and when; where shared.
	preserved map[oci.Digest]time.Time
	left      int64 // blobs that stay
	spared    bool  // something was left that may go later
	told      error // of Request.Each
}

// How much one turn among the edits of a repository does: pushes wait for it.
const (
	blobsPerTurn     = 8
	manifestsPerTurn = 1000
	// maxTurns is how often in a row an index may have changed when a turn
	// comes, before the rest is left to the next round.
	maxTurns = 100
	// maxFailures is how often in one repository it may be unknown what became of a
	// deletion, in a store that others write to. There a single answer that
	// was lost would end the round.
	maxFailures = 3
)

func (s *sweep) run(ctx context.Context) error {
	index, version, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	s.version, s.removed, s.preserved = version, map[oci.Digest]bool{}, map[oci.Digest]time.Time{}
	s.look(ctx)
	if seen, ok := s.clean[s.repo]; ok && !s.changed.IsZero() && seen == (sight{version, s.changed}) {
		s.report.Unchanged++
		return nil
	}
	delete(s.clean, s.repo)
	blobs, err := s.list(ctx)
	if err != nil {
		return err
	}
	s.marker = &marker{c: s.Collector, repo: s.repo, round: s.Round, blobs: blobs, others: map[oci.Digest]bool{}, shared: s.shared, orphans: orphans{}}
	if s.opts.Keep != nil {
		s.marker.keepUntagged, s.marker.keepReferrers = s.opts.Keep(s.full)
	}
	if err := s.marker.mark(ctx, index); err != nil {
		return err
	}
	if err := s.manifests(ctx); err != nil {
		return err
	}
	if err := s.blobs(ctx); err != nil {
		return err
	}
	if err := s.remainder(ctx); err != nil {
		return err
	}
	s.report.Repositories++
	s.keepOrphans(s.repo, s.marker.orphans)
	if s.spared || s.marker.spared {
		s.report.Later++
	}
	s.remember()
	return nil
}

// snapshot is the repository's index. What a process announced there that has
// died since is withdrawn first.
func (s *sweep) snapshot(ctx context.Context) (*oci.Index, oci.Version, error) {
	index, version, err := s.opts.Registry.Snapshot(ctx, s.full)
	if err != nil || s.Dry || !s.shared || len(index.Condemned()) == 0 {
		return index, version, err
	}
	if err := s.opts.Registry.FinishRemovals(ctx, s.full); err != nil {
		return nil, "", err
	}
	return s.opts.Registry.Snapshot(ctx, s.full)
}

// look finds out when the repository changed.
func (s *sweep) look(ctx context.Context) {
	if changes, ok := s.opts.Store.(oci.Changes); ok {
		if at, err := changes.BlobsChanged(ctx, s.repo); err == nil {
			s.changed = at
		}
	}
}

// coarse is how much later something may happen without that it changes a time.
const coarse = 10 * time.Second

// remember notes that nothing is left to collect, if that is so.
func (s *sweep) remember() {
	if s.Dry || s.spared || s.marker.spared || len(s.removed) > 0 || s.left == 0 || s.changed.IsZero() {
		return
	}
	if age := s.present().Sub(s.changed); age < coarse {
		return
	}
	if len(s.clean) >= mostClean {
		clear(s.clean)
	}
	s.clean[s.repo] = sight{s.version, s.changed}
}

// list lists the repository's blobs, without asking for sizes that do not matter.
func (s *sweep) list(ctx context.Context) (blobs table, err error) {
	n := 0
	err = oci.ListBlobs(ctx, s.opts.Store, s.repo, func(d oci.Digest, info oci.BlobInfo) error {
		blobs.add(d, info, s.old(info.Modified))
		if n++; n%256 == 0 {
			return s.Step(ctx, 0)
		}
		return nil
	})
	blobs.sort()
	return blobs, err
}

// turn does something under the index's present version. When it has changed,
// the sweep first learns what is reachable now.
func (s *sweep) turn(ctx context.Context, do func() error) error {
	for range maxTurns {
		err := do()
		if !errors.Is(err, oci.ErrConflict) {
			return err
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("its index changes all the time: %w", oci.ErrConflict)
}

// refresh learns what is reachable from the present index.
func (s *sweep) refresh(ctx context.Context) error {
	index, version, err := s.opts.Registry.Snapshot(ctx, s.full)
	if err != nil {
		return err
	}
	s.version = version
	return s.marker.mark(ctx, index)
}

// manifests removes those that nothing holds from the index.
func (s *sweep) manifests(ctx context.Context) error {
	if s.Dry {
		for _, d := range s.marker.unheld() {
			if err := s.unindexed(d); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		if err := s.preserve(ctx, s.unheld(false)); err != nil {
			return err
		}
		more := false
		err := s.turn(ctx, func() error {
			some := s.unheld(true)
			if len(some) == 0 {
				return nil
			}
			gone, err := s.opts.Registry.CollectManifests(ctx, s.full, s.version, some)
			for _, d := range gone {
				if told := s.unindexed(d); told != nil {
					return told
				}
			}
			s.spared = s.spared || len(gone) < len(some)
			more = err == nil && len(gone) > 0
			return err
		})
		if err != nil || !more {
			return err
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
		if err := s.Step(ctx, 0); err != nil {
			return err
		}
	}
}

// unheld are manifests that nothing holds, as many as one turn takes; with ready
// only those that may go from the index now.
func (s *sweep) unheld(ready bool) []oci.Digest {
	all := s.marker.unheld()
	if s.shared && ready {
		all = slices.DeleteFunc(all, func(d oci.Digest) bool { return !s.isPreserved(d) })
	}
	return all[:min(len(all), manifestsPerTurn)]
}

// unindexed notes that a manifest went from the index. One whose content is
// here is told when that goes, unless that stays for a while.
func (s *sweep) unindexed(d oci.Digest) error {
	s.removed[d] = true
	if s.marker.blobs.find(d) != nil && !s.shared {
		return nil
	}
	return s.tellOf(d, Manifest, 0)
}

func (s *sweep) tellOf(d oci.Digest, kind Kind, bytes int64) error {
	s.told = s.tell(Item{Repo: s.full, Kind: kind, Name: string(d), Bytes: bytes})
	return s.told
}

// blobs deletes what nothing reachable names.
func (s *sweep) blobs(ctx context.Context) error {
	var batch []*blob
	most := blobsPerTurn
	if s.shared {
		most = sharedBlobsPerTurn
	}
	for i := range s.marker.blobs {
		b := &s.marker.blobs[i]
		switch {
		case b.used:
			s.left++
			continue
		case !b.old || b.entry:
			s.left, s.spared = s.left+1, true
			continue
		}
		if batch = append(batch, b); len(batch) == most {
			if err := s.delete(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return s.delete(ctx, batch)
}

// delete deletes some blobs, as far as nothing reachable names them still.
func (s *sweep) delete(ctx context.Context, batch []*blob) error {
	err := s.turn(ctx, func() error {
		digests := make([]oci.Digest, 0, len(batch))
		for _, b := range batch {
			if !b.used && !b.entry && b.size >= 0 {
				digests = append(digests, b.digest())
			}
		}
		if len(digests) == 0 {
			return nil
		}
		gone, err := s.discard(ctx, digests)
		for _, d := range gone {
			if told := s.deleted(d); told != nil {
				return told
			}
		}
		return err
	})
	for _, b := range batch {
		if b.size >= 0 {
			s.left, s.spared = s.left+1, s.spared || !b.used
		}
	}
	if err != nil {
		return err
	}
	return s.Step(ctx, 0)
}

// discard deletes blobs, or tells which would go.
func (s *sweep) discard(ctx context.Context, digests []oci.Digest) (gone []oci.Digest, err error) {
	if !s.Dry {
		return s.opts.Registry.CollectBlobs(ctx, s.full, s.version, digests)
	}
	for _, d := range digests {
		if !s.Collector.told(s.repo, string(d)) {
			gone = append(gone, d)
		}
	}
	return gone, nil
}

// deleted tells that a blob went.
func (s *sweep) deleted(d oci.Digest) error {
	b := s.marker.blobs.find(d)
	freed := s.freed(b)
	b.size = -1 // it is not here any more
	kind := Blob
	if s.removed[d] {
		kind = Manifest
	}
	return s.tellOf(d, kind, freed)
}

// freed is how many bytes the end of a blob frees: none where they have other
// names. What went in a dry round has its names still.
func (r *round) freed(b *blob) int64 {
	if b.links <= 1 {
		return b.size
	}
	if b.copy == 0 {
		return 0
	}
	if r.Dry {
		r.gone[b.copy]++
		if r.gone[b.copy] == b.links {
			delete(r.gone, b.copy)
			return b.size
		}
	}
	return 0
}

// remainder removes a repository that holds nothing, and has not changed for
// the delay.
func (s *sweep) remainder(ctx context.Context) error {
	index := s.marker.index
	if s.left > 0 || s.changed.IsZero() {
		return nil
	}
	if s.receiving[s.repo] || !s.old(s.changed) {
		s.spared = true
		return nil
	}
	entries := int64(index.Len())
	if s.Dry {
		entries = s.remaining(index)
	}
	if entries > 0 {
		return nil
	}
	if !s.Dry {
		err := s.opts.Registry.CollectRepo(ctx, s.full, s.version)
		if errors.Is(err, oci.ErrConflict) || errors.Is(err, oci.ErrNameUnknown) {
			return nil // something came, or is in it that berth does not know
		}
		if err != nil {
			return err
		}
	}
	s.told = s.tell(Item{Repo: s.full, Kind: Repository})
	return s.told
}

// remaining is how many entries an index would have.
func (s *sweep) remaining(index *oci.Index) (n int64) {
	for e := range index.All {
		if !s.removed[e.Digest] {
			n++
		}
	}
	return n
}
