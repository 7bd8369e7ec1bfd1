package spec

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

func referrersPath(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/referrers/" + d.String()
}

// referrers reads one page of an answer.
func referrers(t *testing.T, a *wire.Answer) map[digest.Digest]ocispec.Descriptor {
	t.Helper()
	var index ocispec.Index
	a.Want(200).WantHeader("Content-Type", ocispec.MediaTypeImageIndex).JSON(&index)
	if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
		t.Errorf("referrers answer %s", a.Body)
	}
	found := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range index.Manifests {
		if _, twice := found[d.Digest]; twice {
			t.Errorf("%s is listed twice", d.Digest)
		}
		found[d.Digest] = d
	}
	return found
}

func wantReferrers(t *testing.T, a *wire.Answer, want ...fixture.Node) map[digest.Digest]ocispec.Descriptor {
	t.Helper()
	got := referrers(t, a)
	if len(got) != len(want) {
		t.Errorf("%d referrers, want %d: %s", len(got), len(want), a.Body)
	}
	for _, n := range want {
		d, found := got[n.Desc.Digest]
		if !found || d.Size != n.Desc.Size || d.MediaType != n.Desc.MediaType {
			t.Errorf("%s is listed as %+v", n.Desc.Digest, d)
		}
	}
	return got
}

// pushReferrer pushes a manifest with a subject, "MUST respond with the
// response header OCI-Subject: <subject digest>".
func pushReferrer(c *wire.Client, repo string, n, subject fixture.Node) {
	for _, child := range n.Children {
		c.Push(repo, "", child)
	}
	c.PutManifest(repo, n.Desc.Digest.String(), n).Want(201).WantHeader("OCI-Subject", subject.Desc.Digest.String())
}

// end-12a
func TestReferrers(t *testing.T) {
	c := serve(t)
	subject := fixture.SimpleImage("subject")
	sbom := fixture.Artifact("application/vnd.example.sbom", "parts", &subject, map[string]string{"org.example.k": "v", "ü": "\"<&"})
	signature := fixture.Typed("application/vnd.example.signature.config", "text/plain", struct{}{}, []byte("signed"), &subject, nil)
	image := fixture.Image(fixture.Options{Subject: &subject, Annotations: map[string]string{"of": "an image"}}, fixture.Layer("referrer", 100))

	// "A registry MUST initially accept an otherwise valid manifest with a
	// subject field that references a manifest that does not exist".
	pushReferrer(c, "r", sbom, subject)
	wantReferrers(t, c.Get(referrersPath("r", subject.Desc.Digest)), sbom)
	c.Push("r", "v1", subject)
	pushReferrer(c, "r", signature, subject)
	pushReferrer(c, "r", image, subject)
	pushReferrer(c, "r", image, subject) // again

	got := wantReferrers(t, c.Get(referrersPath("r", subject.Desc.Digest)), sbom, signature, image)
	if d := got[sbom.Desc.Digest]; d.ArtifactType != "application/vnd.example.sbom" || d.Annotations["org.example.k"] != "v" || d.Annotations["ü"] != "\"<&" {
		t.Errorf("artifact is listed as %+v", d)
	}
	// "If the artifactType is empty or missing in the image manifest, the
	// value of artifactType MUST be set to the config descriptor mediaType".
	if d := got[signature.Desc.Digest]; d.ArtifactType != "application/vnd.example.signature.config" {
		t.Errorf("signature is listed as %+v", d)
	}
	if d := got[image.Desc.Digest]; d.ArtifactType != ocispec.MediaTypeImageConfig || d.Annotations["of"] != "an image" {
		t.Errorf("image is listed as %+v", d)
	}

	c.Delete(wire.ManifestPath("r", sbom.Desc.Digest.String())).Want(202)
	wantReferrers(t, c.Get(referrersPath("r", subject.Desc.Digest)), signature, image)
	// Referrers are of a repository, and outlive their subject.
	wantReferrers(t, c.Get(referrersPath("elsewhere", subject.Desc.Digest)))
	c.Delete(wire.ManifestPath("r", subject.Desc.Digest.String())).Want(202)
	wantReferrers(t, c.Get(referrersPath("r", subject.Desc.Digest)), signature, image)
}

// An index with a subject; "If the artifactType is empty or missing in an
// index, the artifactType MUST be omitted."
func TestReferrerIndexes(t *testing.T) {
	c := serve(t)
	subject := fixture.SimpleImage("index-subject")
	of := func(extra string) fixture.Node {
		return fixture.Raw(ocispec.MediaTypeImageIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,%s"manifests":[],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"a":"b"}}`,
			ocispec.MediaTypeImageIndex, extra, subject.Desc.MediaType, subject.Desc.Digest, subject.Desc.Size))
	}
	plain, typed := of(""), of(`"artifactType":"application/vnd.example.set",`)
	pushReferrer(c, "ri", plain, subject)
	pushReferrer(c, "ri", typed, subject)
	got := wantReferrers(t, c.Get(referrersPath("ri", subject.Desc.Digest)), plain, typed)
	if got[plain.Desc.Digest].ArtifactType != "" || got[typed.Desc.Digest].ArtifactType != "application/vnd.example.set" || got[plain.Desc.Digest].Annotations["a"] != "b" {
		t.Errorf("indexes are listed as %+v", got)
	}
}

// end-12b
func TestReferrersFilter(t *testing.T) {
	c := serve(t)
	subject := fixture.SimpleImage("filter")
	sbom := fixture.Artifact("application/vnd.example.sbom+json", "parts", &subject, nil)
	other := fixture.Artifact("application/vnd.example.other", "x", &subject, nil)
	pushReferrer(c, "f", sbom, subject)
	pushReferrer(c, "f", other, subject)
	path := referrersPath("f", subject.Desc.Digest)
	wantReferrers(t, c.Get(path+"?artifactType="+url.QueryEscape("application/vnd.example.sbom+json")).WantHeader("OCI-Filters-Applied", "artifactType"), sbom)
	wantReferrers(t, c.Get(path+"?artifactType=application/vnd.example.other"), other)
	wantReferrers(t, c.Get(path+"?artifactType=application/vnd.example").WantHeader("OCI-Filters-Applied", "artifactType"))
	c.Get(path).Want(200).WantNoHeader("OCI-Filters-Applied")
}

func TestReferrersOfNothing(t *testing.T) {
	c := serve(t)
	c.Push("some", "v1", fixture.SimpleImage("some"))
	wantReferrers(t, c.Get(referrersPath("some", digest.FromString("none"))))
	wantReferrers(t, c.Get(referrersPath("some", digest.SHA512.FromString("none"))))
	for _, bad := range []string{"sha256:xyz", "v1", "sha256", "sha256:" + strings.Repeat("0", 63)} {
		c.Get("/v2/some/referrers/" + bad).WantError(400)
	}
}

func TestReferrersSHA512(t *testing.T) {
	c := serve(t)
	subject := fixture.Image(fixture.Options{Algorithm: digest.SHA512}, fixture.LayerWith(digest.SHA512, "subject512", 100))
	n := fixture.Artifact("application/vnd.example.sbom", "parts", &subject, nil)
	c.Push("s512", "", subject)
	pushReferrer(c, "s512", n, subject)
	wantReferrers(t, c.Get(referrersPath("s512", subject.Desc.Digest)), n)
}

// "A Link header MUST be included in the response when the descriptor list
// cannot be returned in a single manifest."
func TestReferrersPages(t *testing.T) {
	c := serve(t)
	subject := fixture.SimpleImage("many")
	want := map[digest.Digest]bool{}
	for i := range 12 {
		n := fixture.Artifact("application/vnd.example.large", "x", &subject, map[string]string{"n": fmt.Sprint(i), "fill": strings.Repeat("x", 1<<20)})
		pushReferrer(c, "many", n, subject)
		want[n.Desc.Digest] = true
	}
	path := referrersPath("many", subject.Desc.Digest) + "?artifactType=application/vnd.example.large"
	pages := 0
	for ; path != ""; pages++ {
		a := c.Get(path).WantHeader("OCI-Filters-Applied", "artifactType")
		if len(a.Body) > 5<<20 {
			t.Errorf("page %d has %d bytes", pages, len(a.Body))
		}
		for d := range referrers(t, a) {
			if !want[d] {
				t.Errorf("%s came twice or is not one", d)
			}
			delete(want, d)
		}
		path = a.Next()
	}
	if len(want) > 0 || pages < 2 {
		t.Errorf("%d referrers are missing after %d pages", len(want), pages)
	}
}
