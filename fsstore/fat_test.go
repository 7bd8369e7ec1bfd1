package fsstore_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/fsstore/simfs"
	"berth/oci"
)

func fatWorld(t *testing.T, commit bool) *world {
	w := unopened(t, commit)
	w.fs.LikeFAT()
	w.start()
	return w
}

// TestWithoutLinks mounts by copying.
func TestWithoutLinks(t *testing.T) {
	for _, commit := range []bool{false, true} {
		w := fatWorld(t, commit)
		if err := existing(w); err != nil {
			t.Fatal(err)
		}
		for _, repo := range []oci.Repo{"b", "c/d", "b"} {
			if err := w.link("a", repo, small); err != nil {
				t.Errorf("%s: %v", repo, err)
			}
		}
		w.check(true)
		if left := w.tmpFiles(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if n := w.fs.OpenFiles(); n > 0 {
			t.Errorf("%d files are open", n)
		}
		w.stop()
		w.crash(simfs.Everything, 0)
		w.check(true)
	}
}

// TestCoarseTimes: two states of an index differ in their version where times
// count in two seconds.
func TestCoarseTimes(t *testing.T) {
	w := fatWorld(t, false)
	version, err := w.SwapIndex(t.Context(), "a", "", []byte(indexOf("0")))
	seen := map[oci.Version]bool{version: true}
	for i := 1; i < 10 && err == nil; i++ {
		if version, err = w.SwapIndex(t.Context(), "a", version, []byte(indexOf(fmt.Sprint(i)))); seen[version] {
			t.Errorf("state %d has the version of an earlier one", i)
		}
		seen[version] = true
		if content, _, err := w.LoadIndex(t.Context(), "a", version); content != nil || err != nil {
			t.Errorf("state %d: %q, %v", i, content, err)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPowerCutsOnFAT cuts the power at every call, where an index cannot be
// kept by a link.
func TestPowerCutsOnFAT(t *testing.T) {
	for _, op := range operations() {
		if op.name == "enforce" || op.name == "link copies" {
			continue // there is nothing that they could do
		}
		t.Run(strings.ReplaceAll(op.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			prepare := func() *world {
				w := fatWorld(t, false)
				if err := op.prepare(w); err != nil {
					t.Fatal(err)
				}
				w.stop()
				w.start()
				return w
			}
			w := prepare()
			w.fs.Fail(simfs.Fault{})
			if err := op.run(w); err != nil {
				t.Fatal(err)
			}
			_, changes := w.fs.Calls()
			for at := 1; at <= changes+1; at += stride {
				for _, loss := range simfs.Losses {
					w := prepare()
					w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Changes: true})
					_ = op.run(w)
					w.crash(loss, uint64(at))
					w.check(loss == simfs.Nothing)
					if err := op.run(w); err != nil {
						t.Errorf("again: %v", err)
					}
					if t.Failed() {
						t.Fatalf("cut at call %d, %v", at, loss)
					}
				}
			}
		})
	}
}
