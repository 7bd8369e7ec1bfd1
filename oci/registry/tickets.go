package registry

import (
	"context"
	"errors"
	"strings"
	"sync"

	"berth/oci"
)

// blobKey is content in a repository.
type blobKey struct {
	repo   oci.Repo
	digest oci.Digest
}

// owned returns a key that shares no memory with what it came from, such as an
// index or a request.
func (k blobKey) owned() blobKey {
	return blobKey{oci.Repo(strings.Clone(string(k.repo))), oci.Digest(strings.Clone(string(k.digest)))}
}

// tickets are the pushes under way. A push stores its manifest before its
// leader puts it into the index; when the same manifest is deleted in between,
// the push has to store it again, and learns it from its ticket.
type tickets struct {
	mu     sync.Mutex // guards everything below, and every ticket
	pushes map[blobKey]*ticket
}

type ticket struct {
	holders int
	gone    bool // the content was removed since the first holder came
}

// hold takes a ticket for content that is about to be stored.
func (t *tickets) hold(key blobKey) *ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.pushes[key]
	if k == nil {
		k = &ticket{}
		t.pushes[key.owned()] = k
	}
	k.holders++
	return k
}

// release gives a ticket back.
func (t *tickets) release(key blobKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.pushes[key]
	if k.holders--; k.holders == 0 {
		delete(t.pushes, key)
	}
}

func (t *tickets) isGone(k *ticket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return k.gone
}

// removed tells all pushes of the content that it was removed.
func (t *tickets) removed(key blobKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.pushes[key]; k != nil {
		k.gone = true
	}
}

// remove deletes content that the index, as it is now, does not name, and
// everything that was kept of it. It runs in the repository's leader.
// Errors: ErrBlobUnknown.
func (r *Registry) remove(ctx context.Context, key blobKey, now *oci.Index) error {
	return r.removeBy(ctx, key, now, r.store.DeleteBlob)
}

// removeBy is remove by a certain way to delete a blob.
func (r *Registry) removeBy(ctx context.Context, key blobKey, now *oci.Index, by func(context.Context, oci.Repo, oci.Digest) error) error {
	if now.Named(key.digest) != nil {
		return nil // pushed again meanwhile
	}
	err := by(ctx, key.repo, key.digest)
	r.tickets.removed(key) // also when it failed: it may have happened
	r.forget(key)
	return err
}

// forget drops what is kept of a manifest that was removed.
func (r *Registry) forget(key blobKey) {
	r.manifests.drop(key)
	r.referrers.drop(key)
	s, ok := r.states.get(key.repo)
	if !ok {
		return
	}
	// Whoever is making a graph now makes it for a state that is not used again.
	fresh := &state{index: s.index, version: s.version, since: s.since, past: without(s.facts(), key.digest)}
	r.states.replace(key.repo, s, fresh, fresh.footprint())
}

// isUnknown tells whether an error says that content is not there.
func isUnknown(err error) bool {
	return errors.Is(err, oci.ErrBlobUnknown) || errors.Is(err, oci.ErrNameUnknown)
}
