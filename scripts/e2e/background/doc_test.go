// Package background tests what a server does by itself while it serves: which
// tags go, and that what is needed stays.
package background

import (
	"fmt"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const octets = "application/octet-stream"

// layerSize is how much an image of these tests takes, and a little more.
const layerSize = 100_000

// image is one with a layer of its own.
func image(name string) fixture.Node {
	return fixture.Image(fixture.Options{}, fixture.Raw("application/vnd.oci.image.layer.v1.tar", fixture.Bytes(name, layerSize)))
}

// start starts a berth and a client of it.
func start(t *testing.T, c harness.Config) (*harness.Server, *wire.Client) {
	t.Helper()
	s := harness.Start(t, c)
	return s, wire.New(t, s.URL())
}

// tags are a repository's, in order, with spaces between them.
func tags(c *wire.Client, repo string) string {
	var list struct{ Tags []string }
	c.Get("/v2/" + repo + "/tags/list").Want(200).JSON(&list)
	return strings.Join(list.Tags, " ")
}

// wantTags waits until a repository has certain tags.
func wantTags(t *testing.T, c *wire.Client, repo, want string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%s has the tags %q", repo, want), func() error {
		if got := tags(c, repo); got != want {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}
