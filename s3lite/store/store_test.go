package store

import (
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/s3lite/s3test"
)

// TestStore runs the suite of all stores, over small pages, so that lists have
// many.
func TestStore(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"dedupe":    func(*Options) {},
		"no dedupe": func(o *Options) { o.Dedupe = false },
		"no root":   func(o *Options) { o.Root = "" },
	} {
		t.Run(name, func(t *testing.T) {
			buckets := map[oci.Store]*bucket{}
			ocitest.Suite(t,
				func(t *testing.T) oci.Store {
					b := newBucket(t, s3test.Options{PageSize: 7})
					s := b.replica(change)
					buckets[s] = b
					return s
				},
				func(t *testing.T, s oci.Store) oci.Store {
					b := buckets[s]
					next := b.replica(change)
					buckets[next] = b
					return next
				})
		})
	}
}
