package fsstore_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
	"berth/oci/registry"
	"berth/tasks/gc"
)

// litter is a world with an image in use and every kind of garbage beside it.
func litter(t *testing.T, commit bool) *world {
	w := newWorld(t, commit)
	w.image("a", "v1", "used")
	w.image("a", "", "untagged")
	w.image("b/c", "v1", "used") // its blobs are linked
	w.image("gone/d", "v1", "gone")
	reg := registry.New(w.Store, registry.Options{})
	err := errors.Join(
		reg.DeleteManifest(w.ctx(), "gone/d", oci.Reference{Tag: "v1"}),
		w.PutBlob(w.ctx(), "a", digestOf(other), other),
	)
	id, begun := w.CreateUpload(w.ctx(), "a", oci.SHA256)
	_, sent := w.AppendUpload(w.ctx(), "a", id, 0, strings.NewReader("what nobody goes on with"))
	if err := errors.Join(err, begun, sent); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	w.clock.advance(2 * time.Hour)
	return w
}

// image pushes an image of a config and a layer, by its digest where the tag
// is "".
func (w *world) image(repo oci.Repo, tag oci.Tag, name string) {
	w.t.Helper()
	reg := registry.New(w.Store, registry.Options{})
	var named []string
	for _, kind := range []string{"config", "layer"} {
		content := kind + " " + name
		d := digestOf([]byte(content))
		if err := reg.PushBlob(w.ctx(), repo, d, strings.NewReader(content)); err != nil {
			w.t.Fatal(err)
		}
		named = append(named, fmt.Sprintf(`{"mediaType":"application/x","digest":%q,"size":%d}`, d, len(content)))
	}
	content := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, oci.MediaTypeManifest, named[0], named[1]))
	ref := oci.Reference{Tag: tag}
	if tag == "" {
		ref.Digest = digestOf(content)
	}
	if _, err := reg.PushManifest(w.ctx(), repo, registry.ManifestPush{Ref: ref, Content: content}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) gc() (gc.Report, error) {
	return gc.New(gc.Options{
		Registry: registry.New(w.Store, registry.Options{}), Store: w.Store, Delay: time.Hour, Offline: true, Now: w.clock.now,
	}).Run(w.ctx(), nil, gc.Request{})
}

// whole pulls the images that are in use.
func (w *world) whole() {
	w.t.Helper()
	reg := registry.New(w.Store, registry.Options{})
	for _, repo := range []oci.Repo{"a", "b/c"} {
		m, err := reg.Manifest(w.ctx(), repo, oci.Reference{Tag: "v1"})
		if err != nil {
			w.t.Errorf("pull from %s: %v", repo, err)
			continue
		}
		_ = oci.References(m.Content, func(d oci.Descriptor, _ bool) {
			if w.read(key{repo, d.Digest}) == nil {
				w.t.Errorf("pull from %s: %s is not there", repo, d.Digest)
			}
		})
	}
	w.checkWalk()
	w.checkLayouts()
}

// clean collects what is left, and sees to it that nothing is then. What came
// back by a power cut is as young as that.
func (w *world) clean() {
	w.t.Helper()
	for range 2 {
		w.clock.advance(2 * time.Hour)
		if report, err := w.gc(); err != nil || report.Failed > 0 {
			w.t.Fatalf("collect: %+v, %v", report, err)
		}
	}
	blobs := 0
	err := w.WalkRepos(w.ctx(), "", func(repo oci.Repo) error {
		if repo != "a" && repo != "b/c" {
			w.t.Errorf("%s is left", repo)
		}
		return w.WalkBlobs(w.ctx(), repo, func(oci.Digest, oci.BlobInfo) error {
			blobs++
			return nil
		})
	})
	if err != nil || blobs != 6 {
		w.t.Errorf("%d blobs are left, %v", blobs, err)
	}
	_ = w.WalkUploads(w.ctx(), func(u oci.UploadInfo) error {
		w.t.Errorf("upload %s is left", u.ID)
		return nil
	})
	w.whole()
}

// changesOfGC is how many calls that change something a round makes.
func changesOfGC(t *testing.T, commit bool) int {
	t.Helper()
	w := litter(t, commit)
	w.fs.Fail(simfs.Fault{})
	report, err := w.gc()
	if err != nil || report.Items() != 9 { // 3 and 3 of images, one blob, an upload, a repository
		t.Fatalf("%+v, %v", report, err)
	}
	_, changes := w.fs.Calls()
	return changes
}

// TestPowerCutsWhileCollecting cuts the power at every call of a round that
// changes something.
func TestPowerCutsWhileCollecting(t *testing.T) {
	for _, commit := range []bool{true, false} {
		changes := changesOfGC(t, commit)
		for at := 1; at <= changes; at += stride {
			for _, loss := range simfs.Losses {
				t.Run(fmt.Sprintf("commit=%v/%d/%s", commit, at, loss), func(t *testing.T) {
					t.Parallel()
					w := litter(t, commit)
					w.fs.Fail(simfs.Fault{At: at, Err: simfs.ErrPowerCut, Done: at%2 == 0, Changes: true})
					_, _ = w.gc()
					w.crash(loss, uint64(at))
					w.whole()
					w.clean()
				})
			}
		}
	}
}

// TestFaultsWhileCollecting makes every call of a round fail.
func TestFaultsWhileCollecting(t *testing.T) {
	for _, commit := range []bool{true, false} {
		changes := changesOfGC(t, commit)
		for at := 1; at <= changes; at += stride {
			for _, f := range []simfs.Fault{
				{At: at, Err: syscall.ENOSPC, Changes: true}, {At: at, Err: syscall.ENOSPC, Changes: true, Sticky: true},
				{At: at, Err: syscall.EIO, Changes: true, Done: true}, {At: at * 3, Err: syscall.EIO, Sticky: true}, {At: at * 3, Err: syscall.EIO},
			} {
				t.Run(fmt.Sprintf("commit=%v/%+v", commit, f), func(t *testing.T) {
					t.Parallel()
					w := litter(t, commit)
					w.fs.Fail(f)
					_, _ = w.gc()
					w.fs.Fail(simfs.Fault{})
					w.whole()
					w.clean()
				})
			}
		}
	}
}

// TestFullWhileCollecting: garbage can be collected when there is no space.
func TestFullWhileCollecting(t *testing.T) {
	for _, commit := range []bool{true, false} {
		w := newWorld(t, commit)
		w.fs.SetCapacity(8 << 20)
		w.upkeep() // makes the reserve
		w.image("a", "v1", "used")
		w.image("a", "", "untagged")
		w.image("b/c", "v1", "used")
		space, err := w.fs.Space()
		if err != nil {
			t.Fatal(err)
		}
		w.fs.SetCapacity(space.Total - space.Free)
		w.clock.advance(2 * time.Hour)
		report, err := w.gc()
		if err != nil || report.Items() != 3 || report.Failed > 0 {
			t.Errorf("%+v, %v", report, err)
		}
		w.whole()
	}
}

// TestNothingIsWritten where there is nothing to collect.
func TestNothingIsWritten(t *testing.T) {
	for _, commit := range []bool{true, false} {
		w := litter(t, commit)
		w.clean()
		w.stop()
		w.start()
		w.clock.advance(2 * time.Hour)
		w.fs.Fail(simfs.Fault{})
		report, err := w.gc()
		if _, changes := w.fs.Calls(); err != nil || changes > 0 || report.Items() > 0 || report.Repositories != 2 {
			t.Errorf("%+v, %v, %d changes:\n%s", report, err, changes, strings.Join(w.fs.Log(), "\n"))
		}
	}
}

// TestLinkedGarbage: what shares its bytes with something that stays frees none.
func TestLinkedGarbage(t *testing.T) {
	w := newWorld(t, true)
	w.image("a", "v1", "used")
	w.image("b", "v1", "used")
	reg := registry.New(w.Store, registry.Options{})
	if err := reg.DeleteManifest(w.ctx(), "b", oci.Reference{Tag: "v1"}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(2 * time.Hour)
	report, err := w.gc()
	if err != nil || report.Bytes != 0 || report.Items() != 4 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := w.fs.Stat("b"); !durable.IsMissing(err) {
		t.Errorf("its directory: %v", err)
	}
}

var _ oci.Discarder = (*fsstore.Store)(nil)
