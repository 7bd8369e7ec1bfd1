package registry_test

import (
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

// What the store took away is not served from memory.
func TestForget(t *testing.T) {
	f := setUp(t, registry.Options{})
	m, other := f.image("m"), f.image("other")
	f.push(m, "v1")
	f.push(other, "v2")
	f.ok(f.store.DeleteBlob(f.ctx(), repo, digest(m)))
	f.pulls(byTag("v1"), m) // it is in memory
	f.Forget(repo, digest(m))
	_, err := f.Manifest(f.ctx(), repo, byTag("v1"))
	f.is(err, oci.ErrManifestUnknown)
	f.pulls(byTag("v2"), other)
	f.push(m, "v1")
	f.pulls(byTag("v1"), m)
	d := f.blob("a blob")
	f.Forget("another/one", d)
	f.ok(f.Mount(f.ctx(), "c", "", d))
	f.Forget(repo, d) // nobody is known to hold it now: it is looked for
	f.ok(f.Mount(f.ctx(), "d", "", d))
}
