package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/harness"
)

// makeImage makes an image of berth by the program that make image runs, for two
// platforms, of which the second has something small in place of a binary.
func makeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, layout, conf := filepath.Join(dir, "image"), filepath.Join(dir, "layout"), filepath.Join(dir, "berth.toml")
	binary, err := filepath.Abs(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(harness.Run(t, binary, "help", "berth.toml")), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, "./image")
	build.Dir, build.Env = "../../../packaging", append(os.Environ(), "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	harness.Run(t, program, "-out", layout, "-config", conf, "-version", "v1", "-created", "1700000000",
		"linux/amd64="+binary, "linux/arm64/v8="+conf)
	return layout
}

// berth serves the image of itself, and clients find nothing wrong with it.
func TestOwnImage(t *testing.T) {
	t.Parallel()
	layout := makeImage(t)
	s := harness.Start(t, harness.Config{Root: layout, Local: true, Args: []string{"--name", "berth"}})
	crane(t, "validate", "--remote", s.Ref("berth:v1"))
	crane(t, "validate", "--remote", s.Ref("berth:latest"))
	if got := crane(t, "config", "--platform", "linux/arm64/v8", s.Ref("berth:v1")); !strings.Contains(got, `"variant":"v8"`) || !strings.Contains(got, `"User":"65532:65532"`) {
		t.Errorf("the configuration is %s", got)
	}
	dir := t.TempDir()
	harness.Run(t, "skopeo", "copy", "--all", "--src-tls-verify=false", s.Docker("berth:v1"), "oci:"+dir+"/pulled:v1")
	checkLayout(t, dir+"/pulled")

	harness.Run(t, "skopeo", "copy", "--src-tls-verify=false", "--override-arch", "amd64", s.Docker("berth:v1"), "oci:"+dir+"/one:v1")
	harness.Run(t, "umoci", "unpack", "--rootless", "--image", dir+"/one:v1", dir+"/bundle")
	program := dir + "/bundle/rootfs/usr/bin/berth"
	if got := harness.Run(t, program, "version"); !strings.HasPrefix(got, "berth ") {
		t.Errorf("the program in the image says %s", got)
	}
	harness.Run(t, program, "verify", dir+"/bundle/rootfs/etc/berth/berth.toml")
}
