package harness

import (
	"net"
	"os/exec"
	"path/filepath"
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
	cmd := exec.Command(Tool(t, "node"), program, "--host", host, "--port", port)
	cmd.Env = environment(t)
	startPeer(t, "dynalite", cmd, "http://"+address)
	return "http://" + address
}
