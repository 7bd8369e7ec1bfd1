package clients

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// skopeo runs skopeo against a registry without TLS.
func skopeo(t *testing.T, verb string, args ...string) string {
	t.Helper()
	line := []string{"--insecure-policy", verb}
	switch verb {
	case "copy":
		line = append(line, "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests")
	default:
		line = append(line, "--tls-verify=false")
	}
	return harness.Run(t, "skopeo", append(line, args...)...)
}

// layoutWith writes a layout of one root called "v1" and returns its folder.
func layoutWith(t *testing.T, root fixture.Node) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	if err := fixture.WriteLayout(dir, map[string]fixture.Node{"v1": root}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkLayout fails the test unless a repository on disk is a valid layout.
func checkLayout(t *testing.T, dir string) {
	t.Helper()
	if err := fixture.CheckLayout(dir); err != nil {
		t.Error(err)
	}
}

func TestSkopeoImage(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("skopeo")

	skopeo(t, "copy", "oci:"+layoutWith(t, image)+":v1", s.Docker("team/app:v1"))
	c.PullWhole("team/app", "v1", image)

	oci := filepath.Join(t.TempDir(), "oci")
	skopeo(t, "copy", s.Docker("team/app:v1"), "oci:"+oci+":again")
	checkLayout(t, oci)
	if err := holds(oci, image); err != nil {
		t.Error(err)
	}

	dir := filepath.Join(t.TempDir(), "dir")
	skopeo(t, "copy", s.Docker("team/app@"+image.Desc.Digest.String()), "dir:"+dir)
	skopeo(t, "copy", "dir:"+dir, s.Docker("team/app:from-dir"))
	c.PullWhole("team/app", "from-dir", image)

	var inspected struct {
		Digest   string
		RepoTags []string
		Layers   []string
	}
	decode(t, skopeo(t, "inspect", s.Docker("team/app:v1")), &inspected)
	if inspected.Digest != image.Desc.Digest.String() || len(inspected.Layers) != 2 || !slices.Equal(inspected.RepoTags, []string{"from-dir", "v1"}) {
		t.Errorf("skopeo inspect tells %+v", inspected)
	}
	checkLayout(t, s.Dir("team/app"))
}

func TestSkopeoMultiArch(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	index := fixture.MultiArch("skopeo-multi")

	skopeo(t, "copy", "--all", "oci:"+layoutWith(t, index)+":v1", s.Docker("multi:v1"))
	c.PullWhole("multi", "v1", index)

	back := filepath.Join(t.TempDir(), "back")
	skopeo(t, "copy", "--all", s.Docker("multi:v1"), "oci:"+back+":v1")
	if err := holds(back, index); err != nil {
		t.Error(err)
	}
	skopeo(t, "copy", "--override-arch", "arm64", "--override-os", "linux", s.Docker("multi:v1"), "oci:"+back+":one")
	checkLayout(t, back)
	checkLayout(t, s.Dir("multi"))
}

func TestSkopeoCopyWithinRegistry(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	index := fixture.MultiArch("skopeo-mount")
	c.Push("from/here", "v1", index)

	skopeo(t, "copy", "--all", s.Docker("from/here:v1"), s.Docker("to/there:v2"))
	c.PullWhole("to/there", "v2", index)
	c.PullWhole("from/here", "v1", index)
	checkLayout(t, s.Dir("to/there"))
}

func TestSkopeoListAndDelete(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	keep, gone := fixture.SimpleImage("keep"), fixture.SimpleImage("gone")
	c.Push("list", "a", keep)
	c.Push("list", "b", gone)
	c.PutManifest("list", "c", gone).Want(201)

	var listed struct{ Tags []string }
	decode(t, skopeo(t, "list-tags", s.Docker("list")), &listed)
	if !slices.Equal(listed.Tags, []string{"a", "b", "c"}) {
		t.Errorf("skopeo list-tags tells %v", listed.Tags)
	}

	skopeo(t, "delete", s.Docker("list:b")) // deletes the manifest that b names
	c.Head(wire.ManifestPath("list", "b")).Want(404)
	c.Head(wire.ManifestPath("list", "c")).Want(404)
	c.PullWhole("list", "a", keep)
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in: %s", err, text)
	}
}
