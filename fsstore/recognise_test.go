package fsstore_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"berth/fsstore/simfs"
	"berth/oci"
)

// long has more than two strides.
var long = body(600_000, "long")

// look asks for a blob that is not there, as a client does before it pushes.
func (w *world) look(repo oci.Repo, content []byte) error {
	if _, err := w.StatBlob(w.ctx(), repo, digestOf(content)); err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
		return err
	}
	return nil
}

// calls counts the calls since Fail on paths that begin with prefix, side files
// left out.
func (w *world) calls(op, prefix string) (n int) {
	for _, call := range w.fs.Log() {
		if strings.HasPrefix(call, op+" "+prefix) && !strings.HasSuffix(call, "=state") {
			n++
		}
	}
	return n
}

// inChunks pushes content in chunks that end at the given offsets.
func (w *world) inChunks(repo oci.Repo, content []byte, ends ...int) error {
	id, err := w.create(repo)
	at := 0
	for _, end := range ends {
		if err == nil {
			err = w.chunk(repo, id, content[at:end])
		}
		at = end
	}
	if err != nil {
		return err
	}
	return w.finish(repo, id, content[at:])
}

// TestRecognised: a blob that was asked for and comes without its digest is
// not written where another repository holds it, nor is that read where this
// process knows it.
func TestRecognised(t *testing.T) {
	for _, commit := range []bool{false, true} {
		for _, restarted := range []bool{false, true} {
			for name, ends := range map[string][]int{"one": {len(long)}, "some": {300_000, 524_288, 540_001}} {
				w := newWorld(t, commit)
				w.must(w.push("a", long))
				if restarted {
					w.stop()
					w.start()
				}
				w.must(w.look("b", long))
				w.fs.Fail(simfs.Fault{})
				w.must(w.inChunks("b", long, ends...))
				if n := w.calls("write", ".berth/uploads/"); n > 0 {
					t.Errorf("%s, restarted %v: written %d times", name, restarted, n)
				}
				if n := w.calls("read", ""); n > 3 && name == "one" && !restarted {
					t.Errorf("%d reads:\n%s", n, strings.Join(w.fs.Log(), "\n"))
				}
				if w.inode("a", digestOf(long)) != w.inode("b", digestOf(long)) {
					t.Errorf("%s, restarted %v: stored twice", name, restarted)
				}
				w.check(true)
				w.tidy()
			}
		}
	}
}

// tidy finds what an upload left.
func (w *world) tidy() {
	w.t.Helper()
	if left := append(w.tmpFiles(), w.uploadNames()...); len(left) > 0 {
		w.t.Errorf("left: %v", left)
	}
	w.stop()
	if n := w.fs.OpenFiles(); n > 0 {
		w.t.Errorf("%d files are open", n)
	}
	w.start()
}

// TestAlike: what begins like a blob that is asked for, and is another one, is
// stored as it came, wherever they part.
func TestAlike(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		for _, parts := range []int{0, 40_000, 262_143, 262_144, 262_145, 524_288, 599_999, 600_000} {
			for _, ends := range [][]int{{620_000}, {100_000, 620_000}, {262_144, 620_000}, {550_000}} {
				w := newWorld(t, false)
				w.fs.SetCapacity(4 << 20)
				w.must(w.push("a", long))
				if restarted {
					w.stop()
					w.start()
				}
				other := append(bytes.Clone(long[:parts]), body(620_000-parts, "another")...)
				w.must(w.look("b", long), w.inChunks("b", other, ends...))
				w.check(true)
				w.must(w.push("b", long))
				w.check(true)
				w.tidy()
				if t.Failed() {
					t.Fatalf("they part at %d, chunks %v, restarted %v", parts, ends, restarted)
				}
			}
		}
	}
}

// TestShort: the beginning of a blob is a blob, too.
func TestShort(t *testing.T) {
	for _, size := range []int{32 << 10, 33_000, 262_144, 300_000, 599_999} {
		w := newWorld(t, true)
		w.fs.SetCapacity(4 << 20)
		w.must(w.push("a", long), w.look("b", long), w.inChunks("b", long[:size], size))
		w.check(true)
		w.tidy()
	}
}

// TestLentSession goes on after the process was killed and after a power cut,
// also where the holder lost its blob, and ends as any other.
func TestLentSession(t *testing.T) {
	for name, end := range map[string]func(*world, oci.UploadID) error{
		"finish": func(w *world, id oci.UploadID) error { return w.finish("b", id, long[300_000:]) },
		"part": func(w *world, id oci.UploadID) error {
			return w.finish("b", id, body(1000, "something else"))
		},
		"cancel": func(w *world, id oci.UploadID) error { return w.CancelUpload(w.ctx(), "b", id) },
		"sha512": func(w *world, id oci.UploadID) error {
			_, err := w.FinishUpload(w.ctx(), "b", id, digest512(long), 300_000, bytes.NewReader(long[300_000:]))
			return err
		},
		"wrong": func(w *world, id oci.UploadID) error {
			_, err := w.FinishUpload(w.ctx(), "b", id, digestOf(small), 300_000, bytes.NewReader(long[300_000:400_000]))
			if !errors.Is(err, oci.ErrDigestInvalid) {
				return errors.Join(errors.New("not refused"), err)
			}
			w.crash(simfs.Everything, 0)
			return w.finish("b", id, long[300_000:])
		},
	} {
		w := newWorld(t, true)
		w.fs.SetCapacity(4 << 20)
		w.must(w.push("a", long), w.look("b", long))
		id, err := w.create("b")
		w.must(err, w.chunk("b", id, long[:300_000]), w.delete("a", long))
		w.crash(simfs.Everything, 0)
		var told []oci.UploadInfo
		w.must(w.WalkUploads(w.ctx(), func(info oci.UploadInfo) error { told = append(told, info); return nil }))
		if info, err := w.StatUpload(w.ctx(), "b", id); err != nil || info.Size != 300_000 || len(told) != 1 || told[0].Size != 300_000 {
			t.Errorf("%s: %+v, %+v, %v", name, told, info, err)
		}
		if err := end(w, id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.check(true)
		w.upkeep()
		w.tidy()
	}
}

// TestLoanLost: a session whose loan somebody removed begins anew.
func TestLoanLost(t *testing.T) {
	w := newWorld(t, true)
	w.must(w.push("a", long), w.look("b", long))
	id, err := w.create("b")
	w.must(err, w.chunk("b", id, long[:300_000]))
	w.must(w.fs.Remove(".berth/uploads/" + w.uploadFile(id) + "=loan"))
	w.crash(simfs.Nothing, 0)
	if info, err := w.StatUpload(w.ctx(), "b", id); err != nil || info.Size != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	w.uploads[id] = upload{repo: "b"}
	w.must(w.finish("b", id, long))
	w.check(true)
	w.tidy()
}

// TestNoRoomToPart: where there is no room for what a loan stood for, nothing
// of it is lost.
func TestNoRoomToPart(t *testing.T) {
	w := newWorld(t, true)
	w.must(w.push("a", long), w.look("b", long))
	id, err := w.create("b")
	w.must(err, w.chunk("b", id, long[:500_000]))
	size, err := w.AppendUpload(w.ctx(), "b", id, oci.AtEnd, strings.NewReader("something else"))
	if !errors.Is(err, oci.ErrStorageFull) || size != 500_000 {
		t.Errorf("%d, %v", size, err)
	}
	for range 2 {
		if info, err := w.StatUpload(w.ctx(), "b", id); err != nil || info.Size != 500_000 {
			t.Errorf("%+v, %v", info, err)
		}
		w.crash(simfs.Everything, 0)
	}
	w.must(w.finish("b", id, long[500_000:]))
	w.check(true)
	w.tidy()
}

// TestCutWhileLent: what had arrived when the client went is kept.
func TestCutWhileLent(t *testing.T) {
	for _, at := range []int{32 << 10, 100_000, 262_144, 400_000, 600_000} {
		w := newWorld(t, true)
		w.must(w.push("a", long), w.look("b", long))
		id, err := w.create("b")
		w.must(err)
		size, err := w.AppendUpload(w.ctx(), "b", id, 0, cutBody{bytes.NewReader(long[:at])})
		if !errors.Is(err, errCut) || size != int64(at) {
			t.Errorf("%d: %d, %v", at, size, err)
		}
		w.crash(simfs.Everything, 0)
		w.uploads[id] = upload{"b", long[:at]}
		w.must(w.finish("b", id, long[at:]))
		w.check(true)
		w.tidy()
	}
}

// chunksLike pushes large in chunks, after it was asked for; what the root
// holds may part from it in the second chunk.
func chunksLike(w *world) error {
	return errors.Join(w.look("b", alike), w.look("b", large), w.inChunks("b", large, 33_000, 38_000))
}

// alike begins like large.
var alike = append(bytes.Clone(large[:36_000]), body(8000, "alike")...)

// recognising has the operations that push what is told from its beginning.
func recognising() []operation {
	return []operation{
		{"chunks that are recognised", func(w *world) error {
			return errors.Join(existing(w), w.push("a", large))
		}, chunksLike},
		{"chunks that begin like another blob", func(w *world) error {
			return errors.Join(existing(w), w.push("a", alike))
		}, chunksLike},
	}
}

// TestNotRecognised: without dedupe, without an index, and where nobody asked,
// uploads are written.
func TestNotRecognised(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"apart":   func(w *world) { w.stop(); w.apart = true; w.start() },
		"index":   func(w *world) { w.hints.err = oci.ErrNoHint },
		"expired": func(w *world) { w.must(w.look("b", long)); w.clock.advance(10 * time.Minute) },
		"no body": func(w *world) {
			w.must(w.look("c", long))
			id, err := w.create("c")
			w.must(err)
			if size, err := w.AppendUpload(w.ctx(), "c", id, 0, cutBody{bytes.NewReader(nil)}); !errors.Is(err, errCut) || size != 0 {
				t.Errorf("%d, %v", size, err)
			}
			size, err := w.AppendUpload(w.ctx(), "c", id, 0, io.MultiReader(bytes.NewReader(long[:10]), bytes.NewReader(long[10:20])))
			if err != nil || size != 20 {
				t.Errorf("%d, %v", size, err)
			}
		},
	} {
		w := newWorld(t, false)
		w.fs.SetCapacity(4 << 20)
		w.must(w.push("a", long))
		prepare(w)
		if name != "expired" {
			w.must(w.look("other", long))
		}
		w.fs.Fail(simfs.Fault{})
		w.must(w.inChunks("b", long, len(long)))
		if w.calls("write", ".berth/uploads/") == 0 {
			t.Errorf("%s: it was not written", name)
		}
		w.check(true)
	}
}

// TestDamagedLoan: bytes of a copy that were not read are looked at before they
// are taken for what arrived.
func TestDamagedLoan(t *testing.T) {
	w := newWorld(t, true)
	w.fs.SetCapacity(4 << 20)
	w.must(w.push("a", long))
	name := "a/blobs/sha256/" + digestOf(long).Encoded()
	info, err := w.fs.Stat(name)
	w.must(err)
	f, err := w.fs.OpenWrite(name)
	w.must(err)
	_, err = f.WriteAt([]byte("damage"), 100_000)
	w.must(err, f.SetModified(time.Unix(0, info.Modified)), f.Close())
	other := append(bytes.Clone(long[:400_000]), body(1000, "other")...)
	w.must(w.look("b", long))
	id, err := w.create("b")
	w.must(err, w.chunk("b", id, other[:300_000]))
	if _, err := w.FinishUpload(w.ctx(), "b", id, digestOf(other), oci.AtEnd, bytes.NewReader(other[300_000:])); err == nil || errors.Is(err, oci.ErrDigestInvalid) {
		t.Errorf("finish: %v", err)
	}
	if _, err := w.StatUpload(w.ctx(), "b", id); !errors.Is(err, oci.ErrUploadUnknown) {
		t.Errorf("the session: %v", err)
	}
	w.must(w.inChunks("b", other, 300_000), w.inChunks("c", long, 300_000))
	for _, want := range []struct {
		repo    oci.Repo
		content []byte
	}{{"b", other}, {"c", long}} {
		if !bytes.Equal(w.read(key{want.repo, digestOf(want.content)}), want.content) {
			t.Errorf("%s has wrong content", want.repo)
		}
	}
}
