package fsstore_test

import (
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/simfs"
	"berth/oci"
	"berth/oci/ocitest"
)

// TestStore runs the suite of every store on the operating system's files.
func TestStore(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "no commit": false} {
		t.Run(name, func(t *testing.T) {
			roots := make(map[oci.Store]string)
			open := func(t *testing.T, root string) oci.Store {
				s, err := fsstore.Open(fsstore.Options{Root: root, Commit: commit, MinFree: 1})
				if err != nil {
					t.Fatal(err)
				}
				roots[s] = root
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			ocitest.Suite(t,
				func(t *testing.T) oci.Store { return open(t, t.TempDir()) },
				func(t *testing.T, old oci.Store) oci.Store {
					if err := old.(*fsstore.Store).Close(); err != nil {
						t.Fatal(err)
					}
					return open(t, roots[old])
				})
		})
	}
}

// TestSimulated runs the suite on the simulated file system.
func TestSimulated(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "no commit": false} {
		t.Run(name, func(t *testing.T) {
			files := make(map[oci.Store]*simfs.FS)
			open := func(t *testing.T, fs *simfs.FS) oci.Store {
				s, err := fsstore.Open(fsstore.Options{FS: fs, Commit: commit, MinFree: 1})
				if err != nil {
					t.Fatal(err)
				}
				files[s] = fs
				return s
			}
			ocitest.Suite(t,
				func(t *testing.T) oci.Store { return open(t, simfs.New(time.Now)) },
				func(t *testing.T, old oci.Store) oci.Store {
					if err := old.(*fsstore.Store).Close(); err != nil {
						t.Fatal(err)
					}
					return open(t, files[old])
				})
		})
	}
}
