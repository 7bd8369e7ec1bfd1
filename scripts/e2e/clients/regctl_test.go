package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// regctl runs regctl against a server without TLS.
func regctl(t *testing.T, s *harness.Server, args ...string) string {
	t.Helper()
	return strings.TrimSpace(harness.Run(t, "regctl", append([]string{"--host", "reg=" + s.Addr + ",tls=disabled"}, args...)...))
}

// regctlIn is regctl with standard input from a file.
func regctlIn(t *testing.T, s *harness.Server, input []byte, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, input, 0o644); err != nil {
		t.Fatal(err)
	}
	line := []string{"-c", `file=$1; shift; exec "$@" <"$file"`, "sh", file, harness.Tool(t, "regctl"), "--host", "reg=" + s.Addr + ",tls=disabled"}
	return strings.TrimSpace(harness.Run(t, "sh", append(line, args...)...))
}

func TestRegctlImage(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	index := fixture.MultiArch("regctl")
	ref := s.Ref("regctl/app:v1")

	regctl(t, s, "image", "copy", "ocidir://"+layoutWith(t, index)+":v1", ref)
	c.PullWhole("regctl/app", "v1", index)
	regctl(t, s, "image", "copy", ref, s.Ref("regctl/copy:v1"))
	c.PullWhole("regctl/copy", "v1", index)

	back := filepath.Join(t.TempDir(), "back")
	regctl(t, s, "image", "copy", ref, "ocidir://"+back+":v1")
	if err := holds(back, index); err != nil {
		t.Error(err)
	}
	if got := regctl(t, s, "image", "digest", ref); got != index.Desc.Digest.String() {
		t.Errorf("regctl image digest tells %s, want %s", got, index.Desc.Digest)
	}
	checkLayout(t, s.Dir("regctl/copy"))
}

func TestRegctlTags(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("regctl-tags")
	for _, tag := range []string{"a", "b", "c"} {
		c.Push("regctl/tags", tag, image)
	}

	regctl(t, s, "tag", "rm", s.Ref("regctl/tags:b"))
	if got := strings.Fields(regctl(t, s, "tag", "ls", s.Ref("regctl/tags"))); strings.Join(got, " ") != "a c" {
		t.Errorf("regctl tag ls tells %v", got)
	}
	c.Head(wire.ManifestPath("regctl/tags", "b")).Want(404)
	c.PullWhole("regctl/tags", "a", image)
	if got := strings.Fields(regctl(t, s, "repo", "ls", s.Addr)); strings.Join(got, " ") != "regctl/tags" {
		t.Errorf("regctl repo ls tells %v", got)
	}
}

func TestRegctlManifest(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("regctl-manifest")
	c.Push("regctl/raw", "v1", image)

	regctlIn(t, s, image.Content, "manifest", "put", "--content-type", image.Desc.MediaType, s.Ref("regctl/raw:v2"))
	c.PullWhole("regctl/raw", "v2", image)
	if got := regctl(t, s, "manifest", "get", "--format", "raw-body", s.Ref("regctl/raw:v2")); got != string(image.Content) {
		t.Errorf("regctl manifest get tells %s", got)
	}
	regctl(t, s, "manifest", "head", s.Ref("regctl/raw:v1"))
	regctl(t, s, "manifest", "delete", s.Ref("regctl/raw@"+image.Desc.Digest.String()))
	c.Head(wire.ManifestPath("regctl/raw", "v1")).Want(404)
}

func TestRegctlBlob(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	content := fixture.Bytes("regctl-blob", 300_000)

	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		want := alg.FromBytes(content).String()
		regctlIn(t, s, content, "blob", "put", "--digest", want, s.Ref("regctl/blobs"))
		c.Get("/v2/regctl/blobs/blobs/" + want).Want(200).WantBody(content)
		regctl(t, s, "blob", "head", s.Ref("regctl/blobs"), want)
		regctl(t, s, "blob", "copy", s.Ref("regctl/blobs"), s.Ref("regctl/more"), want)
		c.Head("/v2/regctl/more/blobs/" + want).Want(200)
		regctl(t, s, "blob", "delete", s.Ref("regctl/blobs"), want)
		c.Head("/v2/regctl/blobs/blobs/" + want).Want(404)
		c.Head("/v2/regctl/more/blobs/" + want).Want(200)
	}
}

func TestRegctlSHA512Image(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.Image(fixture.Options{Algorithm: digest.SHA512}, fixture.LayerWith(digest.SHA512, "sha512", 9_000))
	regctl(t, s, "image", "copy", "ocidir://"+layoutWith(t, image)+":v1", s.Ref("regctl/sha512@"+image.Desc.Digest.String()))
	c.PullWhole("regctl/sha512", "", image)
	checkLayout(t, s.Dir("regctl/sha512"))
}

func TestRegctlArtifacts(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("regctl-subject")
	c.Push("regctl/art", "v1", image)
	subject := s.Ref("regctl/art:v1")

	regctlIn(t, s, []byte("a list of parts"), "artifact", "put", "--artifact-type", "application/vnd.example.sbom", "--subject", subject, "--annotation", "made.by=regctl")
	regctlIn(t, s, []byte("a signature"), "artifact", "put", "--artifact-type", "application/vnd.example.signature", "--subject", subject)
	regctlIn(t, s, []byte("alone"), "artifact", "put", "--artifact-type", "application/vnd.example.alone", s.Ref("regctl/art:alone"))

	if got := regctl(t, s, "artifact", "get", s.Ref("regctl/art:alone")); got != "alone" {
		t.Errorf("regctl artifact get tells %q", got)
	}
	if got := regctl(t, s, "artifact", "get", "--subject", subject, "--filter-artifact-type", "application/vnd.example.sbom"); got != "a list of parts" {
		t.Errorf("regctl artifact get tells %q", got)
	}
	list := regctl(t, s, "artifact", "list", subject)
	tree := regctl(t, s, "artifact", "tree", subject)
	for _, want := range []string{"application/vnd.example.sbom", "application/vnd.example.signature"} {
		if !strings.Contains(list, want) {
			t.Errorf("regctl artifact list lacks %s:\n%s", want, list)
		}
		if !strings.Contains(tree, want) {
			t.Errorf("regctl artifact tree lacks %s:\n%s", want, tree)
		}
	}
	if got := regctl(t, s, "tag", "ls", s.Ref("regctl/art")); got != "alone\nv1" {
		t.Errorf("tags are %q: the client found no referrers API and wrote a fallback tag", got)
	}

	back := filepath.Join(t.TempDir(), "back")
	regctl(t, s, "image", "copy", "--referrers", subject, "ocidir://"+back+":v1")
	checkLayout(t, back)
	regctl(t, s, "image", "copy", "--referrers", subject, s.Ref("regctl/art2:v1"))
	if got := regctl(t, s, "artifact", "list", s.Ref("regctl/art2:v1")); !strings.Contains(got, "application/vnd.example.sbom") {
		t.Errorf("the copy has lost its referrers:\n%s", got)
	}
	checkLayout(t, s.Dir("regctl/art"))
}
