package fsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"berth/fsstore"
	"berth/oci"
)

// TestQuarantineBesidePushes: while blobs decay and are taken away, others are
// pushed, mounted and deleted. In the end everything that is there is right,
// and everything can be pushed again.
func TestQuarantineBesidePushes(t *testing.T) {
	for _, dedupe := range []bool{true, false} {
		t.Run(fmt.Sprintf("dedupe=%v", dedupe), func(t *testing.T) {
			root := t.TempDir()
			s, err := fsstore.Open(fsstore.Options{Root: root, MinFree: 1, Dedupe: dedupe, Locations: newHints("a", "b", "c")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx := t.Context()
			var contents [][]byte
			for i := range 4 {
				contents = append(contents, body(3000, fmt.Sprint("content", i)))
			}
			repos := []oci.Repo{"a", "b", "c"}
			var work sync.WaitGroup
			for n, repo := range repos {
				work.Go(func() {
					for i := range 120 {
						content := contents[(i+n)%len(contents)]
						if err := s.PutBlob(ctx, repo, digestOf(content), content); err != nil {
							t.Errorf("push: %v", err)
						}
						if i%3 == 0 {
							_ = s.LinkBlob(ctx, repos[(n+1)%3], repo, digestOf(contents[i%4])) // it may be gone
						}
						if i%5 == 0 {
							_ = s.DeleteBlob(ctx, repo, digestOf(contents[(i+1)%4]))
						}
					}
				})
			}
			work.Go(func() {
				for i := range 120 {
					d := digestOf(contents[i%len(contents)])
					rot(filepath.Join(root, string(repos[i%3]), "blobs/sha256", d.Encoded()))
					if _, err := s.QuarantineBlob(ctx, repos[i%3], d, "it decayed"); err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
						t.Errorf("quarantine: %v", err)
					}
				}
			})
			work.Wait()
			for _, repo := range repos {
				for _, content := range contents {
					if _, err := s.QuarantineBlob(ctx, repo, digestOf(content), "it decayed"); err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
						t.Errorf("quarantine: %v", err)
					}
				}
			}
			for _, content := range contents {
				for _, repo := range append(repos, "n") {
					if err := s.PutBlob(ctx, repo, digestOf(content), content); err != nil {
						t.Fatal(err)
					}
					got, err := os.ReadFile(filepath.Join(root, string(repo), "blobs/sha256", digestOf(content).Encoded()))
					if !bytes.Equal(got, content) {
						t.Errorf("%s: %d bytes, %v", repo, len(got), err)
					}
				}
			}
			if left, _ := filepath.Glob(filepath.Join(root, ".berth/quarantine/*/*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// rot changes a byte of a file, if it is there.
func rot(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteAt([]byte{'?'}, 7)
}
