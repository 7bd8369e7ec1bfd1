package spec

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// end-3
func TestPullManifest(t *testing.T) {
	c := serve(t)
	for name, root := range map[string]fixture.Node{
		"image": fixture.SimpleImage("pull"), "index": fixture.MultiArch("pull"), "nested": fixture.Nested("pull"),
		"artifact": fixture.Artifact("application/vnd.example", "x", nil, nil), "layerless": fixture.Image(fixture.Options{}),
		"childless": fixture.Index(),
	} {
		c.Push("pull/"+name, "v1", root)
		c.PullWhole("pull/"+name, "v1", root)
		for _, ref := range []string{"v1", root.Desc.Digest.String()} {
			c.Get(wire.ManifestPath("pull/"+name, ref)).Want(200).WantBody(root.Content).
				WantHeader("Content-Type", root.Desc.MediaType).
				WantHeader("Docker-Content-Digest", root.Desc.Digest.String())
			c.Head(wire.ManifestPath("pull/"+name, ref)).Want(200).WantSize(root.Desc.Size).
				WantHeader("Content-Type", root.Desc.MediaType).
				WantHeader("Docker-Content-Digest", root.Desc.Digest.String())
		}
	}
}

// Content negotiation: what is stored is served; a client that does not take
// it is told 406 or gets it anyway, never something else.
func TestAccept(t *testing.T) {
	c := serve(t)
	index := fixture.MultiArch("accept")
	c.Push("accept", "v1", index)
	for _, accept := range []string{"", "*/*", wire.Accept, "application/*", index.Desc.MediaType + ";q=0.5, text/html"} {
		c.Do(wire.Request{Method: "GET", Path: wire.ManifestPath("accept", "v1"), Header: map[string]string{"Accept": accept}}).
			Want(200).WantBody(index.Content).WantHeader("Content-Type", index.Desc.MediaType)
	}
	a := c.Do(wire.Request{Method: "GET", Path: wire.ManifestPath("accept", "v1"), Header: map[string]string{"Accept": "application/vnd.docker.distribution.manifest.v2+json"}})
	if a.Want(200, 404, 406); a.Status == 200 {
		a.WantBody(index.Content)
	}
}

// end-2
func TestPullBlob(t *testing.T) {
	c := serve(t)
	for _, n := range []fixture.Node{
		fixture.Raw(octets, nil),
		fixture.Raw(octets, []byte("x")),
		fixture.Raw(octets, fixture.Bytes("blob", 1_000_000)),
		fixture.RawWith(digest.SHA512, octets, fixture.Bytes("blob512", 70_000)),
		fixture.RawWith(digest.SHA512, octets, nil),
	} {
		c.PushBlob("blobs", n)
		path := wire.BlobPath("blobs", n.Desc.Digest)
		c.Get(path).Want(200).WantBody(n.Content).WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
		c.Head(path).Want(200).WantSize(n.Desc.Size).WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
		// A blob belongs to its repository.
		c.Get(wire.BlobPath("other", n.Desc.Digest)).Want(404)
	}
}

// "If the blob or manifest is not found in the repository, the response code
// MUST be 404 Not Found."
func TestPullMissing(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("missing")
	c.Push("here", "v1", image)
	for _, path := range []string{
		wire.ManifestPath("here", "v2"), wire.ManifestPath("here", digest.FromString("none").String()),
		wire.BlobPath("here", digest.FromString("none")), wire.BlobPath("here", digest.SHA512.FromString("none")),
		wire.ManifestPath("away", "v1"), wire.ManifestPath("away", image.Desc.Digest.String()), wire.BlobPath("away", image.Desc.Digest),
	} {
		c.Get(path).WantError(404)
		if a := c.Head(path).Want(404); len(a.Body) > 0 {
			t.Errorf("HEAD %s: an answer to HEAD has no body", path)
		}
	}
	for _, d := range []string{"sha256:xyz", "sha256", "md5:d41d8cd98f00b204e9800998ecf8427e"} { // what cannot be is not there
		c.Get("/v2/here/blobs/"+d).Want(400, 404)
		c.Get(wire.ManifestPath("here", d)).Want(400, 404)
	}
	// A blob that is no manifest is not served as one.
	c.Get(wire.ManifestPath("here", image.Children[1].Desc.Digest.String())).Want(404)
}
