package background

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// scrubbed is what came of one berth scrub.
type scrubbed struct {
	exit  int
	rows  map[string]string // "repository tag" -> "status blob"
	table string
	notes string
}

// scrub runs berth scrub.
func scrub(t *testing.T, args ...string) scrubbed {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append([]string{"scrub"}, args...)...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	s := scrubbed{exit: cmd.ProcessState.ExitCode(), table: out.String(), notes: notes.String(), rows: map[string]string{}}
	lines := strings.Split(strings.TrimSpace(s.table), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "REPOSITORY TAG STATUS BLOB ERROR" {
		t.Fatalf("the table begins with %q; exit %d\n%s", got, s.exit, s.notes)
	}
	for _, line := range lines[1:] {
		if at := strings.Index(lines[0], "STATUS"); line[at-1] != ' ' {
			t.Errorf("the columns are not aligned:\n%s", s.table)
		}
		f := strings.Fields(line)
		s.rows[f[0]+" "+f[1]] = f[2] + " " + f[3]
	}
	return s
}

// want compares the exit status and the rows.
func (s scrubbed) want(t *testing.T, exit int, rows map[string]string) {
	t.Helper()
	if s.exit != exit {
		t.Errorf("exit %d, want %d", s.exit, exit)
	}
	for name, want := range rows {
		if s.rows[name] != want {
			t.Errorf("%s is %q, want %q", name, s.rows[name], want)
		}
	}
	if len(s.rows) != len(rows) {
		t.Errorf("%d rows, want %d", len(s.rows), len(rows))
	}
	if t.Failed() {
		t.Fatalf("%s%s", s.table, s.notes)
	}
}

// decay flips a bit of a blob on the disk.
func decay(t *testing.T, layout string, n fixture.Node) {
	t.Helper()
	path := fixture.BlobPath(layout, n.Desc)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// layers are an image with a layer of some size, and that layer.
func layers(seed string) (image, layer fixture.Node) {
	layer = fixture.Layer(seed, 3<<20)
	return fixture.Image(fixture.Options{}, layer, fixture.Layer(seed+" small", 1000)), layer
}

// share mounts a blob, so that two repositories have one file.
func share(c *wire.Client, n fixture.Node, from, to string) {
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath(to) + "?mount=" + n.Desc.Digest.String() + "&from=" + from}).Want(201)
}

// A blob that two repositories share decays while the server runs: both lose
// it, and a push to a third one heals both.
func TestScrubOnline(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image, layer := layers("online")
	sound := fixture.SimpleImage("sound")
	c.Push("a", "v1", image)
	c.Push("a", "v2", sound)
	share(c, layer, "a", "b/c")
	c.Push("b/c", "v1", image)
	c.Push("b/c", "v2", sound)
	ok := map[string]string{"a v1": "ok -", "a v2": "ok -", "b/c v1": "ok -", "b/c v2": "ok -"}
	scrub(t, "--root", s.Root).want(t, 0, ok)

	decay(t, s.Dir("a"), layer)
	lost := "affected " + layer.Desc.Digest.String()
	damaged := map[string]string{"a v1": lost, "a v2": "ok -", "b/c v1": lost, "b/c v2": "ok -"}
	scrub(t, "--root", s.Root).want(t, 1, damaged)
	for _, repo := range []string{"a", "b/c"} {
		c.Get(wire.BlobPath(repo, layer.Desc.Digest)).WantError(404, "BLOB_UNKNOWN")
		c.Head(wire.BlobPath(repo, layer.Desc.Digest)).Want(404)
		c.PullWhole(repo, "v2", sound)
	}
	if log := s.Log(); !strings.Contains(log, layer.Desc.Digest.String()) {
		t.Errorf("the log does not name the blob:\n%s", log)
	}
	scrub(t, "--root", s.Root).want(t, 1, damaged) // it is still missing
	report, err := os.ReadFile(s.Root + "/.berth/scrub/report.json")
	if err != nil || !strings.Contains(string(report), layer.Desc.Digest.String()) {
		t.Errorf("the report: %v\n%s", err, report)
	}

	c.PushBlob("third", layer)
	for _, repo := range []string{"a", "b/c"} {
		c.PullWhole(repo, "v1", image)
	}
	scrub(t, "--root", s.Root).want(t, 0, ok)
	s.Stop()
	left, err := filepath.Glob(s.Root + "/.berth/quarantine/*/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left in quarantine: %v, %v", left, err)
	}
}

// A manifest that decays is not served from memory either.
func TestScrubManifest(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("manifest")
	c.Push("a", "v1", image)
	c.PullWhole("a", "v1", image)
	decay(t, s.Dir("a"), image)
	scrub(t, "--root", s.Root).want(t, 1, map[string]string{"a v1": "affected " + image.Desc.Digest.String()})
	c.Get(wire.ManifestPath("a", "v1")).WantError(404, "MANIFEST_UNKNOWN")
	c.Push("b", "v1", image)
	c.PullWhole("a", "v1", image)
}

// Without a server: it is only told what is damaged, then taken away, and what
// is pushed when the server is back heals.
func TestScrubOffline(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	image, layer := layers("offline")
	c.Push("a", "v1", image)
	share(c, layer, "a", "b")
	c.Push("b", "v1", image)
	s.Stop()
	decay(t, s.Dir("b"), layer)
	lost := "affected " + layer.Desc.Digest.String()
	damaged := map[string]string{"a v1": lost, "b v1": lost}
	scrub(t, "--root", s.Root, "--read-only").want(t, 1, damaged)
	if _, err := os.Stat(fixture.BlobPath(s.Dir("a"), layer.Desc)); err != nil {
		t.Errorf("--read-only has changed something: %v", err)
	}
	scrub(t, "--root", s.Root).want(t, 1, damaged)
	for _, repo := range []string{"a", "b"} {
		if _, err := os.Stat(fixture.BlobPath(s.Dir(repo), layer.Desc)); !os.IsNotExist(err) {
			t.Errorf("%s still has it: %v", repo, err)
		}
	}

	s = harness.Start(t, harness.Config{Root: s.Root})
	c = wire.New(t, s.URL())
	c.Get(wire.BlobPath("a", layer.Desc.Digest)).WantError(404, "BLOB_UNKNOWN")
	c.Push("n", "v1", image)
	for _, repo := range []string{"a", "b", "n"} {
		c.PullWhole(repo, "v1", image)
	}
	scrub(t, "--root", s.Root).want(t, 0, map[string]string{"a v1": "ok -", "b v1": "ok -", "n v1": "ok -"})
}

// One layout that somebody else made is scrubbed where it lies, and nothing is
// written to it.
func TestScrubOneLayout(t *testing.T) {
	t.Parallel()
	root := t.TempDir() + "/app"
	image, layer := layers("layout")
	if err := fixture.WriteLayout(root, map[string]fixture.Node{"v1": image}); err != nil {
		t.Fatal(err)
	}
	scrub(t, "--root", root).want(t, 0, map[string]string{"app v1": "ok -"})
	decay(t, root, layer)
	scrub(t, "--root", root).want(t, 1, map[string]string{"app v1": "affected " + layer.Desc.Digest.String()})
	for _, name := range []string{root + "/.berth", root + "/quarantine"} {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(fixture.BlobPath(root, layer.Desc)); err != nil {
		t.Error(err)
	}
}

// A subpath's repositories have the names that clients use.
func TestScrubSubPath(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	s := harness.Start(t, harness.Config{File: "[storage.subPaths.\"/usb\"]\nrootDirectory = \"" + other + "\"\n"})
	c := wire.New(t, s.URL())
	image, layer := layers("subpath")
	c.Push("a", "v1", image)
	c.Push("usb/a", "v1", image)
	decay(t, other+"/a", layer)
	file := harness.WriteFile(t, "same.toml", "[storage]\nrootDirectory = \""+s.Root+"\"\n[storage.subPaths.\"/usb\"]\nrootDirectory = \""+other+"\"\n")
	scrub(t, file).want(t, 1, map[string]string{"a v1": "ok -", "usb/a v1": "affected " + layer.Desc.Digest.String()})
	c.Get(wire.BlobPath("usb/a", layer.Desc.Digest)).WantError(404, "BLOB_UNKNOWN")
	c.PullWhole("a", "v1", image)
	c.Push("usb/b", "v1", image)
	c.PullWhole("usb/a", "v1", image)
}
