package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// pushContent pushes what an image needs, but not its manifest.
func pushContent(c *wire.Client, repo string, image fixture.Node) {
	for _, n := range image.Children {
		c.PushBlob(repo, n)
	}
}

// send pushes bytes as a manifest of some type.
func send(c *wire.Client, repo, ref, mediaType string, content []byte) *wire.Answer {
	r := wire.Request{Method: "PUT", Path: wire.ManifestPath(repo, ref), Bytes: content, Header: map[string]string{}}
	if mediaType != "" {
		r.Header["Content-Type"] = mediaType
	}
	return c.Do(r)
}

// end-7a
func TestPushManifest(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("push")
	pushContent(c, "m", image)
	for _, ref := range []string{"v1", image.Desc.Digest.String(), "_", "0", "A.b-c_D", strings.Repeat("t", 128)} {
		a := c.PutManifest("m", ref, image).Want(201).WantHeader("Docker-Content-Digest", image.Desc.Digest.String())
		c.Get(a.Location()).Want(200).WantBody(image.Content)
		c.PullWhole("m", ref, image)
	}
	c.PutManifest("m", digest.FromString("other").String(), image).WantError(400, "DIGEST_INVALID")
}

// "The registry MUST store the manifest in the exact byte representation
// provided by the client." Unknown fields, order and white space are kept.
func TestExactBytes(t *testing.T) {
	c := serve(t)
	config := fixture.Raw(ocispec.MediaTypeImageConfig, []byte(`{}`))
	c.PushBlob("exact", config)
	content := fmt.Appendf(nil, "\n{ \"x-unknown\": {\"b\":1,\"a\":[1.50, 1e3]},\t\"layers\" : [],\n \"config\": {\"size\":2, \"digest\":%q,\"mediaType\":%q,\"extra\":\"\\u00e9\"},\n\"mediaType\":%q, \"schemaVersion\":2 }\n \n",
		config.Desc.Digest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageManifest)
	send(c, "exact", "v1", ocispec.MediaTypeImageManifest, content).Want(201)
	c.Get(wire.ManifestPath("exact", "v1")).Want(200).WantBody(content)
}

// "The registry SHOULD ignore parameters on the Content-Type header", and
// "SHOULD NOT include parameters on the Content-Type header".
func TestContentType(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("type")
	pushContent(c, "type", image)
	send(c, "type", "params", ocispec.MediaTypeImageManifest+"; charset=utf-8", image.Content).Want(201)
	c.Get(wire.ManifestPath("type", "params")).Want(200).WantHeader("Content-Type", ocispec.MediaTypeImageManifest)
	send(c, "type", "none", "", image.Content).Want(201, 400, 415)
	send(c, "type", "differs", ocispec.MediaTypeImageIndex, image.Content).WantError(400, "MANIFEST_INVALID")
	send(c, "type", "docker", "application/vnd.docker.distribution.manifest.v2+json", image.Content).Want(400, 415)
	send(c, "type", "text", "text/plain", image.Content).Want(400, 415)

	bare := map[string]any{}
	if err := json.Unmarshal(image.Content, &bare); err != nil {
		t.Fatal(err)
	}
	delete(bare, "mediaType") // old clients leave it out
	content, err := json.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	send(c, "type", "bare", ocispec.MediaTypeImageManifest, content).Want(201)
	c.Get(wire.ManifestPath("type", "bare")).Want(200).WantBody(content).WantHeader("Content-Type", ocispec.MediaTypeImageManifest)
}

func TestInvalidManifests(t *testing.T) {
	c := serve(t)
	for _, content := range []string{
		"", "x", "[]", "null", "{}", `{"schemaVersion":1}`, `{"schemaVersion":2,"config":7,"layers":[]}`,
		`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:short","size":2},"layers":[]}`,
		`{"schemaVersion":2}{"schemaVersion":2}`,
	} {
		send(c, "invalid", "v1", ocispec.MediaTypeImageManifest, []byte(content)).WantError(400)
	}
	c.Get(wire.ManifestPath("invalid", "v1")).Want(404)
}

// "When a manifest is rejected for this reason, it MUST result in one or more
// MANIFEST_BLOB_UNKNOWN errors."
func TestMissingBlobs(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("incomplete")
	for _, n := range image.Children {
		a := c.PutManifest("incomplete", "v1", image)
		a.WantError(a.Want(400, 404).Status, "MANIFEST_BLOB_UNKNOWN")
		c.PushBlob("incomplete", n)
	}
	c.PutManifest("incomplete", "v1", image).Want(201)

	// By default an index may name manifests that are elsewhere.
	index := fixture.MultiArch("sparse")
	c.PutManifest("sparse", "v1", index).Want(201)
	c.Get(wire.ManifestPath("sparse", "v1")).Want(200).WantBody(index.Content)
}

func TestSparseNone(t *testing.T) {
	c := serveWith(t, "[http]\nsparse = \"none\"\n")
	a := c.PutManifest("sparse", "v1", fixture.MultiArch("sparse"))
	a.WantError(a.Want(400, 404).Status, "MANIFEST_BLOB_UNKNOWN")
}

func TestSparseAll(t *testing.T) {
	c := serveWith(t, "[http]\nsparse = \"all\"\n")
	image := fixture.SimpleImage("sparse-all")
	c.PutManifest("sparse", "v1", image).Want(201)
	c.Get(wire.ManifestPath("sparse", "v1")).Want(200).WantBody(image.Content)
}

// Layers that may not be distributed stay where their urls say.
func TestNonDistributableLayers(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("foreign")
	pushContent(c, "foreign", image)
	var m ocispec.Manifest
	if err := json.Unmarshal(image.Content, &m); err != nil {
		t.Fatal(err)
	}
	m.Layers = append(m.Layers, ocispec.Descriptor{
		MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		Digest:    digest.FromString("elsewhere"), Size: 9, URLs: []string{"https://example.org/layer"},
	})
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	send(c, "foreign", "v1", ocispec.MediaTypeImageManifest, content).Want(201)
	c.Get(wire.ManifestPath("foreign", "v1")).Want(200).WantBody(content)
}

// Docker's media types are refused with a message that tells how to change it.
func TestDockerSchema2(t *testing.T) {
	const kind = "application/vnd.docker.distribution.manifest.v2+json"
	config := fixture.Raw("application/vnd.docker.container.image.v1+json", []byte(`{}`))
	content := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":2,"digest":%q},"layers":[]}`, kind, config.Desc.MediaType, config.Desc.Digest)
	t.Run("off", func(t *testing.T) {
		c := serve(t)
		c.PushBlob("docker", config)
		a := send(c, "docker", "v1", kind, content).WantError(415)
		if !strings.Contains(string(a.Body), "docker2s2") {
			t.Errorf("the message does not name docker2s2: %s", a.Body)
		}
	})
	t.Run("on", func(t *testing.T) {
		c := serveWith(t, "[http]\ncompat = [\"docker2s2\"]\n")
		c.PushBlob("docker", config)
		send(c, "docker", "v1", kind, content).Want(201)
		c.Get(wire.ManifestPath("docker", "v1")).Want(200).WantBody(content).WantHeader("Content-Type", kind)
		const listKind = "application/vnd.docker.distribution.manifest.list.v2+json"
		list := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":%d,"digest":%q,"platform":{"architecture":"amd64","os":"linux"}}]}`, listKind, kind, len(content), digest.FromBytes(content))
		send(c, "docker", "list", listKind, list).Want(201)
		c.Get(wire.ManifestPath("docker", "list")).Want(200).WantBody(list).WantHeader("Content-Type", listKind)
	})
}

// "Client and registry implementations SHOULD expect to be able to support
// manifest pushes of at least 4 megabytes"; above the limit: 413.
func TestManifestSize(t *testing.T) {
	c := serve(t)
	const limit = 4 << 20
	config := fixture.Raw(ocispec.MediaTypeImageConfig, []byte(`{}`))
	c.PushBlob("size", config)
	of := func(size int) []byte {
		head := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":2,"digest":%q},"layers":[],"annotations":{"fill":"`, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, config.Desc.Digest)
		return []byte(head + strings.Repeat("x", size-len(head)-3) + `"}}`)
	}
	full := of(limit)
	send(c, "size", "full", ocispec.MediaTypeImageManifest, full).Want(201)
	c.Get(wire.ManifestPath("size", "full")).Want(200).WantBody(full)
	over := of(limit + 1)
	send(c, "size", "over", ocispec.MediaTypeImageManifest, over).Want(413)
	c.Do(wire.Request{ // of unknown length
		Method: "PUT", Path: wire.ManifestPath("size", "over"), Stream: io.MultiReader(bytes.NewReader(over)),
		Header: map[string]string{"Content-Type": ocispec.MediaTypeImageManifest},
	}).Want(413)
	c.Get(wire.ManifestPath("size", "over")).Want(404)
}

// A manifest of unknown length, and one that comes with a wrong one.
func TestManifestOfUnknownLength(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("unknown-length")
	pushContent(c, "ul", image)
	c.Do(wire.Request{
		Method: "PUT", Path: wire.ManifestPath("ul", "v1"), Stream: io.MultiReader(bytes.NewReader(image.Content)),
		Header: map[string]string{"Content-Type": image.Desc.MediaType},
	}).Want(201)
	c.PullWhole("ul", "v1", image)
}

// end-7b
func TestTagParameters(t *testing.T) {
	c := serve(t)
	image, old := fixture.SimpleImage("tags"), fixture.SimpleImage("tags-old")
	c.Push("tp", "t3", old)
	pushContent(c, "tp", image)
	var want []string
	query := ""
	for i := range 24 { // "SHOULD support pushing at least 10 tags per request"
		want = append(want, fmt.Sprintf("t%d", i))
		query += fmt.Sprintf("&tag=t%d", i)
	}
	a := c.PutManifest("tp", image.Desc.Digest.String()+"?"+query[1:], image).Want(201)
	var got []string
	for _, line := range a.Header.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(line, ",") {
			got = append(got, strings.TrimSpace(tag))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("OCI-Tag names %v, want %v", got, want)
	}
	for _, tag := range want {
		c.Get(wire.ManifestPath("tp", tag)).Want(200).WantBody(image.Content)
	}
	// One bad tag and nothing is done.
	c.PutManifest("tp", old.Desc.Digest.String()+"?tag=t0&tag=.bad", old).WantError(400)
	c.Get(wire.ManifestPath("tp", "t0")).Want(200).WantBody(image.Content)
}

func TestManifestSHA512(t *testing.T) {
	c := serve(t)
	image := fixture.Image(fixture.Options{Algorithm: digest.SHA512}, fixture.LayerWith(digest.SHA512, "m512", 5_000))
	c.Push("m512", "", image)
	c.PullWhole("m512", "", image)
	c.PutManifest("m512", image.Desc.Digest.String()+"?tag=v1", image).Want(201)
	a := c.Get(wire.ManifestPath("m512", "v1")).Want(200).WantBody(image.Content)
	if d := digest.Digest(a.Header.Get("Docker-Content-Digest")); d.Validate() != nil || d.Algorithm().FromBytes(image.Content) != d {
		t.Errorf("Docker-Content-Digest %q is not of the body", d)
	}
}

// A tag that moves leaves its old manifest reachable by digest.
func TestRetag(t *testing.T) {
	c := serve(t)
	one, two := fixture.SimpleImage("re1"), fixture.SimpleImage("re2")
	c.Push("re", "v1", one)
	c.Push("re", "v1", two)
	c.PullWhole("re", "v1", two)
	c.PullWhole("re", "", one)
}
