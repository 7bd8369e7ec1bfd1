package fsstore_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/simfs"
	"berth/oci"
)

// blobFile is where a blob lies.
func blobFile(root string, repo oci.Repo, d oci.Digest) string {
	return filepath.Join(root, string(repo), "blobs", string(d.Algorithm()), d.Encoded())
}

// abandon leaves a root as a process that was killed does: it copies it while
// the store is open.
func abandon(t *testing.T, d *disk) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.CopyFS(root, os.DirFS(d.root)); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestTornBlob finds a blob whose content did not reach the medium: it is
// removed, and can be pushed again. What is whole is examined once.
func TestTornBlob(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	for _, content := range [][]byte{small, other} {
		if err := d.PutBlob(t.Context(), "r", digestOf(content), content); err != nil {
			t.Fatal(err)
		}
	}
	root := abandon(t, d)
	torn := blobFile(root, "r", digestOf(small))
	if err := os.WriteFile(torn, make([]byte, len(small)), 0o644); err != nil {
		t.Fatal(err)
	}
	d = openDisk(t, fsstore.Options{Root: root})
	if _, err := d.OpenBlob(t.Context(), "r", digestOf(small), 0); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("torn: %v", err)
	}
	if _, err := os.Stat(torn); !os.IsNotExist(err) {
		t.Errorf("the torn file: %v", err)
	}
	if _, err := d.StatBlob(t.Context(), "r", digestOf(other)); err != nil {
		t.Errorf("whole: %v", err)
	}
	info, err := os.Stat(blobFile(root, "r", digestOf(other)))
	if err != nil || time.Since(info.ModTime()) < 2*time.Second {
		t.Errorf("whole, its time: %v, %v", info.ModTime(), err)
	}
	if err := d.PutBlob(t.Context(), "r", digestOf(small), small); err != nil {
		t.Errorf("push again: %v", err)
	}
	if _, err := d.StatBlob(t.Context(), "r", digestOf(small)); err != nil {
		t.Error(err)
	}
}

// TestExaminedOnce: after one examination, and after a restart, the content is
// not read again.
func TestExaminedOnce(t *testing.T) {
	w := newWorld(t, false)
	if err := w.put("a", large); err != nil {
		t.Fatal(err)
	}
	k := key{"a", digestOf(large)}
	w.crash(simfs.Nothing, 0)
	reads := func() (n int) {
		w.fs.Fail(simfs.Fault{})
		if _, err := w.StatBlob(t.Context(), k.repo, k.digest); err != nil {
			t.Fatal(err)
		}
		for _, call := range w.fs.Log() {
			if call == "read a/blobs/sha256/"+k.digest.Encoded() {
				n++
			}
		}
		return n
	}
	if reads() == 0 {
		t.Error("not examined")
	}
	if n := reads(); n != 0 {
		t.Errorf("examined again in %d reads", n)
	}
	w.crash(simfs.Nothing, 0)
	if n := reads(); n != 0 {
		t.Errorf("examined again after a restart in %d reads", n)
	}
}

// TestSettled: what was settled before the power went is whole, and is not
// suspect.
func TestSettled(t *testing.T) {
	w := newWorld(t, false)
	if err := existing(w); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(31 * time.Second)
	w.upkeep()
	for repo, index := range w.acked {
		w.indexes[repo], w.settled[repo] = []string{index}, true
	}
	w.crash(simfs.Everything, 0)
	w.check(true)
}

// TestSettledBetweenWrites cuts the power after writes on both sides of a
// settling.
func TestSettledBetweenWrites(t *testing.T) {
	for _, loss := range simfs.Losses {
		for seed := range uint64(10) {
			w := newWorld(t, false)
			if err := existing(w); err != nil {
				t.Fatal(err)
			}
			id, err := w.create("a")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.chunk("a", id, large[:1000]); err != nil {
				t.Fatal(err)
			}
			w.clock.advance(31 * time.Second)
			w.upkeep()
			for repo, index := range w.acked {
				w.indexes[repo], w.settled[repo] = []string{index}, true
			}
			before := w.blobs
			w.blobs = map[key][]byte{}
			if err := errors.Join(w.finish("a", id, large[1000:]), w.put("a", other), w.swap("a", indexOf("2")), w.swap("a", indexOf("3"))); err != nil {
				t.Fatal(err)
			}
			w.crash(loss, seed)
			w.check(false)
			w.blobs = before
			for k := range before {
				if w.read(k) == nil {
					t.Errorf("%v: a settled blob is lost", loss)
				}
			}
		}
	}
}

// TestClockJumps moves the clock between writes; a torn blob is found at any
// time.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-365 * 24 * time.Hour, -time.Hour, -time.Second, time.Minute, time.Hour, 20 * 365 * 24 * time.Hour} {
		for _, after := range []time.Duration{0, -jump, -time.Hour, time.Hour} {
			w := newWorld(t, false)
			if err := w.put("a", small); err != nil {
				t.Fatal(err)
			}
			w.clock.advance(jump)
			if err := errors.Join(w.put("a", other), w.push("b", large)); err != nil {
				t.Fatal(err)
			}
			w.clock.advance(after)
			w.crash(simfs.Data, 0)
			w.check(false)
			if err := errors.Join(w.put("a", small), w.put("a", other), w.push("b", large)); err != nil {
				t.Fatal(err)
			}
			w.check(true)
			w.stop()
			w.crash(simfs.Everything, 0)
			w.check(true)
		}
	}
}

// TestManyUncleanStops keeps what each of them left suspect.
func TestManyUncleanStops(t *testing.T) {
	w := newWorld(t, false)
	for i := range 100 {
		content := body(500, string(rune('a'+i)))
		if err := w.put("a", content); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(time.Hour)
		w.crash(simfs.Data, 0)
	}
	w.check(false)
}

// TestUnreadableState suspects everything, and serves what is whole.
func TestUnreadableState(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	for _, content := range [][]byte{small, other} {
		if err := d.PutBlob(t.Context(), "r", digestOf(content), content); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.write(".berth/state.json", "\x00\x00\x00")
	if err := os.WriteFile(blobFile(d.root, "r", digestOf(small)), make([]byte, len(small)), 0o644); err != nil {
		t.Fatal(err)
	}
	d = openDisk(t, fsstore.Options{Root: d.root})
	if _, err := d.StatBlob(t.Context(), "r", digestOf(small)); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("torn: %v", err)
	}
	if _, err := d.StatBlob(t.Context(), "r", digestOf(other)); err != nil {
		t.Errorf("whole: %v", err)
	}
}

// TestCommitAfterwards: a root that was used without commit is still checked
// when it is opened with.
func TestCommitAfterwards(t *testing.T) {
	for _, loss := range simfs.Losses {
		for seed := range uint64(5) {
			w := newWorld(t, false)
			if err := errors.Join(existing(w), w.push("b", large)); err != nil {
				t.Fatal(err)
			}
			w.commit = true
			w.crash(loss, seed)
			w.check(false)
			w.blobs = map[key][]byte{}
			if err := errors.Join(w.put("a", small), w.push("b", large)); err != nil {
				t.Fatal(err)
			}
			w.crash(simfs.Everything, seed)
			w.check(true)
		}
	}
}

// TestKilledThenCut: a process is killed before it made a blob durable. The
// next one, which commits, finds it, and it is durable before anything is
// built on it.
func TestKilledThenCut(t *testing.T) {
	w := newWorld(t, true)
	w.fs.Fail(simfs.Fault{Changes: true})
	if err := w.put("a", small); err != nil {
		t.Fatal(err)
	}
	_, changes := w.fs.Calls()
	for at := 1; at <= changes; at++ {
		w := newWorld(t, true)
		w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Changes: true})
		_ = w.put("a", small)
		w.fs = w.fs.Continue() // the process is gone, the machine goes on
		w.start()
		found := w.read(key{"a", digestOf(small)}) != nil
		if err := w.swap("a", indexOf("built on it")); err != nil {
			t.Fatal(err)
		}
		w.crash(simfs.Everything, 0)
		if found && w.read(key{"a", digestOf(small)}) == nil {
			t.Errorf("cut at %d: what was told to be there is lost", at)
		}
		w.check(true)
	}
}

// TestExaminedThenCut: a process is killed, the next one finds what it wrote in
// memory still, examines it, and then the power goes.
func TestExaminedThenCut(t *testing.T) {
	for _, loss := range simfs.Losses {
		w := newWorld(t, false)
		if err := w.push("a", large); err != nil {
			t.Fatal(err)
		}
		w.fs = w.fs.Continue()
		w.start()
		if w.read(key{"a", digestOf(large)}) == nil {
			t.Error("a whole blob is gone")
		}
		w.crash(loss, 0)
		w.check(false)
	}
}

// TestExaminationHeedsContext stops reading when nobody waits any more.
func TestExaminationHeedsContext(t *testing.T) {
	w := newWorld(t, false)
	if err := w.put("a", large); err != nil {
		t.Fatal(err)
	}
	w.crash(simfs.Nothing, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.OpenBlob(ctx, "a", digestOf(large), 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c, err := w.OpenBlob(t.Context(), "a", digestOf(large), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); n != int64(len(large)) || err != nil {
		t.Error(n, err)
	}
}
