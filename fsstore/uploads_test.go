package fsstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// TestUploadSurvivesKill goes on with a chunked upload after the process was
// killed, without reading again what had arrived.
func TestUploadSurvivesKill(t *testing.T) {
	for _, algorithm := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		for _, commit := range []bool{false, true} {
			w := newWorld(t, commit)
			id, err := w.CreateUpload(t.Context(), "a", algorithm)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < 30000; at += 10000 {
				if _, err := w.AppendUpload(t.Context(), "a", id, int64(at), bytes.NewReader(large[at:at+10000])); err != nil {
					t.Fatal(err)
				}
				w.crash(simfs.Nothing, 0)
			}
			w.fs.Fail(simfs.Fault{})
			d := algorithm.FromBytes(large)
			size, err := w.FinishUpload(t.Context(), "a", id, d, 30000, bytes.NewReader(large[30000:]))
			if err != nil || size != int64(len(large)) {
				t.Fatalf("%v: %d, %v", algorithm, size, err)
			}
			if reads := strings.Count(strings.Join(w.fs.Log(), "\n"), "read .berth/uploads"); commit && reads > 1 {
				t.Errorf("%d reads, only the side file's was expected", reads)
			}
			if got := w.read(key{"a", d}); !bytes.Equal(got, large) {
				t.Error("wrong content")
			}
		}
	}
}

// started is an upload of which n bytes have arrived.
func (w *world) started(n int) oci.UploadID {
	w.t.Helper()
	id, err := w.create("a")
	if err == nil {
		err = w.chunk("a", id, large[:n])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestTornUpload begins anew where the content of a session is not what had
// arrived.
func TestTornUpload(t *testing.T) {
	w := newWorld(t, false)
	id := w.started(10000)
	side := ".berth/uploads/" + w.uploadFile(id) + "=state"
	f, err := w.fs.Open(side)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil { // this much reached the medium
		t.Fatal(err)
	}
	w.crash(simfs.Data, 0)
	info, err := w.StatUpload(t.Context(), "a", id)
	if err != nil || info.Size != 0 {
		t.Errorf("%d bytes, %v", info.Size, err)
	}
	w.uploads[id] = upload{repo: "a"}
	if err := w.finish("a", id, large); err != nil {
		t.Error(err)
	}
	w.check(true)
}

// uploadFile is the name of a session's file.
func (w *world) uploadFile(id oci.UploadID) (found string) {
	_ = w.fs.ReadDir(".berth/uploads", func(name string, _ durable.Kind) error {
		if strings.HasPrefix(name, string(id)) && !strings.HasSuffix(name, "=state") && !strings.HasSuffix(name, "=loan") {
			found = name
		}
		return nil
	})
	return found
}

// TestLinkedUpload does not write to a file that has another name: it may be a
// blob.
func TestLinkedUpload(t *testing.T) {
	w := newWorld(t, true)
	id, err := w.create("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fs.Link(".berth/uploads/"+w.uploadFile(id), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	w.crash(simfs.Nothing, 0)
	if _, err := w.StatUpload(t.Context(), "a", id); !errors.Is(err, oci.ErrUploadUnknown) {
		t.Error(err)
	}
}

// TestAnotherAlgorithm finishes with a digest of another algorithm than the
// session's.
func TestAnotherAlgorithm(t *testing.T) {
	w := newWorld(t, false)
	id := w.started(10000)
	d := digest512(large)
	if _, err := w.FinishUpload(t.Context(), "a", id, d, 10000, bytes.NewReader(large[10000:])); err != nil {
		t.Fatal(err)
	}
	if got := w.read(key{"a", d}); !bytes.Equal(got, large) {
		t.Error("wrong content")
	}
}

// TestMismatch leaves a session as it was, also after a restart.
func TestMismatch(t *testing.T) {
	for _, at := range []int{0, 10000} {
		w := newWorld(t, true)
		id, err := w.create("a")
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 {
			if err := w.chunk("a", id, large[:at]); err != nil {
				t.Fatal(err)
			}
		}
		_, err = w.FinishUpload(t.Context(), "a", id, digestOf(large), int64(at), bytes.NewReader(small))
		var told *oci.Error
		if !errors.Is(err, oci.ErrDigestInvalid) || !errors.As(err, &told) || !strings.Contains(told.Message, string(digestOf(large))) {
			t.Fatalf("%v", err)
		}
		for range 2 {
			if info, err := w.StatUpload(t.Context(), "a", id); err != nil || info.Size != int64(at) {
				t.Errorf("%d bytes, %v; want %d", info.Size, err, at)
			}
			w.crash(simfs.Everything, 0)
		}
		if err := w.finish("a", id, large[at:]); err != nil {
			t.Error(err)
		}
		w.check(true)
	}
}

// TestManySessions has more sessions than stay open.
func TestManySessions(t *testing.T) {
	w := newWorld(t, false)
	var ids []oci.UploadID
	for range 200 {
		id, err := w.create("a")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if n := w.fs.OpenFiles(); n > 70 {
		t.Errorf("%d files are open", n)
	}
	for _, id := range ids {
		if err := w.chunk("a", id, large[:100]); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if err := w.finish("a", id, large[100:]); err != nil {
			t.Fatal(err)
		}
	}
	w.check(true)
	if n := w.fs.OpenFiles(); n > 0 {
		t.Errorf("%d files are open", n)
	}
}

// stuck is a body that yields a few bytes and then waits.
type stuck struct {
	reached chan struct{}
	release chan struct{}
	ends    error // how; nil: io.EOF
	sent    bool
}

func (r *stuck) Read(p []byte) (int, error) {
	if !r.sent {
		r.sent = true
		return copy(p, small[:100]), nil
	}
	close(r.reached)
	<-r.release
	if r.ends != nil {
		return 0, r.ends
	}
	return 0, io.EOF
}

// stick begins to finish an upload by a body that is stuck.
func (w *world) stick(r *stuck) (id oci.UploadID, done chan error) {
	w.t.Helper()
	id, err := w.create("a")
	if err != nil {
		w.t.Fatal(err)
	}
	done = make(chan error)
	go func() {
		_, err := w.FinishUpload(context.Background(), "a", id, digestOf(large), 0, r)
		done <- err
	}()
	<-r.reached
	return id, done
}

func newStuck() *stuck { return &stuck{reached: make(chan struct{}), release: make(chan struct{})} }

// TestStuckBody: while one request waits for its body, others are told so, the
// status is known, and a cancel frees the session.
func TestStuckBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		r := newStuck()
		id, done := w.stick(r)
		began := time.Now()
		if _, err := w.AppendUpload(t.Context(), "a", id, oci.AtEnd, nil); !errors.Is(err, oci.ErrRangeInvalid) {
			t.Errorf("second writer: %v", err)
		}
		if waited := time.Since(began); waited != oci.UploadPatience {
			t.Errorf("refused after %v", waited)
		}
		if _, err := w.StatUpload(t.Context(), "a", id); err != nil {
			t.Errorf("status: %v", err)
		}
		third := make(chan error)
		go func() {
			_, err := w.AppendUpload(t.Context(), "a", id, oci.AtEnd, nil)
			third <- err
		}()
		synctest.Wait()
		if err := w.CancelUpload(t.Context(), "a", id); err != nil {
			t.Errorf("cancel: %v", err)
		}
		if err := <-third; !errors.Is(err, oci.ErrUploadUnknown) {
			t.Errorf("a writer that waits while the upload is cancelled: %v", err)
		}
		if _, err := w.StatUpload(t.Context(), "a", id); !errors.Is(err, oci.ErrUploadUnknown) {
			t.Errorf("status after the cancel: %v", err)
		}
		close(r.release)
		if err := <-done; !errors.Is(err, oci.ErrUploadUnknown) {
			t.Errorf("the writer: %v", err)
		}
		if w.read(key{"a", digestOf(large)}) != nil || w.read(key{"a", digestOf(small[:100])}) != nil {
			t.Error("the cancelled upload became a blob")
		}
		if n := w.fs.OpenFiles(); n > 0 {
			t.Errorf("%d files are open", n)
		}
	})
}

// TestBackAtOnce: a client whose connection was cut is back before the request
// that it lost has ended, goes on, and finds what had arrived.
func TestBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		r := newStuck()
		r.ends = io.ErrUnexpectedEOF
		id, lost := w.stick(r)
		back := make(chan error)
		for range 2 { // one goes on, the other finds that it did
			go func() {
				_, err := w.FinishUpload(t.Context(), "a", id, digestOf(small), oci.AtEnd, bytes.NewReader(small[100:]))
				back <- err
			}()
		}
		time.Sleep(oci.UploadPatience / 2)
		close(r.release)
		if err := <-lost; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the request that was cut: %v", err)
		}
		one, other := <-back, <-back
		if one != nil {
			one, other = other, one
		}
		if one != nil || !errors.Is(other, oci.ErrUploadUnknown) {
			t.Errorf("back at once: %v, %v", one, other)
		}
	})
}

// TestPanickingBody does not leave the session busy.
func TestPanickingBody(t *testing.T) {
	w := newWorld(t, false)
	id, err := w.create("a")
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = w.AppendUpload(t.Context(), "a", id, 0, panicking{})
	}()
	if err := w.finish("a", id, small); err != nil {
		t.Error(err)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("body") }

// TestWindows pushes more than some windows, so that write-back and
// checkpoints happen; the process is killed in between.
func TestWindows(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	content := body(20<<20, "windows")
	id, err := d.CreateUpload(t.Context(), "r", oci.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	cut := errors.New("cut")
	_, err = d.AppendUpload(t.Context(), "r", id, 0, io.MultiReader(bytes.NewReader(content[:17<<20]), failing{cut}))
	if !errors.Is(err, cut) {
		t.Fatal(err)
	}
	root := abandon(t, d)
	d = openDisk(t, fsstore.Options{Root: root})
	info, err := d.StatUpload(t.Context(), "r", id)
	if err != nil || info.Size != 17<<20 {
		t.Fatalf("%d bytes, %v", info.Size, err)
	}
	if _, err := d.FinishUpload(t.Context(), "r", id, digestOf(content), info.Size, bytes.NewReader(content[info.Size:])); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(root, ".berth/uploads/*"))
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestLeftovers are removed by the upkeep: temporary files, side files of
// uploads that are gone. Uploads stay.
func TestLeftovers(t *testing.T) {
	d := openDisk(t, fsstore.Options{Root: t.TempDir()})
	id, err := d.CreateUpload(t.Context(), "r", oci.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	d.write(".berth/tmp/stale", "x")
	d.write(".berth/uploads/00000000-0000-4000-8000-000000000000.0000000000000000=state", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(d.root, ".berth/tmp")); len(left) > 0 {
		t.Errorf("tmp: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(d.root, ".berth/uploads")); len(left) != 2 {
		t.Errorf("uploads: %v", left)
	}
	var seen []oci.UploadInfo
	if err := d.WalkUploads(t.Context(), func(info oci.UploadInfo) error { seen = append(seen, info); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].ID != id || time.Since(seen[0].Modified) > time.Hour {
		t.Errorf("%v", seen)
	}
}

// TestUploadNames: whatever repository a session is for, its file tells.
func TestUploadNames(t *testing.T) {
	w := newWorld(t, true)
	repos := []oci.Repo{"a", "a/b-c/d__e.f", "0123456789abcdef", "x.state", oci.Repo(strings.Repeat("n", 212)), oci.Repo(strings.Repeat("n", 213)), oci.Repo(strings.Repeat("a/", 127) + "a")}
	want := map[oci.UploadID]oci.Repo{}
	for i, repo := range repos {
		id, err := w.create(repo)
		if err != nil {
			t.Fatal(err)
		}
		want[id] = repo
		if i%2 == 0 {
			if err := w.chunk(repo, id, small); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.crash(simfs.Everything, 0)
	w.upkeep()
	found := 0
	err := w.WalkUploads(t.Context(), func(info oci.UploadInfo) error {
		if found++; info.Repo != want[info.ID] {
			t.Errorf("session %s is of %q, want %q", info.ID, info.Repo, want[info.ID])
		}
		return w.CancelUpload(t.Context(), info.Repo, info.ID)
	})
	if err != nil || found != len(repos) {
		t.Errorf("%d sessions, %v", found, err)
	}
	w.upkeep()
	_ = w.fs.ReadDir(".berth/uploads", func(name string, _ durable.Kind) error {
		t.Errorf("%s is left", name)
		return nil
	})
}
