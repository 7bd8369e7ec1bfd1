// Package spec asks of a running berth every MUST and SHOULD that the
// distribution specification says about the wire, one file for each of its
// chapters. Comments name the endpoint (end-4a) or quote the sentence.
package spec

import (
	"testing"

	"berth/e2e/harness"
	"berth/e2e/wire"
)

// serve starts a berth with its defaults and returns a client of it.
func serve(t *testing.T) *wire.Client {
	t.Helper()
	t.Parallel()
	return wire.New(t, harness.Start(t, harness.Config{}).URL())
}

// serveWith is serve with a configuration file.
func serveWith(t *testing.T, toml string) *wire.Client {
	t.Helper()
	t.Parallel()
	return wire.New(t, harness.Start(t, harness.Config{File: toml}).URL())
}

const octets = "application/octet-stream"
