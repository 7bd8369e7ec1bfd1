package layouts

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// What clients pushed lies on disk as a layout that other tools read.
func TestToolsReadWhatBerthWrote(t *testing.T) {
	s, c := start(t)
	image, nested := fixture.SimpleImage("written"), fixture.Nested("written")
	c.Push("a/b/app", "v1", image)
	c.Push("a/b/app", "nested", nested)
	c.Push("a/b/app", "", fixture.Artifact("application/vnd.example.sbom", "parts", &image, nil))
	dir := s.Dir("a/b/app")
	check(t, dir)

	if got := harness.Run(t, "skopeo", "inspect", "oci:"+dir+":v1"); !strings.Contains(got, image.Desc.Digest.String()) {
		t.Errorf("skopeo inspect tells %s", got)
	}
	back := filepath.Join(t.TempDir(), "back")
	harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+dir+":v1", "oci:"+back+":v1")
	harness.Run(t, "regctl", "image", "copy", "--referrers", "ocidir://"+dir+":nested", "ocidir://"+back+":nested")
	harness.Run(t, "regctl", "image", "copy", "--referrers", "ocidir://"+dir+":v1", "ocidir://"+back+":v1r")
	for _, root := range []fixture.Node{image, nested} {
		for _, n := range root.All() {
			if got, err := os.ReadFile(fixture.BlobPath(back, n.Desc)); err != nil || !bytes.Equal(got, n.Content) {
				t.Errorf("%s did not come across: %v", n.Desc.Digest, err)
			}
		}
	}
	if got := strings.TrimSpace(harness.Run(t, "regctl", "tag", "ls", "ocidir://"+dir)); got != "nested\nv1" {
		t.Errorf("regctl tag ls tells %q", got)
	}
	if got := umociTags(t, dir); !slices.Equal(got, []string{"nested", "v1"}) {
		t.Errorf("umoci ls tells %q", got)
	}
}

// umociTags lists a layout's tags in order; umoci lists them in the index's.
func umociTags(t *testing.T, layout string) []string {
	t.Helper()
	return slices.Sorted(slices.Values(strings.Fields(harness.Run(t, "umoci", "ls", "--layout", layout))))
}

// The layout stays one through tags that move, deletes and pushes again.
func TestLayoutAfterEdits(t *testing.T) {
	s, c := start(t)
	a, b := fixture.MultiArch("edits-a"), fixture.SimpleImage("edits-b")
	for range 3 {
		c.Push("app", "x", a)
		c.Push("app", "y", a)
		c.Push("app", "x", b)
		check(t, s.Dir("app"))
		c.Delete(wire.ManifestPath("app", "y")).Want(202)
		check(t, s.Dir("app"))
		c.Delete(wire.ManifestPath("app", b.Desc.Digest.String())).Want(202)
		check(t, s.Dir("app"))
	}
}

// Beside the repositories lies only what berth calls its own.
func TestRootHoldsNothingElse(t *testing.T) {
	s, c := start(t)
	c.Push("app", "v1", fixture.SimpleImage("root"))
	c.StartUpload("app")
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "app" && e.Name() != ".berth" {
			t.Errorf("the root holds %s", e.Name())
		}
	}
	entries, err = os.ReadDir(s.Dir("app"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "blobs", "index.json", "oci-layout":
		default:
			t.Errorf("the layout holds %s", e.Name())
		}
	}
}
