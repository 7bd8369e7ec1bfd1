package registry

import "berth/oci"

// Forget drops what is kept in memory of a blob that the store took away from a
// repository by itself, since it was damaged: a manifest is unknown from then
// on, also where its bytes were still in memory.
func (r *Registry) Forget(repo oci.Repo, d oci.Digest) {
	key := blobKey{repo, d}
	r.manifests.drop(key)
	r.referrers.drop(key)
	r.known.drop(key)
	if holder, ok := r.holders.get(d); ok && holder == repo {
		r.holders.drop(d)
	}
}
