package spec

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

func mount(c *wire.Client, repo, from string, d digest.Digest) *wire.Answer {
	path := wire.UploadsPath(repo) + "?mount=" + d.String()
	if from != "" {
		path += "&from=" + from
	}
	return c.Do(wire.Request{Method: "POST", Path: path})
}

// end-11
func TestMount(t *testing.T) {
	c := serve(t)
	for _, n := range []fixture.Node{fixture.Raw(octets, fixture.Bytes("mount", 10_000)), fixture.RawWith(digest.SHA512, octets, []byte("x")), fixture.Raw(octets, nil)} {
		c.PushBlob("a/source", n)
		a := mount(c, "b/target", "a/source", n.Desc.Digest).Want(201).WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
		c.Get(a.Location()).Want(200).WantBody(n.Content)
		mount(c, "b/target", "a/source", n.Desc.Digest).Want(201) // is there already
		mount(c, "a/source", "a/source", n.Desc.Digest).Want(201) // from itself
		c.Delete(wire.BlobPath("a/source", n.Desc.Digest)).Want(202)
		c.Get(wire.BlobPath("b/target", n.Desc.Digest)).Want(200).WantBody(n.Content)
	}
}

// "The registry MAY treat the from parameter as optional, and it MAY
// cross-mount the blob if it can be found."
func TestAnonymousMount(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("anonymous", 10_000))
	c.PushBlob("somewhere", n)
	a := mount(c, "here", "", n.Desc.Digest).Want(201)
	c.Get(a.Location()).Want(200).WantBody(n.Content)
	mount(c, "here", "", digest.FromString("nowhere")).Want(202)
}

// "Alternatively, if a registry ... is unable to mount the requested blob, it
// SHOULD return a 202. This indicates that the upload session has begun".
func TestMountFallsBackToUpload(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("fallback", 10_000))
	c.PushBlob("holds", fixture.Raw(octets, []byte("another")))
	for _, from := range []string{"holds", "unheard-of", "Not%20A%20Name"} {
		a := mount(c, "wants", from, n.Desc.Digest).Want(202)
		put(c, a.Location(), n.Desc.Digest, n.Content).Want(201)
		c.Get(wire.BlobPath("wants", n.Desc.Digest)).Want(200).WantBody(n.Content)
		c.Delete(wire.BlobPath("wants", n.Desc.Digest)).Want(202)
	}
	a := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("wants") + "?mount=sha256:bad&from=holds"})
	a.Want(400, 202)
}
