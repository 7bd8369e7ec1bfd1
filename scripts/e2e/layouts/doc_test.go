// Package layouts tests that a repository on disk is an OCI image layout and
// nothing else: what other tools wrote is served, and what berth wrote is read
// by other tools.
package layouts

import (
	"path/filepath"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

func start(t *testing.T) (*harness.Server, *wire.Client) {
	t.Helper()
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	return s, wire.New(t, s.URL())
}

// write writes a layout.
func write(t *testing.T, dir string, roots map[string]fixture.Node) {
	t.Helper()
	if err := fixture.WriteLayout(dir, roots); err != nil {
		t.Fatal(err)
	}
}

// one writes a layout that calls its root "v1" and returns its folder.
func one(t *testing.T, root fixture.Node) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	write(t, dir, map[string]fixture.Node{"v1": root})
	return dir
}

func check(t *testing.T, dir string) {
	t.Helper()
	if err := fixture.CheckLayout(dir); err != nil {
		t.Error(err)
	}
}
