package ops

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// refusesWrites fails the test unless every kind of write gets 405 and a message.
func refusesWrites(t *testing.T, c *wire.Client, image fixture.Node) {
	t.Helper()
	layer := image.Children[1].Desc.Digest
	for _, r := range []wire.Request{
		{Method: "POST", Path: wire.UploadsPath("app")},
		{Method: "POST", Path: wire.UploadsPath("fresh")},
		{Method: "POST", Path: wire.UploadsPath("fresh") + "?mount=" + layer.String() + "&from=app"},
		{Method: "POST", Path: wire.UploadsPath("app") + "?digest=" + layer.String(), Bytes: image.Children[1].Content},
		wire.ManifestRequest("app", "v2", image),
		{Method: "DELETE", Path: wire.ManifestPath("app", "v1")},
		{Method: "DELETE", Path: wire.ManifestPath("app", image.Desc.Digest.String())},
		{Method: "DELETE", Path: wire.BlobPath("app", layer)},
	} {
		a := c.Do(r).WantError(405, "UNSUPPORTED", "DENIED")
		if !strings.Contains(string(a.Body), "read-only") {
			t.Errorf("%s %s: the message does not say read-only: %s", r.Method, r.Path, a.Body)
		}
	}
	c.PullWhole("app", "v1", image)
	c.Get("/v2/app/tags/list").Want(200)
	c.Get("/v2/_catalog").Want(200)
	c.Get("/v2/app/referrers/" + image.Desc.Digest.String()).Want(200)
}

// snapshot tells everything about a tree that a write would change.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	mutation  = regexp.MustCompile(`^\d+ +(mkdir|mkdirat|unlink|unlinkat|rename|renameat|renameat2|link|linkat|symlink|symlinkat|rmdir|creat|truncate|ftruncate|fallocate|utimensat|fsync|fdatasync|syncfs|chmod|fchmod|fchmodat|chown|fchown|fchownat|setxattr|fsetxattr)\(`)
	writeOpen = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE`)
	writing   = regexp.MustCompile(`^\d+ +(write|pwrite64|writev|copy_file_range|sendfile)\(\d+<([^>]*)>`)
)

// --read-only: "no write at all, not even a lock file". strace is the witness.
func TestReadOnlyFlag(t *testing.T) {
	t.Parallel()
	image := fixture.SimpleImage("readonly")
	root := rootWith(t, "app", image)
	before := snapshot(t, root)
	trace := filepath.Join(t.TempDir(), "trace")
	_, c := start(t, harness.Config{Root: root, Args: []string{"--read-only"}, Wrap: traced(t, trace)})
	refusesWrites(t, c, image)
	if after := snapshot(t, root); after != before {
		t.Errorf("the root was\n%sand is\n%s", before, after)
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		calls += writesNothing(t, root, lines.Text())
	}
	if calls == 0 {
		t.Error("strace saw no call in the root: this test looks in the wrong place")
	}
}

// traced is a command that writes down which calls could change files.
func traced(t *testing.T, trace string) []string {
	return []string{
		harness.Tool(t, "strace"), "-f", "-y", "-qq", "-s", "8",
		"-e", "trace=%file,write,pwrite64,writev,ftruncate,fallocate,fsync,fdatasync,syncfs,fchmod,fchown,fsetxattr,copy_file_range,sendfile", "-o", trace,
	}
}

// writesNothing fails the test where a line of a trace is a write below root,
// and counts it where it is about something there.
func writesNothing(t *testing.T, root, line string) int {
	t.Helper()
	if !strings.Contains(line, root) {
		return 0
	}
	if m := writing.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[2], root) {
		return 1 // out of the root, to a socket
	}
	if mutation.MatchString(line) || writing.MatchString(line) || strings.Contains(line, "open") && writeOpen.MatchString(line) {
		t.Errorf("a write in the root: %s", line)
	}
	return 1
}

// A medium that cannot be written to is served without being told.
func TestReadOnlyMedium(t *testing.T) {
	t.Parallel()
	image := fixture.SimpleImage("medium")
	root := rootWith(t, "app", image)
	_, c := start(t, harness.Config{Root: root, Wrap: harness.InMounts(root, `mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"`)})
	refusesWrites(t, c, image)
}
