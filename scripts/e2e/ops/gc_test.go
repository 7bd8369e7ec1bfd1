package ops

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"

	"github.com/opencontainers/go-digest"
)

// blobFile is where a blob lies.
func blobFile(s *harness.Server, repo string, d digest.Digest) string {
	return filepath.Join(s.Dir(repo), "blobs", d.Algorithm().String(), d.Encoded())
}

// gone tells whether a file is not there: a HEAD would be a promise.
func gone(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %v", path, err)
	}
	return nil
}

// What was deleted is collected by itself, and what shares layers with it stays.
func TestGarbageGoesByItself(t *testing.T) {
	t.Parallel()
	kept, deleted := fixture.SimpleImage("kept"), fixture.SimpleImage("deleted")
	s, c := start(t, harness.Config{File: "[storage]\ngcDelay = \"1s\"\ngcInterval = \"1s\"\n"})
	c.Push("app", "kept", kept)
	c.Push("app", "deleted", deleted)
	c.Delete(wire.ManifestPath("app", deleted.Desc.Digest.String())).Want(202)
	harness.Eventually(t, "what was deleted is collected", func() error {
		for _, child := range deleted.Children {
			if err := gone(blobFile(s, "app", child.Desc.Digest)); err != nil && !shared(kept, child) {
				return err
			}
		}
		return nil
	})
	c.PullWhole("app", "kept", kept)
}

func shared(image, child fixture.Node) bool {
	for _, other := range image.Children {
		if other.Desc.Digest == child.Desc.Digest {
			return true
		}
	}
	return false
}

// berth gc asks the server that runs; and a round that finds nothing writes
// nothing. strace is the witness.
func TestIdleCollectionWritesNothing(t *testing.T) {
	t.Parallel()
	trace := filepath.Join(t.TempDir(), "trace")
	s, c := start(t, harness.Config{
		File: "[storage]\ngc = false\ngcDelay = \"0s\"\ncommit = true\ndedupe = false\n", Wrap: traced(t, trace),
	})
	image, orphan := fixture.SimpleImage("image"), fixture.Raw(octets, []byte("nobody needs it"))
	c.Push("app", "v1", image)
	c.PushBlob("app", orphan)
	collect := func(args ...string) string {
		t.Helper()
		return harness.Run(t, harness.Binary(t), append([]string{"gc", "--root", s.Root}, args...)...)
	}
	harness.Eventually(t, "a dry run tells of the blob", func() error {
		if out := collect("--dry-run"); !strings.Contains(out, "app\tblob\t"+orphan.Desc.Digest.String()+"\t15\n1 would be collected, 15 bytes freed") {
			return errors.New(out)
		}
		return nil
	})
	if out := collect(); !strings.Contains(out, "1 collected, 15 bytes freed") {
		t.Error(out)
	}
	if err := gone(blobFile(s, "app", orphan.Desc.Digest)); err != nil {
		t.Error(err)
	}
	c.Get("/v2/mark-begin/tags/list").Want(404)
	for range 2 {
		if out := collect(); out != "0 collected, 0 bytes freed\n" {
			t.Error(out)
		}
	}
	c.Get("/v2/mark-end/tags/list").Want(404)
	c.PullWhole("app", "v1", image)
	if err := syscall.Kill(-s.PID(), syscall.SIGTERM); err != nil { // strace passes nothing on
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	between(t, trace, "mark-begin/", "mark-end/", s.Root)
}

// between sees to it that a part of a trace writes nothing below root.
func between(t *testing.T, trace, from, to, root string) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls, inside := 0, false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.Contains(line, from):
			inside = true
		case strings.Contains(line, to):
			if calls == 0 {
				t.Error("strace saw no call in the root: this test looks in the wrong place")
			}
			return
		case inside:
			calls += writesNothing(t, root, line)
		}
	}
	t.Error("the end was not found in the trace")
}
