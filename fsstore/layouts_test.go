package fsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// disk is a store over a directory.
type disk struct {
	*fsstore.Store
	t    *testing.T
	root string
	log  *bytes.Buffer
}

func openDisk(t *testing.T, opts fsstore.Options) *disk {
	t.Helper()
	d := &disk{t: t, root: opts.Root, log: new(bytes.Buffer)}
	opts.Log = slog.New(slog.NewTextHandler(d.log, nil))
	if opts.MinFree == 0 {
		opts.MinFree = 1
	}
	s, err := fsstore.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.Store = s
	return d
}

// write makes a file below the root.
func (d *disk) write(name, content string) {
	d.t.Helper()
	writeFile(d.t, filepath.Join(d.root, name), content)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// layout makes a layout as another program would, with one blob.
func (d *disk) layout(name string) {
	writeLayout(d.t, filepath.Join(d.root, name))
}

func writeLayout(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\"}\n")
	writeFile(t, filepath.Join(dir, "index.json"), indexOf("foreign"))
	writeFile(t, filepath.Join(dir, "blobs/sha256", digestOf(small).Encoded()), string(small))
}

func (d *disk) repos(after oci.Repo) (names []string) {
	d.t.Helper()
	err := d.WalkRepos(d.t.Context(), after, func(r oci.Repo) error {
		names = append(names, string(r))
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return names
}

func (d *disk) index(repo oci.Repo) (string, error) {
	content, _, err := d.LoadIndex(d.t.Context(), repo, "")
	return string(content), err
}

func TestForeignLayout(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	d.layout("made/elsewhere")
	if got, err := d.index("made/elsewhere"); err != nil || got != indexOf("foreign") {
		t.Errorf("index: %q, %v", got, err)
	}
	c, err := d.OpenBlob(t.Context(), "made/elsewhere", digestOf(small), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, _ := io.ReadAll(c); !bytes.Equal(got, small[10:]) {
		t.Error("wrong content")
	}
	f, base := c.(interface{ File() (*os.File, int64) }).File()
	if f == nil || base != 0 {
		t.Errorf("file %v, base %d", f, base)
	}
	if got := d.repos(""); !slices.Equal(got, []string{"made/elsewhere"}) {
		t.Errorf("repositories: %q", got)
	}
}

func TestRefusedLayouts(t *testing.T) {
	for name, spoil := range map[string]func(d *disk){
		"no oci-layout":   func(d *disk) { os.Remove(filepath.Join(d.root, "r/oci-layout")) },
		"unknown version": func(d *disk) { d.write("r/oci-layout", `{"imageLayoutVersion":"2.0.0"}`) },
		"no version":      func(d *disk) { d.write("r/oci-layout", `{}`) },
		"no JSON":         func(d *disk) { d.write("r/oci-layout", `imageLayoutVersion: 1.0.0`) },
	} {
		t.Run(name, func(t *testing.T) {
			d := openDisk(t, fsstore.Options{Root: t.TempDir()})
			d.layout("r")
			spoil(d)
			for range 3 {
				if _, err := d.index("r"); !errors.Is(err, oci.ErrNameUnknown) {
					t.Errorf("index: %v", err)
				}
				if _, err := d.StatBlob(t.Context(), "r", digestOf(small)); !errors.Is(err, oci.ErrBlobUnknown) {
					t.Errorf("blob: %v", err)
				}
			}
			if err := d.PutBlob(t.Context(), "r", digestOf(other), other); !errors.Is(err, oci.ErrNameUnknown) {
				t.Errorf("put: %v", err)
			}
			if n := strings.Count(d.log.String(), "repository is not served"); n != 1 {
				t.Errorf("logged %d times: %s", n, d.log)
			}
		})
	}
}

// TestReplacedLayout replaces a layout under the running store.
func TestReplacedLayout(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	d.layout("r")
	_, version, err := d.LoadIndex(t.Context(), "r", "")
	if err != nil {
		t.Fatal(err)
	}
	if content, same, err := d.LoadIndex(t.Context(), "r", version); content != nil || same != version || err != nil {
		t.Errorf("unchanged: %q, %v", content, err)
	}
	if err := os.RemoveAll(filepath.Join(d.root, "r")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.LoadIndex(t.Context(), "r", version); !errors.Is(err, oci.ErrNameUnknown) {
		t.Errorf("removed: %v", err)
	}
	d.layout("r")
	d.write("r/index.json", indexOf("replaced"))
	content, _, err := d.LoadIndex(t.Context(), "r", version)
	if string(content) != indexOf("replaced") || err != nil {
		t.Errorf("replaced: %q, %v", content, err)
	}
	if _, err := d.SwapIndex(t.Context(), "r", version, []byte(indexOf("late"))); !errors.Is(err, oci.ErrConflict) {
		t.Errorf("swap of an old version: %v", err)
	}
}

// TestVersionsDiffer replaces an index many times by others of one length.
func TestVersionsDiffer(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	seen := make(map[oci.Version]int)
	version := oci.Version("")
	for i := range 500 {
		var err error
		if version, err = d.SwapIndex(t.Context(), "r", version, []byte(indexOf(fmt.Sprintf("%04d", i)))); err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[version]; twice {
			t.Fatalf("states %d and %d have one version", before, i)
		}
		seen[version] = i
		if content, same, err := d.LoadIndex(t.Context(), "r", version); content != nil || same != version || err != nil {
			t.Fatalf("%d: version is not that of the file: %v", i, err)
		}
	}
}

// TestRemovedLayout makes a repository anew that somebody removed.
func TestRemovedLayout(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	for range 2 {
		if err := d.PutBlob(t.Context(), "r", digestOf(small), small); err != nil {
			t.Fatal(err)
		}
		if got := d.repos(""); !slices.Equal(got, []string{"r"}) {
			t.Errorf("repositories: %q", got)
		}
		if _, err := d.index("r"); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(filepath.Join(d.root, "r")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLayoutNamesAsComponents(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	names := []oci.Repo{"a", "a/blobs", "a/blobs/sha256", "a/index.json", "a/oci-layout", "blobs", "oci-layout/index.json"}
	for i, name := range names {
		if err := d.PutBlob(t.Context(), name, digestOf(small), small); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, version, err := d.LoadIndex(t.Context(), name, "")
		if err == nil {
			_, err = d.SwapIndex(t.Context(), name, version, []byte(indexOf(fmt.Sprint(i))))
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for i, name := range names {
		if got, err := d.index(name); got != indexOf(fmt.Sprint(i)) || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	want := make([]string, len(names))
	for i, name := range names {
		want[i] = string(name)
	}
	slices.Sort(want)
	if got := d.repos(""); !slices.Equal(got, want) {
		t.Errorf("repositories: %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(d.root, "a/_blobs/sha256/oci-layout")); err != nil {
		t.Error(err)
	}
}

// TestWalkOrder compares with sorted names, from any starting point.
func TestWalkOrder(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	rng := rand.New(rand.NewPCG(7, 7))
	parts := []string{"a", "b", "a-b", "a.b", "a_b", "a0", "a--b", "blobs", "0", "z"}
	names := make(map[string]bool)
	for len(names) < 150 {
		components := make([]string, 1+rng.IntN(4))
		for i := range components {
			components[i] = parts[rng.IntN(len(parts))]
		}
		name := strings.Join(components, "/")
		if _, err := oci.ParseRepo(name); err != nil {
			t.Fatal(err)
		}
		if _, err := d.SwapIndex(t.Context(), oci.Repo(name), "", []byte(indexOf(name))); err != nil && !names[name] {
			t.Fatal(name, err)
		}
		names[name] = true
	}
	for _, noise := range []string{".hidden/oci-layout", "Upper/oci-layout", "no-layout/x/y", "lost+found/oci-layout"} {
		d.write(noise, "{}")
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	afters := append([]string{"", "0", "a", "a-", "a/", "a/a", "b/blobs/z", "zzz", "~"}, sorted...)
	for _, after := range afters {
		var want []string
		for _, name := range sorted {
			if name > after {
				want = append(want, name)
			}
		}
		if got := d.repos(oci.Repo(after)); !slices.Equal(got, want) {
			t.Fatalf("after %q:\n%q, want\n%q", after, got, want)
		}
	}
}

func TestWalkStops(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	d.layout("a")
	d.layout("b")
	enough, n := errors.New("enough"), 0
	err := d.WalkRepos(t.Context(), "", func(oci.Repo) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d repositories, %v", n, err)
	}
}

// TestLinkedRepository serves a layout that lies elsewhere, and lists no
// repository below a link, which may lead in a circle.
func TestLinkedRepository(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	elsewhere := t.TempDir()
	writeLayout(t, elsewhere)
	if err := os.Symlink(elsewhere, filepath.Join(d.root, "linked")); err != nil {
		t.Fatal(err)
	}
	d.layout("own")
	if err := os.Symlink(d.root, filepath.Join(d.root, "own/circle")); err != nil {
		t.Fatal(err)
	}
	if got := d.repos(""); !slices.Equal(got, []string{"linked", "own"}) {
		t.Errorf("repositories: %q", got)
	}
	if err := d.LinkBlob(t.Context(), "linked", "to", digestOf(small)); err != nil {
		t.Error(err)
	}
	if info, err := d.StatBlob(t.Context(), "to", digestOf(small)); err != nil || info.Size != int64(len(small)) {
		t.Errorf("%v, %v", info, err)
	}
}

// TestPrivateLinkRefused does not work in a private directory elsewhere.
func TestPrivateLinkRefused(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(root, ".berth")); err != nil {
		t.Fatal(err)
	}
	s, err := fsstore.Open(fsstore.Options{Root: root})
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), ".berth") {
		t.Error(err)
	}
}

// late finds out that a file is missing, and then lets something happen.
type late struct {
	*simfs.FS
	path string
	then func()
}

func (l *late) Open(path string) (durable.File, error) {
	f, err := l.FS.Open(path)
	if then := l.then; then != nil && path == l.path && durable.IsMissing(err) {
		l.then = nil
		then()
	}
	return f, err
}

// A repository that somebody else makes between the look for its oci-layout and
// that at its index is no directory that lacks the file.
func TestRepositoryMadeMeanwhile(t *testing.T) {
	ctx, fs := t.Context(), &late{FS: simfs.New(time.Now), path: "a/oci-layout"}
	var log bytes.Buffer
	s, err := fsstore.Open(fsstore.Options{FS: fs, MinFree: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	fs.then = func() {
		if _, err := s.SwapIndex(ctx, "a", "", []byte(indexOf("first"))); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.SwapIndex(ctx, "a", "", []byte(indexOf("second"))); !errors.Is(err, oci.ErrConflict) {
		t.Errorf("SwapIndex: %v", err)
	}
	if index, _, err := s.LoadIndex(ctx, "a", ""); err != nil || string(index) != indexOf("first") {
		t.Errorf("LoadIndex: %s, %v", index, err)
	}
	if strings.Contains(log.String(), "not served") {
		t.Error(log.String())
	}
}
