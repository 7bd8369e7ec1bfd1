package dedupe_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/fsstore"
	"berth/oci"
	"berth/tasks/dedupe"
)

// index is an index in memory.
type index struct {
	mu       sync.Mutex
	holders  map[oci.Digest][]oci.Repo
	complete bool
}

func (x *index) Holders(_ context.Context, d oci.Digest, most int) ([]oci.Repo, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]oci.Repo(nil), x.holders[d]...), nil
}

func (x *index) Add(_ context.Context, d oci.Digest, repos ...oci.Repo) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.holders == nil {
		x.holders = map[oci.Digest][]oci.Repo{}
	}
	x.holders[d] = append(x.holders[d], repos...)
	return nil
}

func (x *index) Remove(_ context.Context, d oci.Digest, repo oci.Repo) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var rest []oci.Repo
	for _, r := range x.holders[d] {
		if r != repo {
			rest = append(rest, r)
		}
	}
	x.holders[d] = rest
	return nil
}

func (x *index) Count(context.Context) (int64, error)   { return int64(len(x.holders)), nil }
func (x *index) Reset(context.Context) error            { return nil }
func (x *index) Complete(context.Context) (bool, error) { return x.complete, nil }
func (x *index) SetComplete(context.Context) error      { x.complete = true; return nil }

type root struct {
	t   testing.TB
	dir string
	*fsstore.Store
}

func open(t testing.TB, dir string, opts fsstore.Options) *root {
	t.Helper()
	opts.Root, opts.Dedupe, opts.MinFree = dir, true, 1
	s, err := fsstore.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &root{t, dir, s}
}

// layout writes a layout as another program would, its blobs with files of
// their own.
func layout(t testing.TB, dir, name string, blobs ...[]byte) {
	t.Helper()
	at := filepath.Join(dir, name)
	write := func(path string, content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(at, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		write(blobFile(dir, name, b), b)
	}
	write(filepath.Join(at, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`))
	write(filepath.Join(at, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// tick waits until what is written gets a later time than what was written: the
// clock of files goes on by some milliseconds at a time.
func tick(t testing.TB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	written := func() time.Time {
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for first := written(); !written().After(first); {
		time.Sleep(time.Millisecond)
	}
}

func blobFile(dir, name string, b []byte) string {
	return filepath.Join(dir, name, "blobs/sha256", oci.SHA256.FromBytes(b).Encoded())
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func (r *root) run(locations oci.Locations, opts dedupe.Options) dedupe.Report {
	r.t.Helper()
	report, err := dedupe.Run(context.Background(), r.Store, locations, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func blob(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("blob %d ", i)), 100) }

// TestEverythingIsLinked for stores that fit into memory and that do not.
func TestEverythingIsLinked(t *testing.T) {
	for _, entries := range []int{0, 3, 1} {
		dir := t.TempDir()
		for i := range 10 {
			layout(t, dir, fmt.Sprintf("repo%d", i), blob(i), blob(i+1), blob(100))
		}
		r := open(t, dir, fsstore.Options{})
		report := r.run(nil, dedupe.Options{Entries: entries})
		want := dedupe.Report{Repositories: 10, Blobs: 30, Linked: 18, BytesFreed: 9*700 + 9*int64(len(blob(100)))}
		if report != want {
			t.Errorf("entries %d: %+v, want %+v", entries, report, want)
		}
		for i := range 9 {
			if inode(t, blobFile(dir, fmt.Sprintf("repo%d", i), blob(i+1))) != inode(t, blobFile(dir, fmt.Sprintf("repo%d", i+1), blob(i+1))) {
				t.Errorf("blob %d is stored twice", i+1)
			}
		}
		if again := r.run(nil, dedupe.Options{}); again != (dedupe.Report{Unchanged: 10}) {
			t.Errorf("the second walk: %+v", again)
		}
		if again := r.run(nil, dedupe.Options{All: true}); again.Linked != 0 || again.Blobs != 30 {
			t.Errorf("asked for all: %+v", again)
		}
	}
}

// TestWrongCopies: what does not match its digest is linked to nothing, and
// what comes after it is linked nevertheless.
func TestWrongCopies(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		layout(t, dir, name, blob(1))
	}
	wrong := bytes.Clone(blob(1))
	wrong[5] ^= 1
	if err := os.WriteFile(blobFile(dir, "a", blob(1)), wrong, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blobFile(dir, "c", blob(1)), []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir, fsstore.Options{})
	if report := r.run(nil, dedupe.Options{}); report.Failed != 2 || report.Linked != 1 {
		t.Errorf("%+v", report)
	}
	if inode(t, blobFile(dir, "b", blob(1))) != inode(t, blobFile(dir, "d", blob(1))) {
		t.Error("the good copies stay apart")
	}
	for _, name := range []string{"b", "d"} {
		if got, _ := os.ReadFile(blobFile(dir, name, blob(1))); !bytes.Equal(got, blob(1)) {
			t.Errorf("%s has a wrong copy now", name)
		}
	}
}

// TestChangedOnly: with an index, only what has changed is looked into.
func TestChangedOnly(t *testing.T) {
	dir := t.TempDir()
	x := new(index)
	for i := range 5 {
		layout(t, dir, fmt.Sprintf("old/%d", i), blob(i))
	}
	r := open(t, dir, fsstore.Options{Locations: x})
	r.run(x, dedupe.Options{})
	if err := dedupe.Rebuild(r.Store)(t.Context(), func(d oci.Digest, repo oci.Repo) error { return x.Add(t.Context(), d, repo) }); err != nil {
		t.Fatal(err)
	}
	x.complete = true
	tick(t)
	layout(t, dir, "new", blob(3), blob(7))
	report := r.run(x, dedupe.Options{})
	if report.Repositories != 1 || report.Unchanged != 5 || report.Linked != 1 {
		t.Errorf("%+v", report)
	}
	if again := r.run(x, dedupe.Options{}); again != (dedupe.Report{Unchanged: 6}) {
		t.Errorf("then: %+v", again)
	}
	if got, _ := x.Holders(t.Context(), oci.SHA256.FromBytes(blob(7)), 0); len(got) != 1 {
		t.Errorf("the index was not told: %v", got)
	}
}

// cutting is a store whose context ends at the n-th link.
type cutting struct {
	dedupe.Store
	left int
	end  context.CancelFunc
	made []oci.Repo
}

func (c *cutting) Relink(ctx context.Context, d oci.Digest, from, to oci.Repo) (int64, error) {
	if c.left--; c.left == 0 {
		c.end()
	}
	c.made = append(c.made, to)
	return c.Store.Relink(ctx, d, from, to)
}

// TestResume: a run that was stopped is gone on with.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		layout(t, dir, fmt.Sprintf("repo%02d", i), blob(1), blob(2))
	}
	r := open(t, dir, fsstore.Options{})
	links := 0
	for stop := 5; ; stop += 3 {
		ctx, cancel := context.WithCancel(t.Context())
		c := &cutting{Store: r.Store, left: stop, end: cancel}
		report, err := dedupe.Run(ctx, c, nil, dedupe.Options{})
		links += int(report.Linked)
		cancel()
		if err == nil {
			break
		}
		if stop > 100 {
			t.Fatal("it does not end")
		}
	}
	if links != 38 {
		t.Errorf("%d links", links)
	}
	for i := range 20 {
		if inode(t, blobFile(dir, fmt.Sprintf("repo%02d", i), blob(2))) != inode(t, blobFile(dir, "repo00", blob(2))) {
			t.Errorf("repo%02d has a copy", i)
		}
	}
}

func TestProgressThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	layout(t, dir, "a", blob(1))
	layout(t, dir, "b", blob(1))
	r := open(t, dir, fsstore.Options{})
	for _, content := range []string{"", "{", `{"version":7,"since":"2100-01-01T00:00:00Z"}`, "\x00\x00"} {
		if err := r.SaveProgress([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if report := r.run(nil, dedupe.Options{Now: time.Now}); report.Blobs != 2 {
			t.Errorf("%q: %+v", content, report)
		}
	}
}
