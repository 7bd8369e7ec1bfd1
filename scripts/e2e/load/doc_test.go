// Package load tests what is large, many or at the same time: blobs of
// gigabytes, ten thousand tags, and clients that race each other.
package load

import (
	"testing"

	"berth/e2e/harness"
	"berth/e2e/wire"
)

const octets = "application/octet-stream"

func start(t *testing.T) (*harness.Server, *wire.Client) {
	t.Helper()
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	return s, wire.New(t, s.URL())
}
