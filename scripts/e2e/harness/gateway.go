package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Gateway is a running versitygw: an S3 server that keeps its objects in
// files.
type Gateway struct {
	URL                          string
	Bucket                       string
	Region, AccessKey, SecretKey string
	// Dir holds the bucket's objects as files.
	Dir string
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
	for _, dir := range []string{g.Dir, filepath.Join(root, "meta")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := &syncBuffer{}
	// Metadata lies beside the files, not in extended attributes, which the
	// file system of a test's folder may lack.
	cmd := exec.Command(Tool(t, "versitygw"), "--port", address, "--access", g.AccessKey, "--secret", g.SecretKey,
		"--region", g.Region, "--keep-alive", "--quiet", "posix", "--sidecar", filepath.Join(root, "meta"), filepath.Dir(g.Dir))
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, environment(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start of %v: %v", cmd.Args, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of versitygw on %s:\n%s", address, tail(log.String(), 8000))
		}
	})
	Eventually(t, "versitygw answers", func() error {
		answer, err := (&http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(g.URL + "/")
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, log.String())
		}
		return answer.Body.Close()
	})
	return g
}
