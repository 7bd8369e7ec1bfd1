package media

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/fsstore/archive"
	"berth/fsstore/archive/archivetest"
	"berth/oci"
	"berth/oci/subpath"

	"golang.org/x/sys/unix"
)

// stick makes an ext4 image with a label and what fill writes, for loop mounts. To
// mount needs root. The image was not mounted before: a process
// that was given a copy of all mounts meanwhile would still hold it then, and
// nobody could mount it in another way.
func stick(t *testing.T, label string, fill func(dir string)) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	archivetest.WriteFile(t, image, nil)
	if err := os.Truncate(image, 48<<20); err != nil {
		t.Fatal(err)
	}
	fill(dir)
	command(t, "mkfs.ext4", "-q", "-L", label, "-d", dir, image)
	return image
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func mount(t *testing.T, image, dir, options string) {
	t.Helper()
	command(t, "mount", "-o", "loop,"+options, image, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// unmount unmounts as a user does who is told that the stick is busy.
func unmount(t *testing.T, dir string) {
	t.Helper()
	start := time.Now()
	for {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return
		}
		if err != unix.EBUSY || time.Since(start) > within {
			t.Fatalf("unmount: %v after %v", err, time.Since(start))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMountAndUnmount(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	b := start(t, Options{})
	point := mkdir(t, filepath.Join(b.dir, "user", "some where"))
	for _, options := range []string{"ro", "rw"} {
		image := stick(t, "My Images", func(dir string) {
			writeLayout(t, filepath.Join(dir, "app"), large)
			archivetest.WriteFile(t, filepath.Join(dir, "tool.tar"), archiveOf(t, "tool"))
		})
		mount(t, image, point, options)
		b.wait("usb/my-images/app usb/my-images/tool")
		// One pull is paused, one reads all the time.
		paused, err := b.router.OpenBlob(context.Background(), "usb/my-images/app", oci.SHA256.FromString(large), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer paused.Close()
		if _, err := io.CopyN(io.Discard, paused, 100_000); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- pullForever(b.router, "usb/my-images/app", oci.SHA256.FromString(large)) }()
		unmount(t, point)
		b.wait("")
		if err := <-ended; !errors.Is(err, oci.ErrUnavailable) && !errors.Is(err, oci.ErrBlobUnknown) {
			t.Errorf("the pull that ran: %v", err)
		}
		if n, err := paused.Read(make([]byte, 10)); n != 0 || !errors.Is(err, oci.ErrUnavailable) {
			t.Errorf("the pull that was paused: %d, %v", n, err)
		}
	}
	b.wait("")
}

// pullForever reads a blob again and again until that fails.
func pullForever(s oci.Store, repo oci.Repo, d oci.Digest) error {
	for {
		c, err := s.OpenBlob(context.Background(), repo, d, 0)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, 16<<10))
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
}

// TestLazyUnmount: the file system goes while everything still works on it.
func TestLazyUnmount(t *testing.T) {
	image := stick(t, "", func(dir string) { writeLayout(t, filepath.Join(dir, "app"), "one") })
	b := start(t, Options{})
	point := mkdir(t, filepath.Join(b.dir, "stick"))
	mount(t, image, point, "ro")
	b.wait("usb/stick/app")
	if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if c, err := b.router.OpenBlob(context.Background(), "usb/stick/app", oci.SHA256.FromString("one"), 0); err == nil {
		t.Error("served after it was unmounted", c.Close())
	}
	b.wait("")
	// Another medium at the same place.
	other := stick(t, "", func(dir string) { writeLayout(t, dir, "two") })
	mount(t, other, point, "ro")
	b.wait("usb/stick")
}

// TestEmptyDirectoryKeepsNoName: an old mount point has the stick's name.
func TestEmptyDirectoryKeepsNoName(t *testing.T) {
	image := stick(t, "STICK", func(dir string) { writeLayout(t, filepath.Join(dir, "app"), "one") })
	b := start(t, Options{})
	mkdir(t, filepath.Join(b.dir, "stick"))
	point := mkdir(t, filepath.Join(b.dir, "zoe", "stick"))
	mount(t, image, point, "ro")
	b.wait("usb/stick/app")
	unmount(t, point)
	b.wait("")
}

// TestUnmountWhileVerifying: the background reads hold nothing either.
func TestUnmountWhileVerifying(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<21)
	image := stick(t, "", func(dir string) { writeLayout(t, filepath.Join(dir, "app"), large) })
	b := start(t, Options{Verify: true})
	point := mkdir(t, filepath.Join(b.dir, "stick"))
	for range 3 {
		mount(t, image, point, "ro")
		time.Sleep(5 * time.Millisecond) // somewhere in the middle
		unmount(t, point)
	}
	b.wait("")
	mount(t, image, point, "ro")
	b.wait("usb/stick/app")
}

// TestWritesNothing: not even the times of access.
func TestWritesNothing(t *testing.T) {
	image := stick(t, "", func(dir string) {
		writeLayout(t, filepath.Join(dir, "app"), "one")
		archivetest.WriteFile(t, filepath.Join(dir, "tool.tar"), archiveOf(t, "two"))
	})
	b := start(t, Options{Verify: true})
	point := mkdir(t, filepath.Join(b.dir, "stick"))
	mount(t, image, point, "rw,noatime")
	b.wait("usb/stick/app usb/stick/tool")
	before := listing(t, point)
	b.read("usb/stick/app", "one")
	b.read("usb/stick/tool", "two")
	if after := listing(t, point); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	unmount(t, point)
	b.wait("")
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", "%p %s %T@ %C@ %A@\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestRootComesAndGoes: a subpath's root on a disk that is unmounted.
func TestRootComesAndGoes(t *testing.T) {
	ctx := context.Background()
	image := stick(t, "", func(dir string) { writeLayout(t, filepath.Join(dir, "store", "app"), "one") })
	point := realPath(t.TempDir())
	root := filepath.Join(point, "store")
	r := NewRoot(root)
	lazy := subpath.NewLazy(subpath.LazyOptions{Name: "disk", Probe: r.Probe, Open: func() (oci.Store, error) { return archive.OpenDir(archive.Options{Path: filepath.Join(root, "app")}) }})
	mount(t, image, point, "rw")
	for range 2 {
		if err := lazy.WalkRepos(ctx, "", func(oci.Repo) error { return nil }); err != nil {
			t.Error(err)
		}
		unmount(t, point)
		if err := lazy.Available(); !errors.Is(err, oci.ErrUnavailable) {
			t.Errorf("unmounted: %v", err)
		}
		// The empty mount point must not be taken for a new store.
		mkdir(t, root)
		if err := lazy.Available(); !errors.Is(err, oci.ErrUnavailable) || !strings.Contains(err.Error(), point+" is not mounted") {
			t.Errorf("unmounted: %v", err)
		}
		mount(t, image, point, "rw")
		if err := lazy.Available(); err != nil {
			t.Error(err)
		}
	}
}
