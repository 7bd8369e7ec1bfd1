package ocitest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"berth/oci"
)

// emptied makes a repository that has had a blob and an index, and holds
// nothing.
func (h *helper) emptied(repo oci.Repo) oci.Version {
	h.t.Helper()
	d := h.put(repo, "content")
	_, err := h.SwapIndex(h.ctx(), repo, h.version(repo), emptyIndex("x"))
	h.ok(err)
	h.ok(h.DeleteBlob(h.ctx(), repo, d))
	return h.version(repo)
}

func reposDelete(t *testing.T, h *helper) {
	h.is(h.DeleteRepo(h.ctx(), "a/b", ""), oci.ErrNameUnknown)
	v := h.emptied("a/b")
	h.ok(h.DeleteRepo(h.ctx(), "a/b", v))
	same(t, "catalog", h.catalog(""), "")
	_, _, err := h.LoadIndex(h.ctx(), "a/b", v)
	h.is(err, oci.ErrNameUnknown)
	h.is(h.WalkBlobs(h.ctx(), "a/b", func(oci.Digest, oci.BlobInfo) error { return nil }), oci.ErrNameUnknown)
	h.is(h.DeleteRepo(h.ctx(), "a/b", v), oci.ErrNameUnknown)
	d := h.put("a/b", "again")
	h.holds("a/b", d, "again")
	_, err = h.SwapIndex(h.ctx(), "a/b", h.version("a/b"), emptyIndex("again"))
	h.ok(err)
	same(t, "catalog", h.catalog(""), "a/b")
}

func reposDeleteFull(t *testing.T, h *helper) {
	v := h.emptied("a")
	_, err := h.SwapIndex(h.ctx(), "a", v, emptyIndex("y"))
	h.ok(err)
	h.is(h.DeleteRepo(h.ctx(), "a", v), oci.ErrConflict)
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		d := a.FromString("blob")
		h.ok(h.PutBlob(h.ctx(), "a", d, []byte("blob")))
		h.is(h.DeleteRepo(h.ctx(), "a", h.version("a")), oci.ErrConflict)
		h.ok(h.DeleteBlob(h.ctx(), "a", d))
	}
	id := h.begin("a")
	h.is(h.DeleteRepo(h.ctx(), "a", h.version("a")), oci.ErrConflict)
	h.ok(h.CancelUpload(h.ctx(), "a", id))
	entry := fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":4}]}`, oci.MediaTypeIndex, oci.SHA256.FromString("gone"))
	v, err = h.SwapIndex(h.ctx(), "a", h.version("a"), []byte(entry))
	h.ok(err)
	h.is(h.DeleteRepo(h.ctx(), "a", v), oci.ErrConflict)
	h.indexed("a", []byte(entry))
	v, err = h.SwapIndex(h.ctx(), "a", v, emptyIndex("z"))
	h.ok(err)
	h.ok(h.DeleteRepo(h.ctx(), "a", v))
	same(t, "catalog", h.catalog(""), "")
}

func reposDeleteNested(t *testing.T, h *helper) {
	kept := h.put("a/b/c", "kept")
	inner, outer := h.emptied("a/b/c/d/e"), h.emptied("a/b")
	id := h.begin("a/b/c")
	h.ok(h.DeleteRepo(h.ctx(), "a/b/c/d/e", inner))
	h.ok(h.DeleteRepo(h.ctx(), "a/b", outer))
	same(t, "catalog", h.catalog(""), "a/b/c")
	h.holds("a/b/c", kept, "kept")
	h.end("a/b/c", id, oci.SHA256, "")
}

// reposDeleteRace: what is pushed while repositories come and go is there
// whenever the push was acknowledged.
func reposDeleteRace(t *testing.T, h *helper) {
	const rounds = 50
	var wg sync.WaitGroup
	for i := range 4 {
		repo := []oci.Repo{"r/a", "r/a/b"}[i%2]
		wg.Go(func() {
			for n := range rounds {
				content := fmt.Sprint(i, " ", n)
				d := oci.SHA256.FromString(content)
				if err := h.PutBlob(h.ctx(), repo, d, []byte(content)); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				if _, err := h.StatBlob(h.ctx(), repo, d); err != nil {
					t.Errorf("%s after a push: %v", repo, err)
					return
				}
				if err := h.DeleteBlob(h.ctx(), repo, d); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				_, v, err := h.LoadIndex(h.ctx(), repo, "")
				if err == nil {
					err = h.DeleteRepo(h.ctx(), repo, v)
				}
				if err != nil && !errors.Is(err, oci.ErrConflict) && !errors.Is(err, oci.ErrNameUnknown) {
					t.Errorf("remove: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}
