package ocitest

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
)

func (s suite) blobs(t *testing.T) {
	s.run(t, map[string]func(*testing.T, *helper){
		"what was put is there":                blobsPut,
		"put keeps its own copy":               blobsPutCopies,
		"put of what is there succeeds":        blobsPutAgain,
		"sha512 and empty content":             blobsKinds,
		"offsets":                              blobsOffsets,
		"content can seek":                     blobsSeek,
		"what is not there is unknown":         blobsUnknown,
		"a blob belongs to its repository":     blobsSeparate,
		"link":                                 blobsLink,
		"link is independent of deletes":       blobsLinkDeletes,
		"link of what is not there is unknown": blobsLinkUnknown,
		"delete, and put again":                blobsDelete,
		"walk ends at an error":                blobsWalkEnds,
		"puts of one blob at once":             blobsRace,
	})
}

func blobsPut(t *testing.T, h *helper) {
	begun := time.Now().Add(-3 * time.Second) // clocks of file systems are coarse
	d := h.put("a/b", "content")
	h.holds("a/b", d, "content")
	info, err := h.StatBlob(h.ctx(), "a/b", d)
	h.ok(err)
	if info.Modified.Before(begun) || info.Modified.After(time.Now().Add(3*time.Second)) {
		t.Fatalf("modified at %v", info.Modified)
	}
	c, err := h.OpenBlob(h.ctx(), "a/b", d, 0)
	h.ok(err)
	defer c.Close()
	same(t, "size of open content", c.Info().Size, 7)
	if !c.Info().Modified.Equal(info.Modified) {
		t.Fatalf("modified at %v, when open %v", info.Modified, c.Info().Modified)
	}
}

func blobsPutCopies(t *testing.T, h *helper) {
	content := []byte("content")
	d := oci.SHA256.FromBytes(content)
	h.ok(h.PutBlob(h.ctx(), "a", d, content))
	clear(content)
	h.holds("a", d, "content")
}

func blobsPutAgain(t *testing.T, h *helper) {
	d := h.put("a", "content")
	h.put("a", "content")
	h.holds("a", d, "content")
	same(t, "blobs", len(h.list("a")), 1)
}

func blobsKinds(t *testing.T, h *helper) {
	for _, content := range []string{"", "{}", strings.Repeat("large", 100_000)} {
		for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
			d := a.FromString(content)
			h.ok(h.PutBlob(h.ctx(), "a", d, []byte(content)))
			h.holds("a", d, content)
		}
	}
	same(t, "blobs", len(h.list("a")), 6)
}

func blobsOffsets(t *testing.T, h *helper) {
	d := h.put("a", "0123456789")
	for offset, want := range map[int64]string{0: "0123456789", 1: "123456789", 9: "9", 10: "", 11: "", 1 << 40: ""} {
		same(t, "content", h.read("a", d, offset), want)
	}
}

func blobsSeek(t *testing.T, h *helper) {
	d := h.put("a", "0123456789")
	c, err := h.OpenBlob(h.ctx(), "a", d, 4)
	h.ok(err)
	defer c.Close()
	for _, step := range []struct {
		offset int64
		whence int
		want   string
	}{{0, io.SeekCurrent, "45"}, {-2, io.SeekEnd, "89"}, {3, io.SeekStart, "34"}, {1, io.SeekCurrent, "67"}} {
		_, err := c.Seek(step.offset, step.whence)
		h.ok(err)
		two := make([]byte, 2)
		_, err = io.ReadFull(c, two)
		h.ok(err)
		same(t, "content", string(two), step.want)
	}
}

func blobsUnknown(t *testing.T, h *helper) {
	d := oci.SHA256.FromString("nowhere")
	h.lacks("no/repository", d)
	h.is(h.WalkBlobs(h.ctx(), "no/repository", func(oci.Digest, oci.BlobInfo) error { return nil }), oci.ErrNameUnknown)
	h.put("a", "something else")
	h.lacks("a", d)
	h.lacks("a", oci.SHA512.FromString("something else"))
	same(t, "catalog", h.catalog(""), "a")
}

func blobsSeparate(t *testing.T, h *helper) {
	d := h.put("a", "content")
	h.put("b", "other")
	h.lacks("b", d)
	h.lacks("a/b", d)
}

func blobsLink(t *testing.T, h *helper) {
	d := h.put("from", "content")
	h.ok(h.LinkBlob(h.ctx(), "from", "to/somewhere", d))
	h.holds("to/somewhere", d, "content")
	h.holds("from", d, "content")
	h.ok(h.LinkBlob(h.ctx(), "from", "to/somewhere", d)) // again
	h.holds("to/somewhere", d, "content")
	same(t, "catalog", h.catalog(""), "from to/somewhere")
}

func blobsLinkDeletes(t *testing.T, h *helper) {
	d := h.put("one", "content")
	h.ok(h.LinkBlob(h.ctx(), "one", "two", d))
	h.ok(h.LinkBlob(h.ctx(), "two", "three", d))
	h.ok(h.DeleteBlob(h.ctx(), "one", d))
	h.lacks("one", d)
	h.holds("two", d, "content")
	h.ok(h.DeleteBlob(h.ctx(), "two", d))
	h.holds("three", d, "content")
	h.ok(h.LinkBlob(h.ctx(), "three", "one", d))
	h.holds("one", d, "content")
}

func blobsLinkUnknown(t *testing.T, h *helper) {
	d := h.put("a", "content")
	h.is(h.LinkBlob(h.ctx(), "nowhere", "b", d), oci.ErrBlobUnknown)
	h.is(h.LinkBlob(h.ctx(), "a", "b", oci.SHA256.FromString("other")), oci.ErrBlobUnknown)
	same(t, "catalog", h.catalog(""), "a")
}

func blobsDelete(t *testing.T, h *helper) {
	d, other := h.put("a", "content"), h.put("a", "other")
	h.ok(h.DeleteBlob(h.ctx(), "a", d))
	h.lacks("a", d)
	h.holds("a", other, "other")
	h.put("a", "content")
	h.holds("a", d, "content")
	h.ok(h.DeleteBlob(h.ctx(), "a", d))
	h.ok(h.DeleteBlob(h.ctx(), "a", other))
	same(t, "blobs", len(h.list("a")), 0)
	same(t, "catalog", h.catalog(""), "a")
}

func blobsWalkEnds(t *testing.T, h *helper) {
	h.put("a", "one")
	h.put("a", "two")
	calls := 0
	h.is(h.WalkBlobs(h.ctx(), "a", func(oci.Digest, oci.BlobInfo) error {
		calls++
		return errBroken
	}), errBroken)
	same(t, "calls", calls, 1)
}

func blobsRace(t *testing.T, h *helper) {
	content := strings.Repeat("content", 1000)
	d := oci.SHA256.FromString(content)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := h.PutBlob(h.ctx(), "a", d, []byte(content)); err != nil {
				t.Error(err)
			}
			if _, err := h.StatBlob(h.ctx(), "a", d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.holds("a", d, content)
}
