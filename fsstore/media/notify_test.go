package media

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"berth/fsstore/archive/archivetest"

	"golang.org/x/sys/unix"
)

// never is a tick that does not come: whatever is found was told.
const never = 24 * time.Hour

// needInotify skips a test where the kernel has none to give.
func needInotify(t *testing.T) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

// latency gathers how long changes took to be seen.
type latency struct{ took []time.Duration }

func (l *latency) add(d time.Duration) { l.took = append(l.took, d) }

func (l *latency) log(t *testing.T, what string) {
	t.Helper()
	slices.Sort(l.took)
	t.Logf("%s: %d changes, median %v, longest %v", what, len(l.took), l.took[len(l.took)/2], l.took[len(l.took)-1])
}

// TestToldAtOnce: directories, layouts and archives appear and vanish without
// the watcher having to look for itself, at any depth, while there are many.
func TestToldAtOnce(t *testing.T) {
	needInotify(t)
	b := startTicking(t, Options{}, never)
	for n := range 200 {
		mkdir(t, filepath.Join(b.dir, "stick", "many", fmt.Sprint("dir", n), "deep"))
	}
	var appeared, vanished latency
	for n := range 5 {
		deep := filepath.Join(b.dir, "stick", "many", fmt.Sprint("dir", 40*n), "deep", "app")
		writeLayout(t, deep, "one")
		appeared.add(b.wait("usb/stick/many/" + fmt.Sprintf("dir%d/deep/app", 40*n)))
		archivetest.WriteFile(t, filepath.Join(b.dir, "top.tar"), archiveOf(t, "two"))
		appeared.add(b.wait("usb/stick/many/" + fmt.Sprintf("dir%d/deep/app usb/top", 40*n)))
		if err := os.RemoveAll(deep); err != nil {
			t.Fatal(err)
		}
		vanished.add(b.wait("usb/top"))
		if err := os.Remove(filepath.Join(b.dir, "top.tar")); err != nil {
			t.Fatal(err)
		}
		vanished.add(b.wait(""))
	}
	// One that is complete elsewhere and moved there, and one that is written
	// again where it was.
	whole := filepath.Join(b.dir, ".whole")
	writeLayout(t, whole, "three")
	if err := os.Rename(whole, filepath.Join(b.dir, "stick", "moved")); err != nil {
		t.Fatal(err)
	}
	appeared.add(b.wait("usb/stick/moved"))
	content := archiveOf(t, "four")
	late := filepath.Join(b.dir, "stick", "late.tar")
	archivetest.WriteFile(t, late, content[:len(content)/2])
	archivetest.WriteFile(t, late, content)
	appeared.add(b.wait("usb/stick/late usb/stick/moved"))
	appeared.log(t, "appeared")
	vanished.log(t, "vanished")
}

// TestMountsAreTold: a medium that is mounted is served, and one that is
// unmounted is not, without the watcher having to look.
func TestMountsAreTold(t *testing.T) {
	needInotify(t)
	image := stick(t, "TOLD", func(dir string) { writeLayout(t, filepath.Join(dir, "app"), "one") })
	b := startTicking(t, Options{}, never)
	point := mkdir(t, filepath.Join(b.dir, "user", "stick"))
	var appeared, vanished latency
	for range 5 {
		mount(t, image, point, "rw")
		appeared.add(b.wait("usb/told/app"))
		writeLayout(t, filepath.Join(point, "more", "app"), "two")
		appeared.add(b.wait("usb/told/app usb/told/more/app"))
		if err := os.RemoveAll(filepath.Join(point, "more")); err != nil {
			t.Fatal(err)
		}
		vanished.add(b.wait("usb/told/app"))
		unmount(t, point)
		vanished.add(b.wait(""))
	}
	appeared.log(t, "appeared")
	vanished.log(t, "vanished")
}

// TestHeed reads what inotify tells.
func TestHeed(t *testing.T) {
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	n.dir, n.top, n.owners, n.count = "/m", 1, map[int]string{2: "/m/a", 3: "/m/b"}, map[string]int{"/m/a": 1, "/m/b": 1}
	event := func(wd int, mask uint32, name string) (out []byte) {
		out = binary.NativeEndian.AppendUint32(out, uint32(wd))
		out = binary.NativeEndian.AppendUint32(out, mask)
		out = append(out, 0, 0, 0, 0)
		out = binary.NativeEndian.AppendUint32(out, uint32(len(name)))
		return append(out, name...)
	}
	n.heed(slices.Concat(event(2, unix.IN_CREATE, "x\x00\x00\x00"), event(1, unix.IN_CREATE, "new\x00"), event(9, unix.IN_CREATE, "")))
	if got := n.take(); len(got) != 2 || !got["/m/a"] || !got["/m/new"] || len(n.wake) != 1 || len(n.changed) != 1 {
		t.Errorf("%v", got)
	}
	n.heed(slices.Concat(event(2, unix.IN_IGNORED, ""), event(-1, unix.IN_Q_OVERFLOW, "")))
	if got := n.take(); len(got) != 1 || !got["/m/b"] || len(n.owners) != 1 {
		t.Errorf("%v, %v", got, n.owners)
	}
	n.heed(event(3, unix.IN_CREATE, ""))
	n.forget("/m/b")
	if len(n.take())+len(n.owners)+len(n.count) > 0 {
		t.Errorf("%+v", n)
	}
}
