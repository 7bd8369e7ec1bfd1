package harness

import (
	"os"
	"sync"
	"testing"
)

// Env is the environment that puts a berth's root into the gateway's bucket.
// The root directory of the command line is then what it keeps for itself.
func (g *Gateway) Env() []string {
	const driver = "BERTH_STORAGE_STORAGEDRIVER_"
	return []string{
		driver + "NAME=s3", driver + "REGION=" + g.Region, driver + "REGIONENDPOINT=" + g.URL, driver + "BUCKET=" + g.Bucket,
		driver + "ACCESSKEY=" + g.AccessKey, driver + "SECRETKEY=" + g.SecretKey, driver + "CHUNKSIZE=5MiB",
	}
}

// Where servers keep what they are given, by E2E_STORE. Unset, it is their root
// directory.
const (
	// inBucket is a bucket of versitygw's.
	inBucket = "s3"
	// inPlainBucket is one where nothing is shared between repositories: each
	// is a layout, of which versitygw makes a directory of files.
	inPlainBucket = "s3-plain"
)

// NeedsLayouts skips a test that has another tool read layouts where the server
// wrote them, with content of a size that repositories in a bucket share: there
// each has a reference of no bytes.
func NeedsLayouts(t testing.TB) {
	t.Helper()
	if os.Getenv("E2E_STORE") == inBucket {
		t.Skipf("repositories share content with E2E_STORE=%s, and have their own with %s", inBucket, inPlainBucket)
	}
}

// buckets are the gateways of roots: who starts a server on a root again finds
// there what was pushed before.
var buckets sync.Map

// inEnvironment gives a server a bucket of its own where E2E_STORE says so; nil:
// it does not.
func inEnvironment(t testing.TB, c *Config) *Gateway {
	t.Helper()
	where := os.Getenv("E2E_STORE")
	switch {
	case where == "" || c.Local:
		return nil
	case where != inBucket && where != inPlainBucket:
		t.Fatalf("E2E_STORE is %q; it is %s, %s or nothing", where, inBucket, inPlainBucket)
	}
	var g *Gateway
	if known, ok := buckets.Load(c.Root); ok {
		g = known.(*Gateway)
	} else {
		g = StartGateway(t)
		root := c.Root
		buckets.Store(root, g)
		t.Cleanup(func() { buckets.Delete(root) })
	}
	c.Env = append(g.Env(), c.Env...)
	if where == inPlainBucket {
		c.Env = append(c.Env, "BERTH_STORAGE_DEDUPE=false")
	}
	return g
}
