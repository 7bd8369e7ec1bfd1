package spec

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// end-9 with a tag
func TestDeleteTag(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("delete-tag")
	c.Push("d", "v1", image)
	c.PutManifest("d", "v2", image).Want(201)
	c.Delete(wire.ManifestPath("d", "v1")).Want(202)
	c.Get(wire.ManifestPath("d", "v1")).WantError(404, "MANIFEST_UNKNOWN")
	wantNames(t, c.Get("/v2/d/tags/list"), "v2")
	c.PullWhole("d", "v2", image)
	c.Delete(wire.ManifestPath("d", "v1")).WantError(404)
	c.Delete(wire.ManifestPath("d", "v2")).Want(202)
	c.PullWhole("d", "", image) // the manifest is not deleted with its last tag
	wantNames(t, c.Get("/v2/d/tags/list"))
}

// end-9 with a digest: "Once deleted, a GET to /v2/<name>/manifests/<digest>
// and any tag pointing to that digest will return a 404."
func TestDeleteManifest(t *testing.T) {
	c := serve(t)
	image, keep := fixture.SimpleImage("delete"), fixture.SimpleImage("keep")
	c.Push("d", "a", image)
	c.PutManifest("d", "b", image).Want(201)
	c.Push("d", "c", keep)
	c.Delete(wire.ManifestPath("d", image.Desc.Digest.String())).Want(202)
	for _, ref := range []string{"a", "b", image.Desc.Digest.String()} {
		c.Get(wire.ManifestPath("d", ref)).WantError(404, "MANIFEST_UNKNOWN")
	}
	wantNames(t, c.Get("/v2/d/tags/list"), "c")
	c.PullWhole("d", "c", keep)
	c.Delete(wire.ManifestPath("d", image.Desc.Digest.String())).WantError(404)
	c.Delete(wire.ManifestPath("unheard-of", image.Desc.Digest.String())).WantError(404)
	c.PutManifest("d", "a", image).Want(201) // its blobs are still there
	c.PullWhole("d", "a", image)
}

// A manifest that only an index reaches.
func TestDeleteChild(t *testing.T) {
	c := serve(t)
	index := fixture.MultiArch("delete-child")
	c.Push("d", "v1", index)
	child := index.Children[0]
	c.Delete(wire.ManifestPath("d", child.Desc.Digest.String())).Want(202)
	c.Get(wire.ManifestPath("d", child.Desc.Digest.String())).Want(404)
	c.Get(wire.ManifestPath("d", "v1")).Want(200).WantBody(index.Content)
	c.Push("d", "", child)
	c.PullWhole("d", "v1", index)
}

// end-10
func TestDeleteBlob(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("delete-blob", 10_000))
	c.PushBlob("d", n)
	path := wire.BlobPath("d", n.Desc.Digest)
	c.Delete(path).Want(202)
	c.Get(path).WantError(404, "BLOB_UNKNOWN")
	c.Head(path).Want(404)
	c.Delete(path).WantError(404, "BLOB_UNKNOWN")
	c.Delete(wire.BlobPath("unheard-of", n.Desc.Digest)).WantError(404)
	c.Delete("/v2/d/blobs/" + string(digest.Canonical) + ":x").WantError(400)
	c.PushBlob("d", n)
	c.Get(path).Want(200).WantBody(n.Content)
}

// What was deleted is gone at once also where it had come by a mount, and the
// other repository keeps its own.
func TestDeleteMounted(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("delete-mounted", 10_000))
	c.PushBlob("from", n)
	mount(c, "to", "from", n.Desc.Digest).Want(201)
	c.Delete(wire.BlobPath("to", n.Desc.Digest)).Want(202)
	c.Get(wire.BlobPath("to", n.Desc.Digest)).Want(404)
	c.Get(wire.BlobPath("from", n.Desc.Digest)).Want(200).WantBody(n.Content)
}
