package harness

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// StartDynalite starts a DynamoDB that has no table and keeps its data in
// memory, on a free port of 127.0.0.1, and returns its URL. It ends with the
// test.
func StartDynalite(t testing.TB) string {
	t.Helper()
	program := filepath.Join(repository(), "build", "tools", "dynalite", "node_modules", "dynalite", "cli.js")
	if !isFile(program) {
		t.Fatal("dynalite is not here; scripts/e2e/install.sh installs it")
	}
	address := FreeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	cmd := exec.Command(Tool(t, "node"), program, "--host", host, "--port", port)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, environment(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start of %v: %v", cmd.Args, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of dynalite on %s:\n%s", address, tail(log.String(), 8000))
		}
	})
	Eventually(t, "dynalite answers", func() error {
		answer, err := (&http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address)
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, log.String())
		}
		return answer.Body.Close()
	})
	return "http://" + address
}
