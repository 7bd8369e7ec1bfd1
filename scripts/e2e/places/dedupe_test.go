package places

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// The same image pushed to two repositories lies there once, and each has its
// own: what one deletes, the others keep.
func TestOneCopy(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{})
	dedupesAgain(t, s, c, fixture.SimpleImage("first")) // a push waits for the index only for a while
	image := fixture.MultiArch("one-copy")
	c.Push("a/first", "v1", image)
	c.Push("b/second", "v1", image)
	wantShared(t, s.Dir("a/first"), s.Dir("b/second"), image)

	layer := image.Children[0].Children[1]
	mounting := wire.Request{Method: "POST", Path: wire.UploadsPath("c") + "?mount=" + layer.Desc.Digest.String() + "&from=a/first"}
	c.Do(mounting).Want(201)
	c.Push("c", "v1", image)
	wantShared(t, s.Dir("a/first"), s.Dir("c"), image)

	c.Delete(wire.BlobPath("a/first", layer.Desc.Digest)).Want(202)
	c.Get(wire.BlobPath("a/first", layer.Desc.Digest)).Want(404)
	c.PullWhole("b/second", "v1", image)
	c.PullWhole("c", "v1", image)
	c.Delete(wire.ManifestPath("b/second", image.Desc.Digest.String())).Want(202)
	c.PullWhole("c", "v1", image)
	c.PushBlob("a/first", layer)
	c.PullWhole("a/first", "v1", image)
	for _, repo := range []string{"a/first", "b/second", "c"} {
		check(t, s.Dir(repo))
	}
}

// With dedupe off, what is new is stored apart.
func TestDedupeOff(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: "storage.dedupe = false"})
	image := fixture.SimpleImage("apart")
	c.Push("a", "v1", image)
	c.Push("b", "v1", image)
	layer := image.Children[1].Desc
	one, err := inode(t, fixture.BlobPath(s.Dir("a"), layer))
	if err != nil {
		t.Fatal(err)
	}
	if other, err := inode(t, fixture.BlobPath(s.Dir("b"), layer)); err != nil || one == other {
		t.Errorf("both are file %d, %v", one, err)
	}
	if _, err := os.Stat(filepath.Join(s.Root, ".berth", "index")); err == nil {
		t.Error("there is a dedupe index")
	}
}

// What other tools stored apart is joined a while after the start, without a
// moment in which it cannot be pulled.
func TestBackground(t *testing.T) {
	t.Parallel()
	root, image := t.TempDir(), fixture.SimpleImage("background")
	layout(t, root+"/a", image)
	layout(t, root+"/b", image)
	// A copy that is damaged must not be linked to, nor taken for good.
	layout(t, root+"/0-bad", image)
	layer := image.Children[1]
	bad := fixture.BlobPath(root+"/0-bad", layer.Desc)
	if err := os.WriteFile(bad, make([]byte, len(layer.Content)), 0o644); err != nil {
		t.Fatal(err)
	}
	s, c := start(t, harness.Config{Root: root})
	harness.Eventually(t, "the repositories share what they hold", func() error {
		c.PullWhole("a", "v1", image)
		c.PullWhole("b", "v1", image)
		return shared(t, s.Dir("a"), s.Dir("b"), image)
	})
	check(t, s.Dir("a"))
	check(t, s.Dir("b"))
}

// berth dedupe does it at once, for every root, and not beside a server.
func TestDedupeVerb(t *testing.T) {
	t.Parallel()
	root, second, image := t.TempDir(), t.TempDir(), fixture.SimpleImage("verb")
	for _, dir := range []string{root + "/a", root + "/b/c", second + "/d", second + "/e"} {
		layout(t, dir, image)
	}
	file := harness.WriteFile(t, "berth.toml", fmt.Sprintf("storage.rootDirectory = %q\n[storage.subPaths.\"/two\"]\nrootDirectory = %q\n", root, second))
	verb := func() (string, error) {
		out, err := exec.Command(harness.Binary(t), "dedupe", file).CombinedOutput()
		return string(out), err
	}
	out, err := verb()
	if err != nil || strings.Count(out, "4 linked") != 2 || !strings.Contains(out, root+": 2 repositories") {
		t.Errorf("%v\n%s", err, out)
	}
	wantShared(t, root+"/a", root+"/b/c", image)
	wantShared(t, second+"/d", second+"/e", image)
	if out, err = verb(); err != nil || strings.Count(out, " 0 linked, 0 bytes freed") != 2 {
		t.Errorf("again: %v\n%s", err, out)
	}
	start(t, harness.Config{Root: root})
	if out, err = verb(); err == nil || !strings.Contains(out, "is in use by process") {
		t.Errorf("beside a server: %v\n%s", err, out)
	}
}

// dedupesAgain pushes an image to new repositories until one shares it with the
// one before.
func dedupesAgain(t *testing.T, s *harness.Server, c *wire.Client, image fixture.Node) {
	t.Helper()
	n := 0
	harness.Eventually(t, "pushes are deduped", func() error {
		n++
		repo := fmt.Sprintf("again/%d", n)
		c.Push(repo, "v1", image)
		c.PullWhole(repo, "v1", image)
		return shared(t, s.Dir(fmt.Sprintf("again/%d", n-1)), s.Dir(repo), image)
	})
}

// The index is a hint: nothing that happens to it between two starts loses
// anything.
func TestDamagedIndex(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"wiped":            func(t *testing.T, dir string) { remove(t, dir) },
		"database missing": func(t *testing.T, dir string) { remove(t, one(t, dir, "db-*")) },
		"state missing":    func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "state")) },
		"probe cut short":  func(t *testing.T, dir string) { write(t, filepath.Join(dir, "probing"), "1") },
		"manifest short":   func(t *testing.T, dir string) { truncate(t, one(t, dir, "db-*/MANIFEST")) },
		"tables cut": func(t *testing.T, dir string) {
			for _, path := range glob(t, dir, "db-*/*.sst") {
				truncate(t, path)
			}
		},
		"tables missing": func(t *testing.T, dir string) {
			for _, path := range glob(t, dir, "db-*/*.sst") {
				remove(t, path)
			}
		},
		"noise": func(t *testing.T, dir string) {
			for _, path := range glob(t, dir, "db-*/*") {
				write(t, path, strings.Repeat("noise", 999))
			}
		},
		"a file in its place": func(t *testing.T, dir string) {
			remove(t, dir)
			write(t, dir, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, image := t.TempDir(), fixture.SimpleImage("damaged "+name)
			s, c := start(t, harness.Config{Root: root})
			c.Push("old", "v1", image)
			c.Push("other", "v1", image)
			s.Stop()
			index := filepath.Join(root, ".berth", "index")
			if len(glob(t, index, "db-*")) != 1 {
				t.Fatal("no index was written: this test damages nothing")
			}
			damage(t, index)
			s, c = start(t, harness.Config{Root: root})
			c.PullWhole("old", "v1", image)
			if name == "a file in its place" {
				c.Push("new", "v1", image)
				c.PullWhole("new", "v1", image)
			} else {
				dedupesAgain(t, s, c, image)
			}
			c.PullWhole("other", "v1", image)
			s.Stop()
		})
	}
}

// A 32-bit binary that was built without the patch does without the index.
func TestUnpatched386(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{Binary: harness.Binary386(t)})
	image := fixture.SimpleImage("386")
	c.Push("a", "v1", image)
	c.Push("b", "v1", image)
	c.PullWhole("a", "v1", image)
	c.PullWhole("b", "v1", image)
	mounting := wire.Request{Method: "POST", Path: wire.UploadsPath("c") + "?mount=" + image.Children[1].Desc.Digest.String() + "&from=a"}
	c.Do(mounting).Want(201)
	s.Stop()
	if n := strings.Count(s.Log(), "without the dedupe index"); n != 1 {
		t.Errorf("it is said %d times that there is no index\n%s", n, s.Log())
	}
	check(t, s.Dir("a"))
	check(t, s.Dir("b"))
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	paths := glob(t, dir, pattern)
	if len(paths) != 1 {
		t.Fatalf("%s in %s is %v", pattern, dir, paths)
	}
	return paths[0]
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
