package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	randv2 "math/rand/v2"
	"slices"
	"strings"
	"time"

	"berth/oci"
)

// Where several processes share a store, content is deleted in three steps, and
// this file is all of them:
//
//  1. a swap of the index announces what nothing needs in that very version,
//     under a new epoch
//  2. the content is deleted, before an end that was set before step 1, and
//     that the store enforces by its own clock
//  3. a swap withdraws the announcement
//
// A push puts a manifest into no index that announces something it needs, and
// into none of another epoch than the one under which it found everything
// there. So nothing comes to need what is announced, and whoever finds an
// announcement that outlasts its end by far can withdraw it: nothing of it is
// under way any more. docs/FORMAT.md has the argument in full.

const (
	// removeWithin is how long step 2 may take, from before step 1 on.
	removeWithin = 5 * time.Second
	// removePatience is how long at least a request waits for an announcement
	// to be withdrawn that stands in its way.
	removePatience = 30 * time.Second
)

// errAnnounced: something is being deleted from the repository.
var errAnnounced = errors.New("another process deletes content of the repository")

// isShared tells whether other processes write to a repository.
func (r *Registry) isShared(repo oci.Repo) bool {
	if r.shared == nil {
		return false
	}
	_, shared := r.shared.Shared(repo)
	return shared
}

// outlasts is how long after somebody saw an announcement nothing of it is
// under way any more: clocks may run at slightly different rates.
func (r *Registry) outlasts(repo oci.Repo) time.Duration {
	late, _ := r.shared.Shared(repo)
	return (removeWithin + late) * 11 / 10
}

// removal is blobs that are to be deleted from a shared repository.
type removal struct {
	at    oci.Version // the version of the index that they are unneeded in; "": any
	blobs []oci.Digest
	// change is made to the index with the announcement; nil: none.
	change func(*oci.Index) (*oci.Index, error)
	// background: nobody waits for it, and what a client was told of stays.
	background bool

	epoch string
	began time.Time // by this process's clock, no earlier than what end counts from
	end   time.Time // of the deletion, by the store's clock
	// announced are those of blobs that are deleted, done is closed when that
	// is over.
	announced []oci.Digest
	done      chan struct{}
	doomed    []blobKey
}

// removeShared deletes blobs from a shared repository and returns those that
// are gone. Errors: ErrConflict, errAnnounced and those of change, and then
// nothing was done.
func (r *Registry) removeShared(ctx context.Context, repo oci.Repo, m *removal) (gone []oci.Digest, err error) {
	repo = oci.Repo(strings.Clone(string(repo)))
	m.epoch, m.done = newEpoch(), make(chan struct{})
	if m.end, err = r.shared.PrepareDeletion(ctx, repo, m.blobs, removeWithin); err != nil {
		return nil, err
	}
	m.began = r.opts.Now()
	defer func() {
		for _, key := range m.doomed {
			r.doomed.CompareAndDelete(key, m.done)
		}
		close(m.done)
	}()
	err = r.collect(ctx, repo, &edit{at: m.at, apply: func(index *oci.Index) (*oci.Index, error) { return r.announce(repo, m, index) }})
	if err != nil || len(m.announced) == 0 {
		return nil, err
	}
	err = r.shared.DeleteBlobsBefore(context.WithoutCancel(ctx), repo, m.announced, m.end)
	for _, d := range m.announced {
		key := blobKey{repo, d}
		r.tickets.removed(key) // also when it failed: it may have happened
		r.forget(key)
	}
	if err != nil {
		if !m.background {
			return nil, err // it is left to whoever needs it withdrawn
		}
		if over := r.sleepUntil(ctx, m.began.Add(r.outlasts(repo))); over != nil {
			return nil, errors.Join(err, over)
		}
		return nil, errors.Join(err, r.withdraw(context.WithoutCancel(ctx), repo, m.epoch))
	}
	return m.announced, r.withdraw(context.WithoutCancel(ctx), repo, m.epoch)
}

// announce is the index with the removal's announcement. It may be called again
// for a newer index.
func (r *Registry) announce(repo oci.Repo, m *removal, index *oci.Index) (*oci.Index, error) {
	switch {
	case len(index.Condemned()) > 0:
		return nil, errAnnounced
	case r.opts.Now().Sub(m.began) >= removeWithin:
		return nil, oci.ErrConflict // others were faster for too long
	}
	if m.change != nil {
		var err error
		if index, err = m.change(index); err != nil {
			return nil, err
		}
	}
	m.announced = nil
	for _, d := range m.blobs {
		key := blobKey{repo, d}
		if index.Named(d) != nil || m.background && !r.doom(key, m.done) {
			continue
		}
		if !m.background {
			r.doomed.Store(key, m.done)
		}
		m.doomed = append(m.doomed, key)
		m.announced = append(m.announced, d)
	}
	if len(m.announced) == 0 {
		return index, nil
	}
	return index.Condemn(m.epoch, m.announced)
}

// nextEpoch is the index under another epoch, which makes pushes look again at
// what they have found. Errors: errAnnounced.
func (r *Registry) nextEpoch(index *oci.Index) (*oci.Index, error) {
	if len(index.Condemned()) > 0 {
		return nil, errAnnounced
	}
	return index.Condemn(newEpoch(), nil)
}

// newEpoch is a text that no index has had.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// withdraw takes an announcement back, by its epoch, which stays. What follows
// from the epoch does so still: nobody notes that he saw what is announced.
func (r *Registry) withdraw(ctx context.Context, repo oci.Repo, epoch string) error {
	return r.edit(ctx, repo, &edit{apply: func(index *oci.Index) (*oci.Index, error) {
		if index.Epoch() != epoch {
			return index, nil
		}
		return index.Condemn(epoch, nil)
	}})
}

// FinishRemovals waits until nothing is announced in a repository any more, and
// withdraws what nobody carries out. Errors: ErrUnavailable.
func (r *Registry) FinishRemovals(ctx context.Context, repo oci.Repo) error {
	_, err := r.awaitClear(ctx, repo, func(index *oci.Index) bool { return len(index.Condemned()) == 0 })
	return err
}

// afterRemovals is what a collection answers that found an announcement:
// ErrConflict, once that is gone.
func (r *Registry) afterRemovals(ctx context.Context, repo oci.Repo) error {
	if err := r.FinishRemovals(ctx, repo); err != nil {
		return err
	}
	return oci.ErrConflict
}

// awaitClear waits until the announcement of a repository is out of the way,
// and withdraws it where it outlasts its end. It returns the index that is
// clear. Errors: ErrUnavailable.
func (r *Registry) awaitClear(ctx context.Context, repo oci.Repo, clear func(*oci.Index) bool) (*state, error) {
	began := r.opts.Now()
	for pause := 25 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		s, err := r.loadOrNew(ctx, repo)
		if err != nil || clear(s.index) {
			return s, err
		}
		now := r.opts.Now()
		switch {
		case now.Sub(s.since) >= r.outlasts(repo):
			r.opts.Log.Info("another process announced that it deletes content, and did not say that it has: its announcement is withdrawn", "repository", repo)
			if err := r.withdraw(ctx, repo, s.index.Epoch()); err != nil {
				return nil, err
			}
		case now.Sub(began) >= removePatience:
			return nil, oci.Errorf(oci.ErrUnavailable, "repository %s: another process deletes content that is needed; try again", repo)
		}
		if err := sleep(ctx, pause/2+randv2.N(pause/2)); err != nil {
			return nil, err
		}
	}
}

// unannounced is s, or a later state of the repository, in which nothing that
// is named is being deleted.
func (r *Registry) unannounced(ctx context.Context, repo oci.Repo, s *state, named []oci.Digest) (*state, error) {
	clear := func(index *oci.Index) bool { return !slices.ContainsFunc(named, index.IsCondemned) }
	if clear(s.index) || !r.isShared(repo) {
		return s, nil
	}
	return r.awaitClear(ctx, repo, clear)
}

// awaitRemoval waits while content is being deleted, as far as that is known
// without asking the store, so that nobody is told of it, and none arrives only
// to be deleted. It is a courtesy: a push finds out for certain.
func (r *Registry) awaitRemoval(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	if r.shared == nil {
		return nil
	}
	if err := r.awaitDoom(ctx, blobKey{repo, d}); err != nil {
		return err
	}
	s := r.states.peek(repo)
	if s == nil || !s.index.IsCondemned(d) || !r.isShared(repo) {
		return nil
	}
	_, _ = r.awaitClear(ctx, repo, func(index *oci.Index) bool { return !index.IsCondemned(d) })
	return ctx.Err()
}

// needed are the digests that an index with the manifest relies on.
func needed(m *oci.Manifest) []oci.Digest {
	all := []oci.Digest{m.Config.Digest}
	for _, list := range [][]oci.Descriptor{m.Layers, m.Manifests} {
		for _, d := range list {
			all = append(all, d.Digest)
		}
	}
	return all
}

// collectShared is CollectBlobs where the store is shared.
func (r *Registry) collectShared(ctx context.Context, repo oci.Repo, at oci.Version, blobs []oci.Digest) (gone []oci.Digest, err error) {
	gone, err = r.removeShared(ctx, repo, &removal{at: at, blobs: blobs, background: true})
	if errors.Is(err, errAnnounced) {
		err = r.afterRemovals(ctx, repo)
	}
	return gone, err
}

// deleteShared is DeleteManifest where the store is shared.
func (r *Registry) deleteShared(ctx context.Context, key blobKey, child bool) error {
	return r.deleteNow(ctx, key, func(index *oci.Index) (*oci.Index, error) {
		if !child && index.Named(key.digest) == nil {
			return nil, unknown(key.repo, oci.Reference{Digest: key.digest})
		}
		return index.DeleteManifest(key.digest), nil
	})
}

// deleteSharedBlob is DeleteBlob where the store is shared.
func (r *Registry) deleteSharedBlob(ctx context.Context, key blobKey) error {
	return r.deleteNow(ctx, key, func(index *oci.Index) (*oci.Index, error) { return index, notManifest(index, key) })
}

// deleteNow deletes one blob, for a client.
func (r *Registry) deleteNow(ctx context.Context, key blobKey, change func(*oci.Index) (*oci.Index, error)) error {
	for tries := 0; ; tries++ {
		_, err := r.removeShared(ctx, key.repo, &removal{blobs: []oci.Digest{key.digest}, change: change})
		if !errors.Is(err, errAnnounced) && !errors.Is(err, oci.ErrConflict) {
			return err
		}
		if tries == maxConflicts {
			return oci.Errorf(oci.ErrUnavailable, "repository %s: other content is being deleted there; try again", key.repo)
		}
		if err := r.FinishRemovals(ctx, key.repo); err != nil {
			return err
		}
	}
}

// sleepUntil sleeps until the registry's clock shows a time. That may be set
// ahead meanwhile.
func (r *Registry) sleepUntil(ctx context.Context, at time.Time) error {
	for {
		left := at.Sub(r.opts.Now())
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, min(left, 50*time.Millisecond)); err != nil {
			return err
		}
	}
}

// sleep returns ctx's error where that ends earlier.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
