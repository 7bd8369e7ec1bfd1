package fsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// inode is which file a repository's blob is.
func (w *world) inode(repo oci.Repo, d oci.Digest) uint64 {
	w.t.Helper()
	info, err := w.fs.Stat(string(repo) + "/blobs/" + strings.Replace(string(d), ":", "/", 1))
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Inode
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

// wrote reports whether one of the calls since Fail wrote to a session.
func (w *world) wrote() bool {
	for _, call := range w.fs.Log() {
		if strings.HasPrefix(call, "write .berth/uploads/") {
			return true
		}
	}
	return false
}

// TestOneCopy: whichever way a blob comes, it is stored once, and not written
// where its digest is known before it comes.
func TestOneCopy(t *testing.T) {
	for _, commit := range []bool{false, true} {
		for _, restarted := range []bool{false, true} {
			w := newWorld(t, commit)
			w.must(w.push("a", large))
			if restarted {
				w.stop()
				w.start()
			}
			ways := map[oci.Repo]func() error{
				"pushed":  func() error { return w.push("pushed", large) },
				"put":     func() error { return w.put("put", large) },
				"chunked": func() error { return chunks(w, "chunked") },
				"mounted": func() error { return w.link("a", "mounted", large) },
			}
			for repo, way := range ways {
				w.fs.Fail(simfs.Fault{})
				w.must(way())
				if repo != "chunked" && w.wrote() {
					t.Errorf("%s: it was written:\n%s", repo, strings.Join(w.fs.Log(), "\n"))
				}
				if w.inode(repo, digestOf(large)) != w.inode("a", digestOf(large)) {
					t.Errorf("%s has a copy", repo)
				}
			}
			w.check(true)
			if left := w.tmpFiles(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		}
	}
}

// TestTwoAlgorithms: equal bytes under two algorithms are two blobs.
func TestTwoAlgorithms(t *testing.T) {
	w := newWorld(t, true)
	w.must(w.push("a", large), w.PutBlob(w.ctx(), "a", digest512(large), large))
	w.must(w.PutBlob(w.ctx(), "b", digest512(large), large))
	if w.inode("a", digestOf(large)) == w.inode("b", digest512(large)) {
		t.Error("one file stands for two digests")
	}
	if w.inode("a", digest512(large)) != w.inode("b", digest512(large)) {
		t.Error("sha512 is stored twice")
	}
}

// TestApart: without dedupe nothing is shared.
func TestApart(t *testing.T) {
	w := newWorld(t, true)
	w.stop()
	w.apart = true
	w.start()
	w.must(w.push("a", large), w.push("b", large), w.link("a", "c", large))
	if a, b, c := w.inode("a", digestOf(large)), w.inode("b", digestOf(large)), w.inode("c", digestOf(large)); a == b || a == c || b == c {
		t.Errorf("inodes %d, %d, %d", a, b, c)
	}
	if w.hints.asked > 0 {
		t.Error("the index was asked")
	}
	if err := w.LinkFrom(w.ctx(), "d", digestOf(large), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("LinkFrom: %v", err)
	}
}

// TestLinkLimit: a copy that has as many names as it can is followed by
// another one, to which the next links go.
func TestLinkLimit(t *testing.T) {
	w := newWorld(t, true)
	w.hints.lies = nil
	w.fs.LimitLinks(4, syscall.EMLINK)
	files := map[uint64]int{}
	for i := range 11 {
		repo := oci.Repo(fmt.Sprintf("r%d", i))
		if i%3 == 2 {
			w.must(w.link("r0", repo, large))
		} else {
			w.must(w.push(repo, large))
		}
		files[w.inode(repo, digestOf(large))]++
	}
	if len(files) != 3 {
		t.Errorf("names of each file: %v", files)
	}
	w.check(true)
}

// TestLinksRefused: on a file system without links everything works by copies,
// the log says so once, and no link is tried in vain again and again.
func TestLinksRefused(t *testing.T) {
	w := newWorld(t, true)
	w.stop()
	var log bytes.Buffer
	s, err := fsstore.Open(fsstore.Options{
		Root: "sim", FS: w.fs, Commit: true, MinFree: 4096, Now: w.clock.now, Dedupe: true, Locations: w.hints,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	w.must(err)
	w.Store = s
	w.fs.LimitLinks(1, syscall.EPERM)
	w.must(w.push("a", large), w.put("a", small), w.push("b", large), w.put("b", small), w.link("a", "c", large))
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
	w.fs.Fail(simfs.Fault{})
	w.must(w.push("d", large), w.link("a", "e", small))
	for _, call := range w.fs.Log() {
		if strings.HasPrefix(call, "link ") {
			t.Errorf("tried: %s", call)
		}
	}
	if _, err := w.Relink(w.ctx(), digestOf(large), "a", "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Relink: %v", err)
	}
	w.check(true)
}

// TestWithoutIndex: an index that fails costs nothing but space.
func TestWithoutIndex(t *testing.T) {
	w := newWorld(t, true)
	w.hints.err = oci.ErrNoHint
	w.must(w.push("a", large), w.push("b", large), w.put("c", large), w.link("a", "d", large), w.delete("a", large))
	w.check(true)
}

// TestHintsAreTidied: what was found wrong is forgotten, and so is what is
// deleted.
func TestHintsAreTidied(t *testing.T) {
	w := newWorld(t, true)
	w.hints.lies = nil
	d := digestOf(large)
	w.must(w.push("a", large), w.hints.Add(w.ctx(), d, "gone", "x/y"), w.push("b", large))
	if got := fmt.Sprint(w.hints.holders[d]); got != "[a b]" {
		t.Errorf("holders %s", got)
	}
	w.must(w.delete("a", large))
	if got := fmt.Sprint(w.hints.holders[d]); got != "[b]" {
		t.Errorf("holders %s", got)
	}
}

// cutBody fails after a part of what it has.
type cutBody struct{ io.Reader }

var errCut = errors.New("the client is gone")

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

// TestCutBody: what had arrived of a body that was only compared is kept.
func TestCutBody(t *testing.T) {
	w := newWorld(t, true)
	w.must(w.push("a", large))
	id, err := w.create("b")
	w.must(err)
	size, err := w.FinishUpload(w.ctx(), "b", id, digestOf(large), 0, cutBody{bytes.NewReader(large[:25000])})
	if !errors.Is(err, errCut) || size != 25000 {
		t.Errorf("%d bytes, %v", size, err)
	}
	if size, err = w.FinishUpload(w.ctx(), "b", id, digestOf(large), 25000, bytes.NewReader(large[25000:])); err != nil || size != int64(len(large)) {
		t.Errorf("then %d bytes, %v", size, err)
	}
	w.tried[key{"b", digestOf(large)}] = large
	w.check(true)
}

// TestWrongDigest: a body that is not what was announced leaves the session as
// it was, also where the announced content is stored.
func TestWrongDigest(t *testing.T) {
	w := newWorld(t, true)
	w.must(w.push("a", large))
	for _, wrong := range [][]byte{large[:100], append(bytes.Clone(large), 1), body(len(large), "else")} {
		id, err := w.create("b")
		w.must(err)
		if _, err := w.FinishUpload(w.ctx(), "b", id, digestOf(large), 0, bytes.NewReader(wrong)); !errors.Is(err, oci.ErrDigestInvalid) {
			t.Errorf("%v", err)
		}
		if info, err := w.StatUpload(w.ctx(), "b", id); err != nil || info.Size != 0 {
			t.Errorf("then %+v, %v", info, err)
		}
		w.must(w.finish("b", id, large), w.delete("b", large))
	}
	w.check(true)
}

// TestLinkFromAnotherRoot links to what another store has open.
func TestLinkFromAnotherRoot(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *fsstore.Store {
		s, err := fsstore.Open(fsstore.Options{Root: filepath.Join(dir, name), Dedupe: true, MinFree: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	one, two := open("one"), open("two")
	d := digestOf(large)
	file := func(root, repo string) string { return filepath.Join(dir, root, repo, "blobs/sha256", d.Encoded()) }
	link := func(offset int64, to oci.Repo) error {
		c, err := one.OpenBlob(t.Context(), "a", d, offset)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return two.LinkFrom(t.Context(), to, d, c)
	}
	if err := one.PutBlob(t.Context(), "a", d, large); err != nil {
		t.Fatal(err)
	}
	if err := link(10, "b"); err != nil {
		t.Fatal(err)
	}
	a, _ := os.Stat(file("one", "a"))
	b, err := os.Stat(file("two", "b"))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("not the same file, %v", err)
	}
	if err := os.Remove(file("one", "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("one", "a"), body(len(large), "wrong"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := link(0, "c"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("wrong content: %v", err)
	}
	if _, err := two.StatBlob(t.Context(), "c", d); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("it is there: %v", err)
	}
	if err := one.DeleteBlob(t.Context(), "a", d); err != nil {
		t.Fatal(err)
	}
}

// TestForeignCopyIsRead: what another program wrote is mounted only if it is
// what its name says.
func TestForeignCopyIsRead(t *testing.T) {
	w := newWorld(t, false)
	w.must(wrongCopy(w))
	if err := w.LinkBlob(w.ctx(), "a", "b", digestOf(large)); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("mounted: %v", err)
	}
	w.must(w.push("c", large), chunks(w, "d"), w.put("e", large))
	w.check(true)
}

// uploadNames lists what lies in .berth/uploads.
func (w *world) uploadNames() (names []string) {
	_ = w.fs.ReadDir(".berth/uploads", func(name string, _ durable.Kind) error {
		names = append(names, name)
		return nil
	})
	return names
}

// TestMovedHere: a directory of layouts that is moved into the root is news,
// however old what lies in it.
func TestMovedHere(t *testing.T) {
	elsewhere := t.TempDir()
	d := openDisk(t, fsstore.Options{Root: elsewhere, Dedupe: true})
	content := body(1000, "moved")
	if err := d.PutBlob(t.Context(), "org/team/app", digestOf(content), content); err != nil {
		t.Fatal(err)
	}
	before, err := d.BlobsChanged(t.Context(), "org/team/app")
	if err != nil {
		t.Fatal(err)
	}
	for !time.Now().After(before.Add(50 * time.Millisecond)) { // longer than a tick of the file system's clock
		time.Sleep(10 * time.Millisecond)
	}
	here := openDisk(t, fsstore.Options{Root: filepath.Join(filepath.Dir(elsewhere), "here"), Dedupe: true})
	if err := os.Rename(filepath.Join(elsewhere, "org"), filepath.Join(here.root, "org")); err != nil {
		t.Fatal(err)
	}
	if after, err := here.BlobsChanged(t.Context(), "org/team/app"); err != nil || !after.After(before) {
		t.Errorf("it had changed at %v, and after the move %v, %v", before, after, err)
	}
}
