package fsstore_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"berth/fsstore"
	"berth/fsstore/simfs"
	"berth/oci"
)

// operation is a write operation whose every call is made to fail, and before
// whose every call the power is cut.
type operation struct {
	name    string
	prepare func(*world) error // settled before the operation
	run     func(*world) error // may be repeated
}

var (
	small = body(1000, "small")
	other = body(2000, "other")
	large = body(40000, "large")
)

func nothing(*world) error { return nil }

func existing(w *world) error {
	return errors.Join(w.put("a", small), w.swap("a", indexOf("first")))
}

func operations() []operation {
	return append(append(sharing(), recognising()...), []operation{
		{"put in a new repository", nothing, func(w *world) error { return w.put("x/y", small) }},
		{"put in a repository", existing, func(w *world) error { return w.put("a", other) }},
		{"put again", existing, func(w *world) error { return w.put("a", small) }},
		{"push in a new repository", nothing, func(w *world) error { return w.push("x/y", large) }},
		{"push in a repository", existing, func(w *world) error { return w.push("a", large) }},
		{"push again", existing, func(w *world) error { return w.push("a", small) }},
		{"chunks", existing, func(w *world) error { return chunks(w, "a") }},
		{"mount in a new repository", existing, func(w *world) error { return w.link("a", "b", small) }},
		{"mount again", func(w *world) error {
			return errors.Join(existing(w), w.link("a", "b", small))
		}, func(w *world) error { return w.link("a", "b", small) }},
		{"first index", nothing, func(w *world) error { return w.swap("n/m", indexOf("new")) }},
		{"index", existing, func(w *world) error {
			return firstError(w.swap("a", indexOf("second and longer")), w.swap("a", indexOf("third")))
		}},
		{"delete", existing, deleteSmall},
		{"remove a repository", emptied, removeRepo},
		{"remove a repository beside others", func(w *world) error {
			return errors.Join(emptied(w), w.put("x/y/z", small), w.put("x", small))
		}, removeRepo},
		{"push and tag", existing, func(w *world) error {
			return firstError(w.push("a", large), w.put("a", other), w.swap("a", indexOf("tagged")))
		}},
	}...)
}

// emptied leaves a repository that another tool made, and that holds nothing.
func emptied(w *world) error {
	return errors.Join(w.put("x/y", small), w.swap("x/y", indexOf("first")), w.delete("x/y", small))
}

// removeRepo removes it. Where only the answer got lost, it is gone.
func removeRepo(w *world) error {
	_, v, err := w.load("x/y")
	if err == nil {
		w.indexes["x/y"] = append(w.indexes["x/y"], empty, "")
		delete(w.acked, "x/y")
		w.settled["x/y"] = false
		err = w.DeleteRepo(w.ctx(), "x/y", v)
	}
	if errors.Is(err, oci.ErrNameUnknown) {
		err = nil
	}
	if err == nil {
		w.indexes["x/y"] = append(w.indexes["x/y"], "")
		if w.commit {
			w.indexes["x/y"], w.settled["x/y"] = []string{""}, true
		}
	}
	return err
}

// firstError is of calls that were all made.
func firstError(errs ...error) error { return errors.Join(errs...) }

func deleteSmall(w *world) error {
	err := w.delete("a", small)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return nil
	}
	return err
}

func chunks(w *world, repo oci.Repo) error {
	id, err := w.create(repo)
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := w.chunk(repo, id, large[i*10000:(i+1)*10000]); err != nil {
			return err
		}
	}
	return w.finish(repo, id, large[30000:])
}

// prepared is a world before an operation.
func prepared(t *testing.T, op operation, commit bool) *world {
	t.Helper()
	w := newWorld(t, commit)
	if err := op.prepare(w); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	return w
}

// calls is how many calls an operation makes.
func calls(t *testing.T, op operation, commit bool) (all, changes int) {
	t.Helper()
	w := prepared(t, op, commit)
	w.fs.Fail(simfs.Fault{})
	if err := op.run(w); err != nil {
		t.Fatal(err)
	}
	return w.fs.Calls()
}

func sweep(t *testing.T, test func(*testing.T, operation, bool)) {
	for _, op := range operations() {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/commit=%v", strings.ReplaceAll(op.name, " ", "_"), commit), func(t *testing.T) {
				t.Parallel()
				test(t, op, commit)
			})
		}
	}
}

// TestPowerCuts cuts the power at every call that changes something.
func TestPowerCuts(t *testing.T) {
	sweep(t, func(t *testing.T, op operation, commit bool) {
		_, changes := calls(t, op, commit)
		for at := 1; at <= changes+1; at += stride {
			for _, done := range []bool{false, true} {
				for _, loss := range simfs.Losses {
					seeds := 1
					if loss == simfs.Some {
						seeds = 3
					}
					for seed := range seeds {
						cut(t, op, commit, at, done, loss, uint64(seed))
					}
				}
			}
		}
	})
}

func cut(t *testing.T, op operation, commit bool, at int, done bool, loss simfs.Loss, seed uint64) {
	t.Helper()
	w := prepared(t, op, commit)
	w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Done: done, Changes: true})
	_ = op.run(w)
	log := w.fs.Log()
	w.crash(loss, seed)
	w.check(commit || loss == simfs.Nothing)
	w.checkUploads(commit || loss == simfs.Nothing)
	if err := op.run(w); err != nil {
		t.Errorf("again: %v", err)
	}
	w.check(commit)
	w.upkeep()
	if left := w.tmpFiles(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if t.Failed() {
		t.Fatalf("cut at call %d (done %v), %v, seed %d, after\n%s", at, done, loss, seed, strings.Join(log, "\n"))
	}
}

// TestFirstStart cuts the power while a root is opened for the first time, and
// after it; or kills the process and cuts the power during the next one.
func TestFirstStart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		for at := 1; at < 80; at++ {
			for _, loss := range simfs.Losses {
				w := unopened(t, true)
				if killed {
					w.fs.Fail(simfs.Fault{At: 1 + at%5, Err: simfs.ErrPowerCut, Done: true, Changes: true})
					_, _ = fsstore.Open(fsstore.Options{FS: w.fs, Commit: true})
					w.fs = w.fs.Continue()
				}
				w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Changes: true})
				if s, err := fsstore.Open(fsstore.Options{FS: w.fs, Commit: true, MinFree: 4096, Now: w.clock.now}); err == nil {
					w.Store = s
					if existing(w) == nil {
						_ = chunks(w, "a")
					}
				}
				w.crash(loss, uint64(at))
				w.check(true)
				w.checkUploads(true)
				if t.Failed() {
					t.Fatalf("cut at call %d, %v, killed before: %v", at, loss, killed)
				}
			}
		}
	}
}

// checkUploads goes on with each session and finishes it.
func (w *world) checkUploads(all bool) {
	w.t.Helper()
	for id, u := range w.uploads {
		info, err := w.StatUpload(w.ctx(), u.repo, id)
		if errors.Is(err, oci.ErrUploadUnknown) && !all {
			continue
		}
		if err != nil || all && info.Size < int64(len(u.content)) || info.Size > int64(len(large)) {
			w.t.Errorf("upload: %d bytes, %v; acknowledged were %d", info.Size, err, len(u.content))
			continue
		}
		w.uploads[id] = upload{u.repo, large[:info.Size]}
		if err := w.finish(u.repo, id, large[info.Size:]); err != nil {
			w.t.Errorf("finish after a restart at %d: %v", info.Size, err)
		}
	}
	clear(w.uploads)
}

// TestToldSurvives: what is told after a write that failed, at any call,
// survives a power cut, when the store commits.
func TestToldSurvives(t *testing.T) {
	sweep(t, func(t *testing.T, op operation, commit bool) {
		if !commit {
			return
		}
		_, changes := calls(t, op, commit)
		for at := 1; at <= changes; at += stride {
			for _, sticky := range []bool{false, true} {
				for _, done := range []bool{false, true} {
					told(t, op, simfs.Fault{At: at, Err: syscall.EIO, Done: done, Sticky: sticky, Changes: true})
				}
			}
		}
	})
}

func told(t *testing.T, op operation, f simfs.Fault) {
	t.Helper()
	w := prepared(t, op, true)
	w.fs.Fail(f)
	_ = op.run(w)
	w.fs.Fail(simfs.Fault{})
	w.blobs = make(map[key][]byte)
	for k := range w.tried {
		if content := w.read(k); content != nil {
			w.blobs[k] = content
		}
	}
	indexes := make(map[oci.Repo]string)
	for repo := range w.indexes {
		indexes[repo], _, _ = w.load(repo)
	}
	w.crash(simfs.Everything, 0)
	w.check(true)
	for repo, want := range indexes {
		if got, _, _ := w.load(repo); got != want {
			t.Errorf("the index of %s was %q, and after a power cut %q", repo, want, got)
		}
	}
	if t.Failed() {
		t.Fatalf("fault %+v", f)
	}
}

// checkInvisible sees to it that what failed is not there.
func (w *world) checkInvisible() {
	w.t.Helper()
	for k := range w.tried {
		if w.blobs[k] == nil && !w.doomed[k] && w.read(k) != nil {
			w.t.Errorf("blob %.20s of %s was refused and is there", k.digest, k.repo)
		}
	}
}

// TestFaults makes every call fail, with and without effect, once or from
// there on.
func TestFaults(t *testing.T) {
	sweep(t, func(t *testing.T, op operation, commit bool) {
		all, changes := calls(t, op, commit)
		for at := 1; at <= all; at += stride {
			fault(t, op, commit, simfs.Fault{At: at, Err: syscall.EIO})
			fault(t, op, commit, simfs.Fault{At: at, Err: syscall.EIO, Sticky: true})
		}
		for at := 1; at <= changes; at += stride {
			for _, sticky := range []bool{false, true} {
				fault(t, op, commit, simfs.Fault{At: at, Err: syscall.ENOSPC, Sticky: sticky, Changes: true})
			}
			fault(t, op, commit, simfs.Fault{At: at, Err: syscall.EIO, Done: true, Changes: true})
		}
	})
}

func fault(t *testing.T, op operation, commit bool, f simfs.Fault) {
	t.Helper()
	w := prepared(t, op, commit)
	w.fs.Fail(f)
	err := op.run(w)
	log := w.fs.Log()
	w.fs.Fail(simfs.Fault{})
	if err != nil && errors.Is(f.Err, syscall.ENOSPC) && !errors.Is(err, oci.ErrStorageFull) {
		t.Errorf("the error is not %v: %v", oci.ErrStorageFull, err)
	}
	w.check(true)
	if !f.Sticky {
		w.checkInvisible()
	}
	if err := op.run(w); err != nil {
		t.Errorf("again: %v", err)
	}
	clear(w.uploads)
	w.check(true)
	w.stop()
	if n := w.fs.OpenFiles(); n > 0 {
		t.Errorf("%d files are open", n)
	}
	w.crash(simfs.Everything, 0)
	w.check(true)
	w.upkeep()
	if left := w.tmpFiles(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if t.Failed() {
		t.Fatalf("fault %+v, error %v, after\n%s", f, err, strings.Join(log, "\n"))
	}
}
