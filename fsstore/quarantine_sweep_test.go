package fsstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// decay changes a blob's bytes on the medium, in every repository that shares
// the file.
func (w *world) decay(repo oci.Repo, content []byte) {
	w.t.Helper()
	f, err := w.fs.OpenWrite(string(repo) + "/blobs/sha256/" + digestOf(content).Encoded())
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("rot"), 10)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// scene is a blob that decayed, in some repositories.
type scene struct {
	name string
	fat  bool // without hard links: each repository has a file of its own
	copy bool // repository "c" has a good one
}

var scenes = []scene{{name: "links"}, {name: "links and a copy", copy: true}, {name: "copies", fat: true}}

func (sc scene) set(t *testing.T, commit bool) *world {
	t.Helper()
	w := newWorld(t, commit)
	if sc.fat {
		w.fs.LikeFAT()
	}
	if err := errors.Join(w.push("a", large), w.link("a", "b", large), w.swap("a", indexOf("a")), w.swap("b", indexOf("b"))); err != nil {
		t.Fatal(err)
	}
	if sc.copy {
		w.stop()
		w.apart = true
		w.start()
		if err := w.push("c", large); err != nil {
			t.Fatal(err)
		}
		w.apart = false
	}
	w.stop()
	w.decay("a", large)
	if sc.fat {
		w.decay("b", large)
	}
	w.clock.advance(time.Hour) // no stop makes it suspect
	w.start()
	return w
}

// scrub takes away what a scrub would find in a and b.
func scrub(w *world) error {
	for _, repo := range []oci.Repo{"a", "b"} {
		_, err := w.QuarantineBlob(w.ctx(), repo, digestOf(large), "it decayed")
		if err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
	}
	return nil
}

// damaged tells whether the file lies in quarantine.
func (w *world) damaged() bool {
	_, err := w.fs.Lstat(".berth/quarantine/sha256/" + digestOf(large).Encoded())
	return err == nil
}

// checkDecayed sees to it that a blob that was moved to quarantine is served
// wrong by nobody who shared it.
func (w *world) checkDecayed(sc scene) {
	w.t.Helper()
	for _, repo := range []oci.Repo{"a", "b"} {
		got := w.read(key{repo, digestOf(large)})
		if wrong := got != nil && !bytes.Equal(got, large); wrong && w.damaged() && !sc.fat {
			w.t.Errorf("%s is served with wrong bytes, which lie in quarantine too", repo)
		}
	}
}

// checkHealed scrubs, pushes the content to another repository, and sees to it
// that all have it, and that nothing of the quarantine is left.
func (w *world) checkHealed() {
	w.t.Helper()
	if err := scrub(w); err != nil {
		w.t.Errorf("scrub: %v", err)
	}
	for _, repo := range []oci.Repo{"a", "b"} {
		if got := w.read(key{repo, digestOf(large)}); got != nil && !bytes.Equal(got, large) {
			w.t.Errorf("%s is served with wrong bytes after a scrub", repo)
		}
	}
	if err := w.push("n", large); err != nil {
		w.t.Errorf("push: %v", err)
	}
	for _, repo := range []oci.Repo{"a", "b", "n"} {
		if !bytes.Equal(w.read(key{repo, digestOf(large)}), large) {
			w.t.Errorf("%s is not healed", repo)
		}
		if why, err := w.QuarantineReason(w.ctx(), repo, digestOf(large)); why != "" || err != nil {
			w.t.Errorf("%s: %q, %v", repo, why, err)
		}
	}
	w.upkeep()
	_ = w.fs.ReadDir(".berth/quarantine/sha256", func(name string, _ durable.Kind) error {
		w.t.Errorf("left in quarantine: %s", name)
		return nil
	})
	if left := w.tmpFiles(); len(left) > 0 {
		w.t.Errorf("left: %v", left)
	}
}

func healByPush(w *world) error { return w.push("n", large) }

// sweepScenes runs a test for each scene, of taking away and of healing.
func sweepScenes(t *testing.T, test func(t *testing.T, prepare func(*testing.T) *world, sc scene, run func(*world) error, commit bool)) {
	for _, sc := range scenes {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/commit=%v", strings.ReplaceAll(sc.name, " ", "_"), commit), func(t *testing.T) {
				t.Parallel()
				test(t, func(t *testing.T) *world { return sc.set(t, commit) }, sc, scrub, commit)
			})
			if sc.copy {
				continue // it heals by itself
			}
			t.Run(fmt.Sprintf("heal_%s/commit=%v", sc.name, commit), func(t *testing.T) {
				t.Parallel()
				test(t, func(t *testing.T) *world {
					w := sc.set(t, commit)
					if err := scrub(w); err != nil {
						t.Fatal(err)
					}
					return w
				}, sc, healByPush, commit)
			})
		}
	}
}

// TestQuarantinePowerCuts cuts the power at every call that changes something.
func TestQuarantinePowerCuts(t *testing.T) {
	sweepScenes(t, func(t *testing.T, prepare func(*testing.T) *world, sc scene, run func(*world) error, _ bool) {
		changes := callsOf(t, prepare(t), run, true)
		for at := 1; at <= changes+1; at += stride {
			for _, done := range []bool{false, true} {
				for i := range 2 { // each call meets two kinds of loss, its neighbours others
					loss := simfs.Losses[(2*at+i)%len(simfs.Losses)]
					w := prepare(t)
					w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Done: done, Changes: true})
					_ = run(w)
					log := w.fs.Log()
					w.crash(loss, uint64(at))
					w.checkDecayed(sc)
					w.checkHealed()
					if t.Failed() {
						t.Fatalf("cut at call %d (done %v), %v, after\n%s", at, done, loss, strings.Join(log, "\n"))
					}
				}
			}
		}
	})
}

// callsOf is how many calls an operation makes, or how many changes.
func callsOf(t *testing.T, w *world, run func(*world) error, changes bool) int {
	t.Helper()
	w.fs.Fail(simfs.Fault{})
	if err := run(w); err != nil {
		t.Fatal(err)
	}
	all, changing := w.fs.Calls()
	if changes {
		return changing
	}
	return all
}

// TestQuarantineFaults makes every call fail, on a full medium and on one that
// cannot be read, once or from there on.
func TestQuarantineFaults(t *testing.T) {
	sweepScenes(t, func(t *testing.T, prepare func(*testing.T) *world, sc scene, run func(*world) error, _ bool) {
		try := func(f simfs.Fault) {
			w := prepare(t)
			w.fs.Fail(f)
			err := run(w)
			log := w.fs.Log()
			w.fs.Fail(simfs.Fault{})
			if w.read(key{"a", digestOf(large)}) != nil && errors.Is(err, oci.ErrBlobUnknown) {
				t.Errorf("what is there is unknown: %v", err)
			}
			w.checkDecayed(sc)
			w.stop()
			if n := w.fs.OpenFiles(); n > 0 {
				t.Errorf("%d files are open", n)
			}
			w.start()
			w.checkDecayed(sc)
			w.checkHealed()
			if t.Failed() {
				t.Fatalf("fault %+v, error %v, after\n%s", f, err, strings.Join(log, "\n"))
			}
		}
		all, changes := callsOf(t, prepare(t), run, false), callsOf(t, prepare(t), run, true)
		for at := 1; at <= all; at += 3 * stride {
			try(simfs.Fault{At: at, Err: syscall.EIO})
			try(simfs.Fault{At: at + 1, Err: syscall.EIO, Sticky: true})
		}
		for at := 1; at <= changes; at += stride {
			try(simfs.Fault{At: at, Err: syscall.ENOSPC, Changes: true, Sticky: at%2 == 0})
			try(simfs.Fault{At: at, Err: syscall.EIO, Done: true, Changes: true})
		}
	})
}

// TestSoundStaysInFaults: whatever fails while a good blob is suspected, it is
// not condemned.
func TestSoundStaysInFaults(t *testing.T) {
	for at := 1; at < 40; at++ {
		for _, sticky := range []bool{false, true} {
			w := newWorld(t, true)
			if err := errors.Join(w.push("a", large), w.link("a", "b", large)); err != nil {
				t.Fatal(err)
			}
			w.fs.Fail(simfs.Fault{At: at, Err: syscall.EIO, Sticky: sticky})
			q, err := w.QuarantineBlob(w.ctx(), "a", digestOf(large), "a rumour")
			w.fs.Fail(simfs.Fault{})
			if len(q.Repos) > 0 || err == nil && !q.Sound {
				t.Errorf("call %d, sticky %v: %+v, %v", at, sticky, q, err)
			}
			w.check(true)
		}
	}
}
