package clients

import (
	"path/filepath"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// What client-config installs makes podman, skopeo and their like pull the
// images of another registry through berth, and trust it.
func TestClientConfig(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("mirrored")
	c.Push("library/mirrored", "v1", image)
	c.Push("below/quay/team/app", "v1", image)

	node := t.TempDir()
	harness.Run(t, harness.Binary(t), "client-config", "--for", "podman", "--registry", s.Addr,
		"--mirror", "docker.io,quay.io=below/quay", "--write", "--root", node)
	conf := filepath.Join(node, "etc/containers/registries.conf.d/50-berth.conf")
	for _, name := range []string{"docker.io/library/mirrored:v1", "docker.io/mirrored:v1", "quay.io/team/app:v1", s.Ref("library/mirrored:v1")} {
		oci := filepath.Join(t.TempDir(), "oci")
		harness.Run(t, "skopeo", "--registries-conf", conf, "copy", "docker://"+name, "oci:"+oci+":v1")
		if err := holds(oci, image); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	podman := newEngine(t, "podman")
	podman.args = append(podman.args, "--registries-conf", conf)
	podman.run("pull", "docker.io/library/mirrored:v1")
	if got := podman.run("image", "inspect", "--format", "{{.Digest}}", "docker.io/library/mirrored:v1"); got != image.Desc.Digest.String() {
		t.Errorf("podman pulled %s, not %s", got, image.Desc.Digest)
	}
}
