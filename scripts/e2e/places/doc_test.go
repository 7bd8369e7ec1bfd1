// Package places tests where repositories lie: one copy of a blob for many of
// them, several roots as one registry, single layouts and archives, and media
// that come and go. Most of it needs root: it mounts.
package places

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const octets = "application/octet-stream"

func start(t *testing.T, c harness.Config) (*harness.Server, *wire.Client) {
	t.Helper()
	s := harness.Start(t, c)
	return s, wire.New(t, s.URL())
}

// layout writes a layout that holds an image as v1.
func layout(t *testing.T, dir string, image fixture.Node) {
	t.Helper()
	if err := fixture.WriteLayout(dir, map[string]fixture.Node{"v1": image}); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, dir string) {
	t.Helper()
	if err := fixture.CheckLayout(dir); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
}

func inode(t *testing.T, path string) (uint64, error) {
	t.Helper()
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Ino, err
}

// shared fails unless two layouts hold everything that a node reaches in the
// same files.
func shared(t *testing.T, a, b string, root fixture.Node) error {
	t.Helper()
	for _, n := range root.All() {
		one, err := inode(t, fixture.BlobPath(a, n.Desc))
		if err != nil {
			return err
		}
		other, err := inode(t, fixture.BlobPath(b, n.Desc))
		if err != nil {
			return err
		}
		if one != other {
			return fmt.Errorf("%s %s lies there twice", n.Desc.MediaType, n.Desc.Digest)
		}
	}
	return nil
}

func wantShared(t *testing.T, a, b string, root fixture.Node) {
	t.Helper()
	if err := shared(t, a, b, root); err != nil {
		t.Errorf("%s and %s: %v", a, b, err)
	}
}

// catalog is every repository that a server names.
func catalog(c *wire.Client) []string {
	var list struct{ Repositories []string }
	c.Get("/v2/_catalog").Want(200).JSON(&list)
	return list.Repositories
}

func wantCatalog(t *testing.T, c *wire.Client, want ...string) {
	t.Helper()
	if got := catalog(c); !slices.Equal(got, want) {
		t.Errorf("the catalog is %v, want %v", got, want)
	}
}

// awaitCatalog waits until exactly these repositories are served.
func awaitCatalog(t *testing.T, c *wire.Client, want ...string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the catalog is %v", want), func() error {
		if got := catalog(c); !slices.Equal(got, want) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// disk makes an image of an ext4 file system with a label, which fill fills.
func disk(t *testing.T, label string, fill func(dir string)) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts and has to run as root")
	}
	image := harness.WriteFile(t, "disk.img", "")
	if err := os.Truncate(image, 96<<20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-L", label, image)
	dir := t.TempDir()
	mount(t, image, dir)
	fill(dir)
	command(t, "umount", dir)
	return image
}

// mount mounts an image until the test ends.
func mount(t *testing.T, image, dir string) {
	t.Helper()
	command(t, "mount", "-o", "loop", image, mkdir(t, dir))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// unmount unmounts as people do who are told for a moment that it is busy.
func unmount(t *testing.T, dir string) {
	t.Helper()
	began := time.Now()
	for {
		err := syscall.Unmount(dir, 0)
		if err == nil {
			return
		}
		if err != syscall.EBUSY || time.Since(began) > harness.Patience {
			t.Fatalf("unmount of %s after %v: %v", dir, time.Since(began), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// files lists everything below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
