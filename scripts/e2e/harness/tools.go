package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientTimeout bounds one run of a client.
const clientTimeout = 15 * time.Minute

// Tool finds a client: first among those that install.sh built, then in PATH.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path := filepath.Join(repository(), "build", "tools", name); isFile(path) {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not here; scripts/e2e/install.sh installs it", name)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Run runs a client to its end and returns its standard output. A failure of
// the client is one of the test.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := TryRun(t, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryRun is Run for a client that may fail; the error holds its output.
func TryRun(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	return TryRunIn(t, "", name, args...)
}

// TryRunIn runs a client in a folder; "" is that of the test.
func TryRunIn(t testing.TB, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, Tool(t, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = environment(t)
	cmd.WaitDelay = Patience
	if err := cmd.Run(); err != nil {
		return stdout.String(), &ToolError{Command: name + " " + strings.Join(args, " "), Output: stderr.String() + stdout.String(), Err: err}
	}
	return stdout.String(), nil
}

// ToolError is a client that failed.
type ToolError struct {
	Command, Output string
	Err             error
}

func (e *ToolError) Error() string { return e.Command + ": " + e.Err.Error() + "\n" + e.Output }

// Unwrap returns what the run of the client said.
func (e *ToolError) Unwrap() error { return e.Err }

// environment gives a client a home of its own, so that it meets no
// configuration, credential or cache of whoever runs the tests.
func environment(t testing.TB) []string {
	home := filepath.Join(os.TempDir(), fmt.Sprint("berth-e2e-", os.Getpid()), sanitize(t.Name()))
	for os.MkdirAll(home, 0o700) != nil { // unless another test just removed what is above
		if err := os.MkdirAll(filepath.Dir(home), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte("{}"), 0o600); err != nil { // buildah insists on it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(home)
		_ = os.Remove(filepath.Dir(home)) // by the last one
	})
	return []string{
		"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "DOCKER_CONFIG=" + home,
		"PATH=" + os.Getenv("PATH"), "LANG=C", "TMPDIR=" + os.TempDir(),
	}
}

// sanitize makes a test's name one element of a path.
func sanitize(name string) string { return strings.NewReplacer("/", "-", " ", "-").Replace(name) }
