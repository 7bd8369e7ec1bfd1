package media

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"berth/fsstore/archive/archivetest"
	"berth/oci"
	"berth/oci/ocitest"
)

func TestParseMounts(t *testing.T) {
	mounts := parseMounts([]byte(`36 35 98:0 / /media/My\040Stick\134 rw,noatime master:1 - ext4 /dev/sda1 rw
37 35 0:5 /sub / rw - tmpfs none rw
38 36 8:1 / /media/My\040Stick\134 ro shared:1 master:2 - vfat /dev/sd\040b ro
noise
39 x - y
`))
	if len(mounts) != 2 {
		t.Errorf("%v", mounts)
	}
	want := mountPoint{38, "8:1", "/", `/media/My Stick\`, "vfat", "/dev/sd b"}
	if got := mounts[want.path]; got != want {
		t.Errorf("%+v", got)
	}
	if m, ok := holder(mounts, "/usr/x"); !ok || m.id != 37 {
		t.Errorf("%+v", m)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(`36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`))
	f.Add([]byte(`1 2 3 4 \ - \4 \40`))
	f.Fuzz(func(t *testing.T, content []byte) {
		for path := range parseMounts(content) {
			if !filepath.IsAbs(path) {
				t.Errorf("%q", path)
			}
			holder(parseMounts(content), path+"/x")
		}
	})
}

func TestLabelOf(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "sdb1")
	archivetest.WriteFile(t, device, nil)
	if err := os.Symlink("../sdb1", filepath.Join(mkdir(t, filepath.Join(dir, "by-label")), `My\x20Stick\x2`)); err != nil {
		t.Fatal(err)
	}
	if got := labelOf(filepath.Join(dir, "by-label"), device); got != `My Stick\x2` {
		t.Errorf("%q", got)
	}
	if got := labelOf(dir, "/dev/other"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestRootOfFstab(t *testing.T) {
	dir := realPath(t.TempDir())
	r := NewRoot(filepath.Join(dir, "disk", "store"))
	r.fstab = filepath.Join(dir, "fstab")
	archivetest.WriteFile(t, r.fstab, []byte("# comment\n/dev/sda / ext4\nUUID=x "+dir+"/disk ext4 nofail 0 2\n"))
	if _, err := r.Probe(); err == nil || !strings.Contains(err.Error(), "disk is not mounted") {
		t.Errorf("error: %v", err)
	}
	archivetest.WriteFile(t, r.fstab, []byte("/dev/sda / ext4\n/dev/sdb "+dir+"/other ext4\n"))
	none, err := r.Probe()
	if err != nil {
		t.Errorf("a directory that may be created: %v", err)
	}
	mkdir(t, r.path)
	made, err := r.Probe()
	if err != nil || made == none {
		t.Errorf("created: %v, %v", made, err)
	}
	if again, err := r.Probe(); err != nil || again != made {
		t.Errorf("again: %v, %v", again, err)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Probe(); err == nil {
		t.Error("it was there and is missing")
	}
}

func TestTransferIsAContent(t *testing.T) {
	ctx := context.Background()
	m := ocitest.NewMemory()
	content := strings.Repeat("abc", 1000)
	d := oci.SHA256.FromString(content)
	if err := m.PutBlob(ctx, "a", d, []byte(content)); err != nil {
		t.Fatal(err)
	}
	pauses := 0
	s := &unheld{Store: m, pause: func() { pauses++ }}
	c, err := s.OpenBlob(ctx, "a", d, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(c, []byte(content)); err != nil {
		t.Error(err)
	}
	if err := m.DeleteBlob(ctx, "a", d); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, oci.ErrUnavailable) {
		t.Errorf("deleted: %v", err)
	}
	c.(*transfer).read = pauseFrom
	_, _ = c.Read(make([]byte, 1))
	if pauses != 1 {
		t.Errorf("%d pauses", pauses)
	}
}

func TestQuiet(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{
		0: 0, quietEvery - quietFor - 1: 0, quietEvery - quietFor: quietFor, quietEvery - 1: 1, quietEvery: 0, 3*quietEvery - 5: 5,
	} {
		if got := quietWait(since); got != want {
			t.Errorf("after %v: %v", since, got)
		}
	}
}
