package fsstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// leftName is a quarantine that a power cut interrupted: b's name of the
// damaged file is still there.
func leftName(t *testing.T) *world {
	t.Helper()
	w := scenes[0].set(t, true)
	if err := scrub(w); err != nil {
		t.Fatal(err)
	}
	blob := digestOf(large).Encoded()
	w.stop()
	if err := w.fs.Link(".berth/quarantine/sha256/"+blob, "b/blobs/sha256/"+blob); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestQuarantineLeavesNoName: a name of a damaged file that was not taken away
// is never served, not even where nothing can be written, and is taken away.
func TestQuarantineLeavesNoName(t *testing.T) {
	w := leftName(t)
	reader, err := fsstore.Open(fsstore.Options{FS: w.fs, ReadOnly: true, Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.StatBlob(w.ctx(), "b", digestOf(large)); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("read-only: %v", err)
	}
	if _, err := reader.OpenBlob(w.ctx(), "b", digestOf(large), 0); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("read-only: %v", err)
	}
	w.start()
	if got := w.read(key{"b", digestOf(large)}); got != nil {
		t.Error("the damaged file is served")
	}
	if err := w.link("b", "c", large); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("mount: %v", err)
	}
	w.upkeep()
	if _, err := w.fs.Lstat("b/blobs/sha256/" + digestOf(large).Encoded()); !durable.IsMissing(err) {
		t.Errorf("the name is there: %v", err)
	}
	w.checkHealed()
}

// TestPushOverALeftName: a push to a repository that still has the damaged
// file's name puts the good one there.
func TestPushOverALeftName(t *testing.T) {
	for name, push := range map[string]func(*world) error{
		"push": func(w *world) error { return w.push("b", large) },
		"put":  func(w *world) error { return w.put("b", large) },
	} {
		t.Run(name, func(t *testing.T) {
			w := leftName(t)
			w.start()
			if err := push(w); err != nil {
				t.Fatal(err)
			}
			for _, repo := range []oci.Repo{"a", "b"} {
				if !bytes.Equal(w.read(key{repo, digestOf(large)}), large) {
					t.Errorf("%s is not healed", repo)
				}
			}
		})
	}
}

// TestQuarantineResumes: what arrived shortly before a stop that came before it
// was given to those who need it, is given to them after the next start.
func TestQuarantineResumes(t *testing.T) {
	w := scenes[0].set(t, true)
	if err := scrub(w); err != nil {
		t.Fatal(err)
	}
	records := ".berth/quarantine/sha256/" + digestOf(large).Encoded() + ".json"
	record, _, err := durable.ReadFile(w.fs, records, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.push("n", large); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []oci.Repo{"a", "b"} {
		if err := w.DeleteBlob(w.ctx(), repo, digestOf(large)); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.WriteFile(w.fs, ".berth/tmp/x", records, record, true); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	end := time.Now().Add(2 * time.Minute)
	for w.read(key{"b", digestOf(large)}) == nil && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	running.Wait()
	w.checkHealed()
}

// TestRecordOfRepositoriesThatAreGone is dropped.
func TestRecordOfRepositoriesThatAreGone(t *testing.T) {
	w := scenes[0].set(t, true)
	if err := scrub(w); err != nil {
		t.Fatal(err)
	}
	w.stop()
	for _, repo := range []string{"a", "b"} {
		if err := errors.Join(w.fs.Remove(repo+"/oci-layout"), w.fs.Remove(repo+"/index.json")); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.upkeep()
	_ = w.fs.ReadDir(".berth/quarantine/sha256", func(name string, _ durable.Kind) error {
		t.Errorf("left: %s", name)
		return nil
	})
	if err := w.push("n", large); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []oci.Repo{"a", "b"} {
		if _, _, err := w.load(repo); !errors.Is(err, oci.ErrNameUnknown) {
			t.Errorf("%s is back: %v", repo, err)
		}
	}
}

// slowBody yields a part, waits, and yields the rest.
type slowBody struct {
	parts [][]byte
	wait  func()
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		if b.parts = b.parts[1:]; len(b.parts) == 1 {
			b.wait()
		}
	}
	return n, nil
}

func (b *slowBody) Remaining() int64 {
	n := 0
	for _, p := range b.parts {
		n += len(p)
	}
	return int64(n)
}

// TestNoLoanOfADamagedFile: an upload that is compared with a copy that is
// found damaged meanwhile does not bring that back. It fails, or stores its own
// bytes.
func TestNoLoanOfADamagedFile(t *testing.T) {
	w := newWorld(t, true)
	if err := errors.Join(w.push("a", large), w.swap("a", indexOf("a"))); err != nil {
		t.Fatal(err)
	}
	id, err := w.create("b")
	if err != nil {
		t.Fatal(err)
	}
	body := &slowBody{parts: [][]byte{bytes.Clone(large[:39000]), bytes.Clone(large[39000:])}, wait: func() {
		w.decay("a", large) // before where the body is now
		if q, err := w.QuarantineBlob(w.ctx(), "a", digestOf(large), "it decayed"); err != nil || len(q.Repos) != 1 {
			t.Errorf("%+v, %v", q, err)
		}
	}}
	_, err = w.FinishUpload(w.ctx(), "b", id, digestOf(large), 0, body)
	if got := w.read(key{"b", digestOf(large)}); err == nil && !bytes.Equal(got, large) || err != nil && got != nil {
		t.Errorf("%d bytes are there, error %v", len(got), err)
	}
	w.checkHealedIn("a")
}

// checkHealedIn pushes the content to another repository.
func (w *world) checkHealedIn(repo oci.Repo) {
	w.t.Helper()
	if err := w.push("n", large); err != nil {
		w.t.Error(err)
	}
	if !bytes.Equal(w.read(key{repo, digestOf(large)}), large) {
		w.t.Errorf("%s is not healed", repo)
	}
}

// TestDamagedFilesAreBounded: the newest are kept, for some days, and none
// while space is short; what heals is kept in any case.
func TestDamagedFilesAreBounded(t *testing.T) {
	w := scenes[0].set(t, true)
	if err := scrub(w); err != nil {
		t.Fatal(err)
	}
	if !w.damaged() {
		t.Fatal("the damaged file is not kept")
	}
	w.clock.advance(8 * 24 * time.Hour)
	w.upkeep()
	if w.damaged() {
		t.Error("the damaged file is kept for ever")
	}
	w.checkHealed()

	w = scenes[0].set(t, true)
	w.fs.SetCapacity(large0(w))
	if err := scrub(w); err != nil {
		t.Fatal(err)
	}
	if w.damaged() {
		t.Error("the damaged file is kept on a full medium")
	}
	w.fs.SetCapacity(1 << 30)
	w.checkHealed()
}

// large0 is a capacity at which hardly anything fits any more.
func large0(w *world) int64 {
	space, err := w.fs.Space()
	if err != nil {
		w.t.Fatal(err)
	}
	return space.Total - space.Free + 4096
}

// TestQuarantineOnDisk: the same on the operating system's files: what is read
// again is the medium's, truncated files and symbolic links are taken away too.
func TestQuarantineOnDisk(t *testing.T) {
	root := t.TempDir()
	s, err := fsstore.Open(fsstore.Options{Root: root, Commit: true, MinFree: 1, Dedupe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, d := t.Context(), digestOf(large)
	for _, repo := range []oci.Repo{"a", "a/b", "c"} {
		put := func() error { return s.LinkBlob(ctx, "a", repo, d) }
		if repo == "a" {
			put = func() error { return s.PutBlob(ctx, repo, d, large) }
		}
		err := put()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(repo string) string { return filepath.Join(root, repo, "blobs/sha256", d.Encoded()) }
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.Remove(at("c")), os.Link(at("a"), outside), os.Symlink(outside, at("c")), os.Truncate(at("a"), 17)); err != nil {
		t.Fatal(err)
	}
	q, err := s.QuarantineBlob(ctx, "a/b", d, "it is short")
	if err != nil || len(q.Repos) != 3 {
		t.Fatalf("%+v, %v", q, err)
	}
	for _, repo := range []oci.Repo{"a", "a/b", "c"} {
		if _, err := s.StatBlob(ctx, repo, d); !errors.Is(err, oci.ErrBlobUnknown) {
			t.Errorf("%s: %v", repo, err)
		}
	}
	if err := s.PutBlob(ctx, "n", d, large); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"a", "a/b", "c"} {
		if got, err := os.ReadFile(at(repo)); !bytes.Equal(got, large) {
			t.Errorf("%s: %d bytes, %v", repo, len(got), err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"digest":"sha256:x","repositories":["a","../b",""]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`[]`))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		w := newWorld(t, true)
		d := digestOf(large)
		dir := ".berth/quarantine"
		if err := errors.Join(w.fs.Mkdir(dir), w.fs.Mkdir(dir+"/sha256"), durable.WriteFile(w.fs, ".berth/tmp/x", dir+"/sha256/"+d.Encoded()+".json", content, true)); err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.start()
		if err := w.push("b", large); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.read(key{"b", d}), large) {
			t.Error("what was pushed is not there")
		}
		w.checkWalk()
	})
}

// TestNotesSurvive: a note in a directory of its own is whole, whatever happens.
func TestNotesSurvive(t *testing.T) {
	const name = "scrub/progress.json"
	w := newWorld(t, false)
	if note, err := w.LoadNote(name, 1000); note != nil || err != nil {
		t.Errorf("%q, %v", note, err)
	}
	notes := [][]byte{nil}
	for i := range 12 {
		note := bytes.Repeat([]byte{byte('a' + i)}, 500)
		w.fs.Fail(simfs.Fault{At: i + 1, Err: simfs.ErrPowerCut, Changes: true, Done: i%2 == 0})
		_ = w.SaveNote(name, note, true)
		notes = append(notes, note)
		w.crash(simfs.Losses[i%len(simfs.Losses)], uint64(i))
		got, err := w.LoadNote(name, 1000)
		known := func(n []byte) bool { return bytes.Equal(got, n) }
		if err != nil || !slices.ContainsFunc(notes, known) {
			t.Fatalf("after cut %d: %.20q of %d bytes, %v", i, got, len(got), err)
		}
	}
	if err := w.SaveNote(name, notes[1], true); err != nil {
		t.Fatal(err)
	}
	w.crash(simfs.Everything, 0)
	if got, err := w.LoadNote(name, 1000); err != nil || !bytes.Equal(got, notes[1]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := w.LoadNote(name, 100); len(got) > 0 || err != nil {
		t.Errorf("%d bytes over the limit, %v", len(got), err)
	}
}

func TestWalkUnserved(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	const layout, index = `{"imageLayoutVersion":"1.0.0"}`, `{"manifests":[]}`
	write("good/oci-layout", layout)
	write("good/index.json", index)
	write("no/layout/index.json", index)
	write("no/index/oci-layout", layout)
	write("bad/layout/oci-layout", "{")
	write("bad/layout/index.json", index)
	write("old/oci-layout", `{"imageLayoutVersion":"0.9"}`)
	write("old/index.json", index)
	write("cut/short/index.json", empty)
	write("neither/readme", "x")
	s, err := fsstore.Open(fsstore.Options{Root: root, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	err = s.WalkUnserved(t.Context(), func(repo oci.Repo, reason string) error {
		got = append(got, string(repo)+": "+reason)
		return nil
	})
	want := []string{
		"bad/layout: its oci-layout file is not valid",
		"no/index: its index.json is missing",
		"no/layout: its oci-layout file is missing",
		`old: its oci-layout file has version "0.9", known is 1.0.0`,
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v:\n%s", err, strings.Join(got, "\n"))
	}
}
