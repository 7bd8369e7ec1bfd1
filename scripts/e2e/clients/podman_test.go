package clients

import (
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// engine runs podman or buildah over a storage of its own.
type engine struct {
	t    *testing.T
	name string
	args []string
}

func newEngine(t *testing.T, name string) engine {
	dir := t.TempDir()
	e := engine{t, name, []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}}
	t.Cleanup(func() { _, _ = harness.TryRun(t, name, append(e.args, "unshare", "rm", "-rf", dir)...) })
	return e
}

func (e engine) run(args ...string) string {
	e.t.Helper()
	return strings.TrimSpace(harness.Run(e.t, e.name, append(e.args, args...)...))
}

func TestPodmanPullAndPush(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("podman")
	c.Push("shop/base", "v1", image)
	podman := newEngine(t, "podman")

	podman.run("pull", "--tls-verify=false", s.Ref("shop/base:v1"))
	if got := podman.run("image", "inspect", "--format", "{{.Digest}}", s.Ref("shop/base:v1")); got != image.Desc.Digest.String() {
		t.Errorf("podman pulled %s, not %s", got, image.Desc.Digest)
	}
	podman.run("pull", "--tls-verify=false", s.Ref("shop/base@"+image.Desc.Digest.String()))

	podman.run("push", "--tls-verify=false", "--format", "oci", s.Ref("shop/base:v1"), s.Ref("shop/copy:v2"))
	saved := filepath.Join(t.TempDir(), "saved")
	podman.run("rmi", "--all", "--force")
	podman.run("pull", "--tls-verify=false", s.Ref("shop/copy:v2"))
	podman.run("save", "--format", "oci-dir", "--output", saved, s.Ref("shop/copy:v2"))
	checkLayout(t, saved)
	checkLayout(t, s.Dir("shop/copy"))
	c.PullWhole("shop/base", "v1", image)
}

func TestPodmanManifestList(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	c.Push("arch/one", "amd64", fixture.Image(fixture.Options{Arch: "amd64"}, fixture.Layer("pm/amd64", 900)))
	c.Push("arch/one", "arm64", fixture.Image(fixture.Options{Arch: "arm64"}, fixture.Layer("pm/arm64", 900)))
	podman := newEngine(t, "podman")

	podman.run("manifest", "create", "both")
	podman.run("manifest", "add", "--tls-verify=false", "both", s.Docker("arch/one:amd64"))
	podman.run("manifest", "add", "--tls-verify=false", "both", s.Docker("arch/one:arm64"))
	podman.run("manifest", "push", "--all", "--format", "oci", "--tls-verify=false", "both", s.Docker("arch/all:v1"))

	podman.run("pull", "--tls-verify=false", "--arch", "arm64", s.Ref("arch/all:v1"))
	if got := podman.run("image", "inspect", "--format", "{{.Architecture}}", s.Ref("arch/all:v1")); got != "arm64" {
		t.Errorf("podman pulled an image for %q", got)
	}
	checkLayout(t, s.Dir("arch/all"))
}

func TestPodmanImport(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	podman := newEngine(t, "podman")
	podman.run("import", fixture.BlobPath(layoutWith(t, fixture.SimpleImage("import")), fixture.Layer("import/base", 20_000).Desc), "imported:latest")
	podman.run("push", "--tls-verify=false", "--format", "oci", "imported:latest", s.Ref("imported:latest"))
	id := podman.run("image", "inspect", "--format", "{{.Id}}", "imported:latest")
	podman.run("rmi", "--all", "--force")
	podman.run("pull", "--tls-verify=false", s.Ref("imported:latest"))
	if got := podman.run("image", "inspect", "--format", "{{.Id}}", s.Ref("imported:latest")); got != id {
		t.Errorf("podman pushed image %s and pulled %s", id, got)
	}
	checkLayout(t, s.Dir("imported"))
}
