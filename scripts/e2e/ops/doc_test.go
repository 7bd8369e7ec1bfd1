// Package ops tests what an operator meets: read-only media, full disks, power
// switches, restarts, sockets that come from elsewhere, signals and limits.
package ops

import (
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const octets = "application/octet-stream"

// rootWith makes a root that holds one image at repo:v1, written by a layout
// tool rather than by berth.
func rootWith(t *testing.T, repo string, image fixture.Node) string {
	t.Helper()
	root := t.TempDir()
	if err := fixture.WriteLayout(root+"/"+repo, map[string]fixture.Node{"v1": image}); err != nil {
		t.Fatal(err)
	}
	return root
}

// start starts a berth and a client of it.
func start(t *testing.T, c harness.Config) (*harness.Server, *wire.Client) {
	t.Helper()
	s := harness.Start(t, c)
	return s, wire.New(t, s.URL())
}
