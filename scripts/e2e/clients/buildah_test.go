package clients

import (
	"os"
	"path/filepath"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
)

func TestBuildah(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	content := fixture.Bytes("buildah", 50_000)
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
	buildah := newEngine(t, "buildah")

	container := buildah.run("from", "scratch")
	buildah.run("copy", container, file, "/program")
	buildah.run("config", "--cmd", "/program", "--label", "built=here", container)
	buildah.run("commit", "--format", "oci", container, "built:v1")
	buildah.run("push", "--tls-verify=false", "built:v1", s.Docker("forge/built:v1"))
	id := buildah.run("inspect", "--type", "image", "--format", "{{.FromImageID}}", "built:v1")
	buildah.run("rm", "--all")
	buildah.run("rmi", "--all", "--force")

	buildah.run("pull", "--tls-verify=false", s.Docker("forge/built:v1"))
	if got := buildah.run("inspect", "--type", "image", "--format", "{{.FromImageID}}", s.Ref("forge/built:v1")); got != id {
		t.Errorf("buildah pushed image %s and pulled %s", id, got)
	}
	again := buildah.run("from", "--tls-verify=false", "--pull-always", s.Ref("forge/built:v1"))
	buildah.run("config", "--env", "A=B", again)
	buildah.run("commit", "--tls-verify=false", "--format", "oci", again, s.Docker("forge/built:v2"))
	checkLayout(t, s.Dir("forge/built"))
}
