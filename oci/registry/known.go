package registry

import (
	"time"

	"berth/oci"
)

// sighting is that a blob of a shared repository was seen, after the index was
// seen with an epoch. While the index has that epoch, and does not announce the
// blob, it is there: nothing else deletes content. So a push need not ask for
// each blob that its client has just sent.
type sighting struct {
	epoch string
	at    time.Time
}

// trustFor is how long a sighting is believed: what takes content away without
// the registry, such as a person, is noticed after that.
const trustFor = 15 * time.Minute

// look is made before somebody looks for a blob. The zero value notes nothing.
type look struct {
	key blobKey // its repository "" notes nothing
	sighting
}

// looks is made before the look: what was seen before the epoch began tells
// nothing of it.
func (r *Registry) looks(repo oci.Repo, d oci.Digest) look {
	if !r.isShared(repo) {
		return look{}
	}
	s := r.states.peek(repo)
	if s == nil || s.index.IsCondemned(d) {
		return look{}
	}
	return look{blobKey{repo, d}, sighting{s.index.Epoch(), r.opts.Now()}}
}

// there notes that the blob was seen, unless err says that it was not.
func (l look) there(r *Registry, err error) {
	if err == nil && l.key.repo != "" {
		r.known.put(l.key.owned(), l.sighting, 1)
	}
}

// knows tells whether a blob of a shared repository is there for certain, if
// the index is the present one.
func (r *Registry) knows(repo oci.Repo, d oci.Digest, index *oci.Index) bool {
	if !r.isShared(repo) {
		return false
	}
	seen, ok := r.known.get(blobKey{repo, d})
	return ok && seen.epoch == index.Epoch() && !index.IsCondemned(d) && r.opts.Now().Sub(seen.at) < trustFor
}
