package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Gateway is a running S3 server: versitygw, which keeps its objects in files,
// or MinIO where E2E_S3 says "minio".
type Gateway struct {
	URL                          string
	Bucket                       string
	Region, AccessKey, SecretKey string
	// Dir holds the bucket's objects as files; of MinIO, in a form of its own.
	Dir string
	// Torn: the file system has no extended attributes, so that metadata lie in
	// files of their own, and who reads an object that is being replaced may get
	// the new ETag with the old content. One berth alone bears that.
	Torn bool
}

// StartGateway starts an S3 server with an empty bucket on a free port of
// 127.0.0.1. It ends with the test.
func StartGateway(t testing.TB) *Gateway {
	t.Helper()
	address, root := FreeAddress(t), t.TempDir()
	g := &Gateway{
		URL: "http://" + address, Bucket: "berth-test", Region: "us-east-1",
		AccessKey: "e2e-access", SecretKey: "e2e-secret", Dir: filepath.Join(root, "data", "berth-test"),
	}
	meta := filepath.Join(root, "meta")
	for _, dir := range []string{g.Dir, meta} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	name, line := "minio", []string{"server", "--quiet", "--address", address, "--console-address", FreeAddress(t), filepath.Dir(g.Dir)}
	if os.Getenv("E2E_S3") != name {
		name, line = "versitygw", g.versity(address, meta)
	}
	cmd := exec.Command(Tool(t, name), line...)
	cmd.Env = append(environment(t), "MINIO_ROOT_USER="+g.AccessKey, "MINIO_ROOT_PASSWORD="+g.SecretKey, "MINIO_UPDATE=off", "MINIO_BROWSER=off")
	startPeer(t, name, cmd, g.URL+"/")
	return g
}

// versity are the arguments of versitygw.
func (g *Gateway) versity(address, meta string) []string {
	line := []string{"--port", address, "--access", g.AccessKey, "--secret", g.SecretKey, "--region", g.Region, "--keep-alive", "--quiet", "posix"}
	if g.Torn = unix.Setxattr(meta, "user.berth-e2e", []byte("x"), 0) != nil; g.Torn {
		line = append(line, "--sidecar", meta)
	}
	return append(line, filepath.Dir(g.Dir))
}
