package media

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/fsstore/archive/archivetest"
	"berth/oci"
)

func TestDirectoriesAndArchives(t *testing.T) {
	b := start(t, Options{})
	b.wait("")
	writeLayout(t, filepath.Join(b.dir, "stick", "app"), "one")
	b.wait("usb/stick/app")
	writeLayout(t, filepath.Join(b.dir, "stick", "deep", "er", "app"), "two")
	archivetest.WriteFile(t, filepath.Join(b.dir, "stick", "deep", "My Tool.tar"), archiveOf(t, "three"))
	archivetest.WriteFile(t, filepath.Join(b.dir, "Top.tar"), archiveOf(t, "four"))
	b.wait("usb/stick/app usb/stick/deep/er/app usb/stick/deep/my-tool usb/top")
	for repo, content := range map[oci.Repo]string{"usb/stick/app": "one", "usb/stick/deep/er/app": "two", "usb/stick/deep/my-tool": "three", "usb/top": "four"} {
		if got := b.read(repo, content); got != content {
			t.Errorf("%s: %q", repo, got)
		}
	}
	if _, err := b.router.CreateUpload(context.Background(), "usb/stick/app", oci.SHA256); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
	b.until("descriptors are left open", func() bool { return archivetest.OpenBelow(t, b.dir) == 0 })

	if err := os.Remove(filepath.Join(b.dir, "Top.tar")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.dir, "stick", "deep", "My Tool.tar")); err != nil {
		t.Fatal(err)
	}
	b.wait("usb/stick/app usb/stick/deep/er/app")
	if err := os.RemoveAll(filepath.Join(b.dir, "stick")); err != nil {
		t.Fatal(err)
	}
	b.wait("")
}

// read reads the blob of content whole.
func (b *bench) read(repo oci.Repo, content string) string {
	b.Helper()
	c, err := b.router.OpenBlob(context.Background(), repo, oci.SHA256.FromString(content), 0)
	if err != nil {
		b.Error(err)
		return ""
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err != nil {
		b.Error(err)
	}
	return string(got)
}

func TestSingleLayoutWithOthersBelow(t *testing.T) {
	b := start(t, Options{})
	dir := filepath.Join(b.dir, "My Stick")
	writeLayout(t, dir, "top")
	b.wait("usb/my-stick")
	writeLayout(t, filepath.Join(dir, "below"), "below")
	b.wait("usb/my-stick usb/my-stick/below")
	if got := b.read("usb/my-stick", "top") + b.read("usb/my-stick/below", "below"); got != "topbelow" {
		t.Error(got)
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	b.wait("usb/my-stick/below")
}

func TestNamesThatCannotBe(t *testing.T) {
	dir := realPath(t.TempDir())
	writeLayout(t, filepath.Join(dir, "stick", "Upper"), "1")
	writeLayout(t, filepath.Join(dir, "stick", "app"), "2")
	archivetest.WriteFile(t, filepath.Join(dir, "stick", "app.tar"), archiveOf(t, "3"))
	archivetest.WriteFile(t, filepath.Join(dir, "stick", "---.tar"), archiveOf(t, "4"))
	archivetest.WriteFile(t, filepath.Join(dir, "stick", "Upper", "x.tar"), archiveOf(t, "5"))
	writeLayout(t, filepath.Join(dir, "日本", "app"), "6")
	writeLayout(t, filepath.Join(dir, ".hidden", "app"), "7")
	archivetest.WriteFile(t, filepath.Join(dir, "stick.tar"), archiveOf(t, "8"))
	b := start(t, Options{Path: dir})
	b.wait("usb/stick/app")
	for _, want := range []string{"stick/Upper ", "stick/app.tar", "stick/---.tar", "stick/Upper/x.tar", "日本", "stick.tar"} {
		b.until("no log line about "+want, func() bool { return strings.Contains(b.log.String(), want) })
	}
}

func TestArchiveThatIsStillBeingWritten(t *testing.T) {
	b := start(t, Options{})
	content := archiveOf(t, strings.Repeat("content", 1000))
	path := filepath.Join(b.dir, "app.tar")
	archivetest.WriteFile(t, path, content[:len(content)/2])
	b.until("not refused", func() bool { return strings.Contains(b.log.String(), "cut short") })
	archivetest.WriteFile(t, path, content)
	b.wait("usb/app")
}

func TestVerify(t *testing.T) {
	dir := realPath(t.TempDir())
	writeLayout(t, filepath.Join(dir, "good", "app"), "one")
	archivetest.WriteFile(t, filepath.Join(dir, "fine.tar"), archiveOf(t, "two"))
	bad := filepath.Join(dir, "bad", "app")
	blob := filepath.Join("blobs/sha256", oci.SHA256.FromString("three").Encoded())
	for name, c := range image(t, "three") {
		if name == blob {
			c = "THREE"
		}
		archivetest.WriteFile(t, filepath.Join(bad, name), []byte(c))
	}
	short := filepath.Join(dir, "short", "app")
	writeLayout(t, short, "four")
	if err := os.Truncate(filepath.Join(short, "blobs/sha256", oci.SHA256.FromString("four").Encoded()), 2); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing", "app")
	writeLayout(t, missing, "five")
	if err := os.Remove(filepath.Join(missing, "blobs/sha256", oci.SHA256.FromString("five").Encoded())); err != nil {
		t.Fatal(err)
	}
	b := start(t, Options{Path: dir, Verify: true})
	b.wait("usb/fine usb/good/app")
	for _, want := range []string{oci.SHA256.FromString("three").String() + ": its bytes do not match", "it has 2 bytes", oci.SHA256.FromString("five").String() + ": blob unknown"} {
		b.until("no log line "+want, func() bool { return strings.Contains(b.log.String(), want) })
	}
	// When it is replaced by a good one it is served.
	if err := os.Rename(filepath.Join(bad, blob), filepath.Join(bad, blob+".bad")); err != nil {
		t.Fatal(err)
	}
	archivetest.WriteFile(t, filepath.Join(bad, blob), []byte("three"))
	b.wait("usb/bad/app usb/fine usb/good/app")
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(realPath(t.TempDir()), "later")
	b := start(t, Options{Path: dir})
	b.wait("")
	writeLayout(t, filepath.Join(dir, "stick", "app"), "one")
	b.wait("usb/stick/app")
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{Path: "/media", Prefix: "USB"}); !errors.Is(err, oci.ErrNameInvalid) {
		t.Error(err)
	}
}
