package fsstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/simfs"
	"berth/oci"
)

// TestSecondProcess is refused by name of the first.
func TestSecondProcess(t *testing.T) {
	root := t.TempDir()
	first := openDisk(t, fsstore.Options{Root: root})
	_, err := fsstore.Open(fsstore.Options{Root: root})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), root) {
		t.Fatalf("second: %v", err)
	}
	first.layout("r")
	reader := openDisk(t, fsstore.Options{Root: root, ReadOnly: true})
	if _, err := reader.index("r"); err != nil {
		t.Errorf("read-only beside it: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openDisk(t, fsstore.Options{Root: root})
}

func TestMissingRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "deep/down")
	if s, err := fsstore.Open(fsstore.Options{Root: root, ReadOnly: true}); err == nil {
		s.Close()
		t.Error("a read-only store made its root")
	}
	d := openDisk(t, fsstore.Options{Root: root})
	if err := d.PutBlob(t.Context(), "r", digestOf(small), small); err != nil {
		t.Error(err)
	}
}

// TestReadOnly makes no call that changes the medium, and refuses writes.
func TestReadOnly(t *testing.T) {
	w := newWorld(t, false)
	if err := existing(w); err != nil {
		t.Fatal(err)
	}
	id, err := w.create("a")
	if err != nil {
		t.Fatal(err)
	}
	w.fs = w.fs.Crash(simfs.Nothing, 0) // what was written is suspect now
	s, err := fsstore.Open(fsstore.Options{FS: w.fs, ReadOnly: true, Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	w.fs.Fail(simfs.Fault{})
	w.Store = s
	w.check(true)
	ctx := t.Context()
	_, swap := s.SwapIndex(ctx, "a", "", nil)
	_, create := s.CreateUpload(ctx, "a", oci.SHA256)
	_, app := s.AppendUpload(ctx, "a", id, 0, bytes.NewReader(small))
	_, finish := s.FinishUpload(ctx, "a", id, digestOf(nil), 0, nil)
	for name, err := range map[string]error{
		"put": s.PutBlob(ctx, "a", digestOf(other), other), "link": s.LinkBlob(ctx, "a", "b", digestOf(small)),
		"delete": s.DeleteBlob(ctx, "a", digestOf(small)), "swap": swap, "create": create, "append": app,
		"finish": finish, "cancel": s.CancelUpload(ctx, "a", id),
	} {
		if !errors.Is(err, oci.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.upkeep()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, changes := w.fs.Calls(); changes > 0 {
		t.Errorf("%d changes:\n%s", changes, strings.Join(w.fs.Log(), "\n"))
	}
}

// TestReadOnlyMedium goes on without writing where the medium refuses it.
func TestReadOnlyMedium(t *testing.T) {
	w := newWorld(t, false)
	if err := existing(w); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.fs.Fail(simfs.Fault{At: 1, Err: syscall.EROFS, Sticky: true, Changes: true})
	w.start()
	if !w.ReadOnly() {
		t.Error("not read-only")
	}
	w.check(true)
	if err := w.PutBlob(t.Context(), "a", digestOf(other), other); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
}

// TestRemountedReadOnly finds a medium read-only that was not at the start.
func TestRemountedReadOnly(t *testing.T) {
	w := newWorld(t, true)
	w.fs.Fail(simfs.Fault{At: 1, Err: syscall.EROFS, Sticky: true, Changes: true})
	if err := w.put("a", small); !errors.Is(err, oci.ErrReadOnly) {
		t.Error(err)
	}
}

// TestBlobOfAnotherProgram: a blob that somebody else put in place is durable
// once berth has acknowledged it.
func TestBlobOfAnotherProgram(t *testing.T) {
	for name, push := range map[string]func(*world) error{
		"put":  func(w *world) error { return w.put("a", other) },
		"push": func(w *world) error { return w.push("a", other) },
	} {
		w := newWorld(t, true)
		if err := existing(w); err != nil {
			t.Fatal(err)
		}
		f, err := w.fs.Create("a/blobs/sha256/" + digestOf(other).Encoded())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(other, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := push(w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.crash(simfs.Everything, 0)
		w.check(true)
	}
}

// TestConcurrent pushes, mounts, deletes and reads one blob at once, with each
// acknowledgement checked.
func TestConcurrent(t *testing.T) {
	for _, commit := range []bool{false, true} {
		w := newWorld(t, commit)
		d := digestOf(large)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				repo := oci.Repo([]string{"a", "b"}[i%2])
				for range 30 {
					concurrently(t, w.Store, repo, d, i)
				}
			})
		}
		wg.Wait()
		w.checkWalk()
		if n := w.fs.OpenFiles(); n > 0 {
			t.Errorf("%d files are open", n)
		}
	}
}

func concurrently(t *testing.T, s *fsstore.Store, repo oci.Repo, d oci.Digest, kind int) {
	ctx := context.Background()
	var err error
	switch kind / 2 {
	case 0:
		var id oci.UploadID
		if id, err = s.CreateUpload(ctx, repo, oci.SHA256); err == nil {
			_, err = s.FinishUpload(ctx, repo, id, d, 0, bytes.NewReader(large))
		}
	case 1:
		err = s.PutBlob(ctx, repo, d, large)
	case 2:
		if err = s.LinkBlob(ctx, "a", "b", d); errors.Is(err, oci.ErrBlobUnknown) {
			err = nil
		}
		if deleted := s.DeleteBlob(ctx, repo, d); deleted != nil && !errors.Is(deleted, oci.ErrBlobUnknown) {
			err = errors.Join(err, deleted)
		}
	case 3:
		err = readWhole(ctx, s, repo, d)
	}
	if err != nil {
		t.Errorf("kind %d: %v", kind, err)
	}
}

func readWhole(ctx context.Context, s *fsstore.Store, repo oci.Repo, d oci.Digest) error {
	c, err := s.OpenBlob(ctx, repo, d, 0)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(content, large) {
		err = errors.New("wrong content")
	}
	return err
}

// TestSwapRace lets many swap from one version: one wins.
func TestSwapRace(t *testing.T) {
	w := newWorld(t, false)
	version, err := w.SwapIndex(t.Context(), "a", "", []byte(indexOf("first")))
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 16)
	for range cap(results) {
		go func() {
			_, err := w.SwapIndex(context.Background(), "a", version, []byte(indexOf("next")))
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, oci.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// TestFullMedium refuses pushes above the last bytes, and deletes always work.
func TestFullMedium(t *testing.T) {
	for _, commit := range []bool{false, true} {
		w := newWorld(t, commit)
		if err := errors.Join(existing(w), w.put("a", other)); err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.start()
		w.fs.SetCapacity(1 << 30)
		w.upkeep() // makes the reserve
		space, _ := w.fs.Space()
		used := space.Total - space.Free
		w.fs.SetCapacity(used + 5000) // the floor is 4096
		if err := w.push("a", large); !errors.Is(err, oci.ErrStorageFull) {
			t.Errorf("push: %v", err)
		}
		if err := w.put("b", large); !errors.Is(err, oci.ErrStorageFull) {
			t.Errorf("put: %v", err)
		}
		w.check(true)
		w.fs.SetCapacity(used - 1000) // somebody else took the rest
		if err := w.swap("a", indexOf("del")); err != nil {
			t.Errorf("delete from the index: %v", err)
		}
		if err := w.delete("a", other); err != nil {
			t.Errorf("delete of a blob: %v", err)
		}
		w.check(true)
		w.fs.SetCapacity(1 << 30)
		w.clock.advance(time.Minute)
		w.upkeep()
		if _, err := w.fs.Stat(".berth/reserve"); err != nil {
			t.Errorf("the reserve was not made anew: %v", err)
		}
		if err := w.push("a", large); err != nil {
			t.Errorf("push: %v", err)
		}
		w.check(true)
	}
}
