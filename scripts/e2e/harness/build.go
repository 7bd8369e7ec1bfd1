package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var (
	repository = sync.OnceValue(findRepository)
	native     = sync.OnceValues(func() (string, error) { return build("berth", "") })
	i386       = sync.OnceValues(func() (string, error) { return build("berth-386", "386") })
	minimal    = sync.OnceValues(func() (string, error) { return build("berth-minimal", "", "-tags=minimal") })
)

// Binary is berth's binary, built from the tree that the tests lie in; or the
// one that E2E_BINARY names, to try a packaged one.
func Binary(t testing.TB) string {
	if path := os.Getenv("E2E_BINARY"); path != "" {
		return path
	}
	return built(t, native)
}

// Binary386 is berth built for 32-bit x86.
func Binary386(t testing.TB) string { return built(t, i386) }

// BinaryMinimal is berth built without what is optional.
func BinaryMinimal(t testing.TB) string { return built(t, minimal) }

func built(t testing.TB, get func() (string, error)) string {
	t.Helper()
	path, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// findRepository is the folder that holds berth's go.mod: one above that of the
// test, in which go test runs it.
func findRepository() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module berth\n") {
			return dir
		}
	}
	panic("the tests do not lie below berth's go.mod")
}

// build makes a binary below build/. Test packages run side by side and may
// all do so: each writes a file of its own and renames it.
func build(name, arch string, flags ...string) (string, error) {
	dir := filepath.Join(repository(), "build", "e2e")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp := filepath.Join(dir, fmt.Sprintf("%s.%d", name, os.Getpid()))
	cmd := exec.Command("go", append(append([]string{"build", "-o", tmp}, flags...), ".")...)
	cmd.Dir = repository()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false -trimpath")
	if arch != "" {
		cmd.Env = append(cmd.Env, "GOARCH="+arch)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build of %s: %w\n%s", name, err, out)
	}
	path := filepath.Join(dir, name)
	return path, os.Rename(tmp, path)
}
