package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

func crane(t *testing.T, verb string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(harness.Run(t, "crane", append([]string{"--insecure", verb}, args...)...))
}

func TestCraneImage(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("crane")
	ref := s.Ref("crane/app:v1")

	crane(t, "push", layoutWith(t, image), ref)
	c.PullWhole("crane/app", "v1", image)
	if got := crane(t, "digest", ref); got != image.Desc.Digest.String() {
		t.Errorf("crane digest tells %s, want %s", got, image.Desc.Digest)
	}
	if got := crane(t, "manifest", ref); got != string(image.Content) {
		t.Errorf("crane manifest tells other bytes: %s", got)
	}
	crane(t, "validate", "--remote", ref)
	if got := crane(t, "blob", s.Ref("crane/app@"+image.Children[1].Desc.Digest.String())); got != strings.TrimSpace(string(image.Children[1].Content)) {
		t.Errorf("crane blob tells %d bytes, want %d", len(got), len(image.Children[1].Content))
	}

	oci := filepath.Join(t.TempDir(), "oci")
	crane(t, "pull", "--format=oci", ref, oci)
	if err := holds(oci, image); err != nil {
		t.Error(err)
	}
	crane(t, "pull", "--format=tarball", ref, filepath.Join(t.TempDir(), "image.tar"))

	crane(t, "copy", ref, s.Ref("crane/copied:v1"))
	c.PullWhole("crane/copied", "v1", image)
	crane(t, "tag", ref, "v2")
	if got := strings.Fields(crane(t, "ls", s.Ref("crane/app"))); strings.Join(got, " ") != "v1 v2" {
		t.Errorf("crane ls tells %v", got)
	}
	if got := strings.Fields(crane(t, "catalog", s.Addr)); strings.Join(got, " ") != "crane/app crane/copied" {
		t.Errorf("crane catalog tells %v", got)
	}
	checkLayout(t, s.Dir("crane/copied"))
}

func TestCraneIndex(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	index := fixture.Nested("crane-nested")

	crane(t, "push", "--index", layoutWith(t, index), s.Ref("crane/index:v1"))
	c.PullWhole("crane/index", "", index)
	crane(t, "copy", s.Ref("crane/index:v1"), s.Ref("crane/index-copy:v1"))
	c.PullWhole("crane/index-copy", "", index)

	more := fixture.Image(fixture.Options{Arch: "riscv64"}, fixture.Layer("crane/riscv64", 700))
	c.Push("crane/index", "riscv64", more)
	crane(t, "index", "append", s.Ref("crane/index:v1"), "--manifest", s.Ref("crane/index:riscv64"), "--tag", s.Ref("crane/index:v2"), "--flatten=false")
	if got := crane(t, "index", "list", s.Ref("crane/index:v2")); !strings.Contains(got, more.Desc.Digest.String()) {
		t.Errorf("crane index list tells %s", got)
	}
	checkLayout(t, s.Dir("crane/index"))
}

func TestCraneAppendAndDelete(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	layer := filepath.Join(t.TempDir(), "layer.tar.gz")
	if err := os.WriteFile(layer, fixture.Layer("append", 4_000).Content, 0o644); err != nil {
		t.Fatal(err)
	}

	crane(t, "append", "--oci-empty-base", "-f", layer, "-t", s.Ref("crane/appended:v1"))
	crane(t, "append", "-b", s.Ref("crane/appended:v1"), "-f", layer, "-t", s.Ref("crane/appended:v2"))
	crane(t, "validate", "--remote", s.Ref("crane/appended:v2"))
	crane(t, "mutate", s.Ref("crane/appended:v2"), "--label", "k=v", "-t", s.Ref("crane/appended:v3"))

	digest := crane(t, "digest", s.Ref("crane/appended:v3"))
	crane(t, "delete", s.Ref("crane/appended@"+digest))
	c.Head(wire.ManifestPath("crane/appended", "v3")).Want(404)
	crane(t, "delete", s.Ref("crane/appended:v1"))
	c.Head(wire.ManifestPath("crane/appended", "v1")).Want(404)
	crane(t, "validate", "--remote", s.Ref("crane/appended:v2"))
	checkLayout(t, s.Dir("crane/appended"))
}
