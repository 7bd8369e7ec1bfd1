package ocitest

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/oci"
)

func (s suite) uploads(t *testing.T) {
	s.run(t, map[string]func(*testing.T, *helper){
		"chunks":                       uploadChunks,
		"in one piece":                 uploadWhole,
		"empty":                        uploadEmpty,
		"finish by another algorithm":  uploadAlgorithms,
		"offsets that do not continue": uploadOffsets,
		"a reader that breaks keeps what arrived":  uploadBroken,
		"a wrong digest takes the last chunk back": uploadMismatch,
		"a session belongs to its repository":      uploadForeign,
		"a session that ended is unknown":          uploadEnded,
		"cancel":                                   uploadCancel,
		"one writer at a time":                     uploadWriters,
		"many writers at once lose nothing":        uploadRace,
		"a session does not show":                  uploadHidden,
		"finish of what is there already":          uploadAgain,
		"walk":                                     uploadWalk,
		"finish of one blob by many sessions":      uploadSameBlob,
	})
}

// begin creates a session.
func (h *helper) begin(repo oci.Repo) oci.UploadID {
	h.t.Helper()
	id, err := h.CreateUpload(h.ctx(), repo, oci.SHA256)
	h.ok(err)
	if _, err := oci.ParseUploadID(string(id)); err != nil {
		h.t.Fatalf("upload id %q: %v", id, err)
	}
	return id
}

// send appends a chunk and checks the size that it gives.
func (h *helper) send(repo oci.Repo, id oci.UploadID, at int64, chunk string, want int64) {
	h.t.Helper()
	size, err := h.AppendUpload(h.ctx(), repo, id, at, strings.NewReader(chunk))
	h.ok(err)
	same(h.t, "size", size, want)
	h.arrived(repo, id, want)
}

// arrived checks what has arrived.
func (h *helper) arrived(repo oci.Repo, id oci.UploadID, want int64) {
	h.t.Helper()
	info, err := h.StatUpload(h.ctx(), repo, id)
	h.ok(err)
	same(h.t, "size", info.Size, want)
	same(h.t, "id", info.ID, id)
}

// end finishes a session without a last chunk and checks the blob.
func (h *helper) end(repo oci.Repo, id oci.UploadID, a oci.Algorithm, content string) {
	h.t.Helper()
	d := a.FromString(content)
	size, err := h.FinishUpload(h.ctx(), repo, id, d, oci.AtEnd, nil)
	h.ok(err)
	same(h.t, "size", size, int64(len(content)))
	h.holds(repo, d, content)
	_, err = h.StatUpload(h.ctx(), repo, id)
	h.is(err, oci.ErrUploadUnknown)
}

// known is a body that tells how much is to come.
type known struct{ *strings.Reader }

func (k known) Remaining() int64 { return int64(k.Len()) }

func uploadChunks(t *testing.T, h *helper) {
	id := h.begin("a/b")
	h.arrived("a/b", id, 0)
	h.send("a/b", id, 0, "one", 3)
	h.send("a/b", id, 3, "two", 6)
	h.send("a/b", id, oci.AtEnd, "three", 11)
	h.send("a/b", id, 11, "", 11)
	d := oci.SHA256.FromString("onetwothreefour")
	size, err := h.FinishUpload(h.ctx(), "a/b", id, d, 11, known{strings.NewReader("four")})
	h.ok(err)
	same(t, "size", size, 15)
	h.holds("a/b", d, "onetwothreefour")
}

func uploadWhole(t *testing.T, h *helper) {
	content := strings.Repeat("0123456789abcdef", 5<<16) + "odd" // 5 MiB
	d := oci.SHA256.FromString(content)
	for _, at := range []int64{0, oci.AtEnd} {
		id := h.begin("a")
		size, err := h.FinishUpload(h.ctx(), "a", id, d, at, io.MultiReader(strings.NewReader(content)))
		h.ok(err)
		same(t, "size", size, int64(len(content)))
		h.holds("a", d, content)
	}
}

func uploadEmpty(t *testing.T, h *helper) {
	h.end("a", h.begin("a"), oci.SHA256, "")
	id := h.begin("b")
	_, err := h.FinishUpload(h.ctx(), "b", id, oci.SHA512.FromString(""), 0, strings.NewReader(""))
	h.ok(err)
	h.holds("b", oci.SHA512.FromString(""), "")
}

func uploadAlgorithms(t *testing.T, h *helper) {
	for _, created := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		for _, finished := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
			id, err := h.CreateUpload(h.ctx(), "a", created)
			h.ok(err)
			h.send("a", id, 0, "con", 3)
			h.send("a", id, 3, "tent", 7)
			h.end("a", id, finished, "content")
		}
	}
}

func uploadOffsets(t *testing.T, h *helper) {
	id := h.begin("a")
	_, err := h.AppendUpload(h.ctx(), "a", id, 1, strings.NewReader("x"))
	h.is(err, oci.ErrRangeInvalid)
	h.send("a", id, 0, "content", 7)
	for _, at := range []int64{0, 6, 8, 1 << 40} {
		_, err := h.AppendUpload(h.ctx(), "a", id, at, strings.NewReader("x"))
		h.is(err, oci.ErrRangeInvalid)
		_, err = h.FinishUpload(h.ctx(), "a", id, oci.SHA256.FromString("contentx"), at, strings.NewReader("x"))
		h.is(err, oci.ErrRangeInvalid)
		h.arrived("a", id, 7)
	}
	h.end("a", id, oci.SHA256, "content")
}

func uploadBroken(t *testing.T, h *helper) {
	id := h.begin("a")
	size, err := h.AppendUpload(h.ctx(), "a", id, 0, broken("con"))
	h.is(err, errBroken)
	same(t, "size", size, 3)
	h.arrived("a", id, 3)
	d := oci.SHA256.FromString("content")
	size, err = h.FinishUpload(h.ctx(), "a", id, d, 3, broken("ten"))
	h.is(err, errBroken)
	same(t, "size", size, 6)
	h.lacks("a", d)
	h.arrived("a", id, 6)
	_, err = h.FinishUpload(h.ctx(), "a", id, d, 6, strings.NewReader("t"))
	h.ok(err)
	h.holds("a", d, "content")
}

func uploadMismatch(t *testing.T, h *helper) {
	id := h.begin("a")
	h.send("a", id, 0, "con", 3)
	d := oci.SHA256.FromString("content")
	for _, last := range []io.Reader{strings.NewReader("fused"), nil} {
		_, err := h.FinishUpload(h.ctx(), "a", id, d, 3, last)
		h.is(err, oci.ErrDigestInvalid)
		h.arrived("a", id, 3)
	}
	_, err := h.FinishUpload(h.ctx(), "a", id, oci.SHA512.FromString("other"), 3, strings.NewReader("tent"))
	h.is(err, oci.ErrDigestInvalid)
	h.lacks("a", d)
	h.lacks("a", oci.SHA512.FromString("other"))
	h.arrived("a", id, 3)
	h.send("a", id, 3, "tent", 7)
	h.end("a", id, oci.SHA256, "content")
}

// isUnknown checks that a session is unknown to every method.
func (h *helper) isUnknown(repo oci.Repo, id oci.UploadID) {
	h.t.Helper()
	_, err := h.StatUpload(h.ctx(), repo, id)
	h.is(err, oci.ErrUploadUnknown)
	_, err = h.AppendUpload(h.ctx(), repo, id, oci.AtEnd, strings.NewReader("x"))
	h.is(err, oci.ErrUploadUnknown)
	_, err = h.FinishUpload(h.ctx(), repo, id, oci.SHA256.FromString("x"), oci.AtEnd, strings.NewReader("x"))
	h.is(err, oci.ErrUploadUnknown)
	h.is(h.CancelUpload(h.ctx(), repo, id), oci.ErrUploadUnknown)
}

func uploadForeign(t *testing.T, h *helper) {
	id := h.begin("a")
	h.send("a", id, 0, "content", 7)
	h.isUnknown("b", id)
	h.isUnknown("a/a", id)
	h.isUnknown("a", "01234567-89ab-cdef-0123-456789abcdef")
	h.end("a", id, oci.SHA256, "content")
}

func uploadEnded(t *testing.T, h *helper) {
	id := h.begin("a")
	h.end("a", id, oci.SHA256, "")
	h.isUnknown("a", id)
}

func uploadCancel(t *testing.T, h *helper) {
	id := h.begin("a")
	h.send("a", id, 0, "content", 7)
	h.ok(h.CancelUpload(h.ctx(), "a", id))
	h.isUnknown("a", id)
	h.lacks("a", oci.SHA256.FromString("content"))
}

func uploadWriters(t *testing.T, h *helper) {
	id := h.begin("a")
	first := newBlocking()
	done := make(chan error)
	go func() {
		_, err := h.AppendUpload(h.ctx(), "a", id, 0, io.MultiReader(strings.NewReader("con"), first))
		done <- err
	}()
	<-first.reading
	impatient, cancel := context.WithTimeout(h.ctx(), 10*time.Millisecond)
	defer cancel()
	_, err := h.AppendUpload(impatient, "a", id, oci.AtEnd, strings.NewReader("x"))
	h.is(err, oci.ErrRangeInvalid)
	_, err = h.FinishUpload(impatient, "a", id, oci.SHA256.FromString("con"), oci.AtEnd, nil)
	h.is(err, oci.ErrRangeInvalid)
	_, err = h.StatUpload(h.ctx(), "a", id)
	h.ok(err)
	close(first.resume)
	h.ok(<-done)
	h.send("a", id, 3, "tent", 7)
	h.end("a", id, oci.SHA256, "content")
}

func uploadRace(t *testing.T, h *helper) {
	id := h.begin("a")
	var wg sync.WaitGroup
	var sent atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := h.AppendUpload(h.ctx(), "a", id, oci.AtEnd, strings.NewReader("x")); err == nil {
					sent.Add(1)
				}
			}
		})
	}
	wg.Wait()
	h.arrived("a", id, sent.Load())
	h.end("a", id, oci.SHA256, strings.Repeat("x", int(sent.Load())))
}

func uploadHidden(t *testing.T, h *helper) {
	id := h.begin("a")
	h.send("a", id, 0, "content", 7)
	same(t, "catalog", h.catalog(""), "")
	h.lacks("a", oci.SHA256.FromString("content"))
	_, _, err := h.LoadIndex(h.ctx(), "a", "")
	h.is(err, oci.ErrNameUnknown)
	h.end("a", id, oci.SHA256, "content")
	same(t, "catalog", h.catalog(""), "a")
}

func uploadAgain(t *testing.T, h *helper) {
	h.put("a", "content")
	id := h.begin("a")
	h.send("a", id, 0, "content", 7)
	h.end("a", id, oci.SHA256, "content")
	same(t, "blobs", len(h.list("a")), 1)
}

func uploadWalk(t *testing.T, h *helper) {
	one, two := h.begin("a"), h.begin("b/c.d")
	h.send("b/c.d", two, 0, "content", 7)
	long := oci.Repo(strings.Repeat("long/name-", 25) + "a")
	three := h.begin(long)
	sizes, repos := map[oci.UploadID]int64{}, map[oci.UploadID]oci.Repo{}
	h.ok(h.WalkUploads(h.ctx(), func(info oci.UploadInfo) error {
		sizes[info.ID], repos[info.ID] = info.Size, info.Repo
		if info.Modified.IsZero() {
			t.Error("no time")
		}
		return nil
	}))
	same(t, "sessions", len(sizes), 3)
	same(t, "repository", repos[one], "a")
	same(t, "repository", repos[two], "b/c.d")
	same(t, "repository", repos[three], long)
	h.ok(h.CancelUpload(h.ctx(), long, three))
	same(t, "size", sizes[one], 0)
	same(t, "size", sizes[two], 7)
	calls := 0
	h.is(h.WalkUploads(h.ctx(), func(oci.UploadInfo) error {
		calls++
		return errBroken
	}), errBroken)
	same(t, "calls", calls, 1)
	h.ok(h.CancelUpload(h.ctx(), "a", one))
	h.end("b/c.d", two, oci.SHA256, "content")
	h.ok(h.WalkUploads(h.ctx(), func(oci.UploadInfo) error { return errBroken }))
}

func uploadSameBlob(t *testing.T, h *helper) {
	d := oci.SHA256.FromString("content")
	var wg sync.WaitGroup
	for i := range 8 {
		repo := []oci.Repo{"a", "b"}[i%2]
		id := h.begin(repo)
		wg.Go(func() {
			if _, err := h.FinishUpload(h.ctx(), repo, id, d, 0, strings.NewReader("content")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.holds("a", d, "content")
	h.holds("b", d, "content")
}
