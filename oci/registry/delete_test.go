package registry_test

import (
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

func TestDeleteTag(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	f.push(m, "v1")
	f.push(m, "v2")
	f.ok(f.DeleteManifest(f.ctx(), repo, byTag("v1")))
	f.gone(byTag("v1"))
	f.pulls(byTag("v2"), m)
	f.ok(f.DeleteManifest(f.ctx(), repo, byTag("v2")))
	f.gone(byTag("v2"))
	f.pulls(byDigest(digest(m)), m)
	f.is(f.DeleteManifest(f.ctx(), repo, byTag("v2")), oci.ErrManifestUnknown)
	same(t, "tags", f.tags(), "[]")
}

func TestDeleteManifest(t *testing.T) {
	f := setUp(t, registry.Options{})
	m, n := f.image("m"), f.image("n")
	d := f.push(m, "v1")
	f.push(m, "v2")
	f.push(n, "other")
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(d)))
	f.gone(byDigest(d))
	f.gone(byTag("v1"))
	f.gone(byTag("v2"))
	f.pulls(byTag("other"), n)
	same(t, "tags", f.tags(), "[other]")
	_, err := f.StatBlob(f.ctx(), repo, d)
	f.is(err, oci.ErrBlobUnknown)
	f.is(f.DeleteManifest(f.ctx(), repo, byDigest(d)), oci.ErrManifestUnknown)
	f.push(m, "v1")
	f.pulls(byTag("v1"), m)
}

func TestDeleteWhereThereIsNoRepository(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.is(f.DeleteManifest(f.ctx(), repo, byTag("v1")), oci.ErrNameUnknown)
	f.is(f.DeleteManifest(f.ctx(), repo, byDigest(oci.SHA256.FromString("x"))), oci.ErrNameUnknown)
	f.is(f.DeleteBlob(f.ctx(), repo, oci.SHA256.FromString("x")), oci.ErrBlobUnknown)
	same(t, "writings of the index", f.store.Calls("SwapIndex"), 0)
}

// What an index still names is gone all the same.
func TestDeleteAChildOfAnIndex(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	d := f.push(m, "")
	x := index([][]byte{m})
	f.push(x, "x")
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(d)))
	f.gone(byDigest(d))
	f.pulls(byTag("x"), x)
}

func TestDeleteBlob(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	_, err := f.StatBlob(f.ctx(), repo, d)
	f.ok(err)
	f.ok(f.DeleteBlob(f.ctx(), repo, d))
	_, err = f.StatBlob(f.ctx(), repo, d)
	f.is(err, oci.ErrBlobUnknown)
	_, err = f.OpenBlob(f.ctx(), repo, d, 0, 0)
	f.is(err, oci.ErrBlobUnknown)
	f.is(f.DeleteBlob(f.ctx(), repo, d), oci.ErrBlobUnknown)
}

func TestDeleteBlobThatIsAManifest(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	d := f.push(m, "v1")
	f.is(f.DeleteBlob(f.ctx(), repo, d), oci.ErrUnsupported)
	f.pulls(byTag("v1"), m)
}

// A manifest that another repository has, too, stays there.
func TestDeleteAfterMount(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	f.ok(f.Mount(f.ctx(), "other", repo, d))
	f.ok(f.DeleteBlob(f.ctx(), "other", d))
	_, err := f.StatBlob(f.ctx(), "other", d)
	f.is(err, oci.ErrBlobUnknown)
	_, err = f.StatBlob(f.ctx(), repo, d)
	f.ok(err)
}
