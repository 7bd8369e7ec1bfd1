package ocitest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"berth/oci"
)

// Suite tests what every store must do. open returns a new, empty store; the
// test closes it through t.Cleanup where that is needed. reopen closes a store
// and opens the same content again, as after a restart; nil leaves out the
// tests of that.
func Suite(t *testing.T, open func(*testing.T) oci.Store, reopen func(*testing.T, oci.Store) oci.Store) {
	s := suite{open: open, reopen: reopen}
	t.Run("Blobs", s.blobs)
	t.Run("Uploads", s.uploads)
	t.Run("Indexes", s.indexes)
	t.Run("Repos", s.repos)
	t.Run("Quarantine", s.quarantine)
	t.Run("Shared", s.shared)
	if reopen != nil {
		t.Run("Reopen", s.reopened)
	}
}

type suite struct {
	open   func(*testing.T) oci.Store
	reopen func(*testing.T, oci.Store) oci.Store
}

// run runs tests, each with an empty store.
func (s suite) run(t *testing.T, tests map[string]func(*testing.T, *helper)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test(t, &helper{t: t, Store: s.open(t)})
		})
	}
}

// helper is a store with methods that fail the test.
type helper struct {
	oci.Store
	t *testing.T
}

// ctx is the test's context.
func (h *helper) ctx() context.Context { return h.t.Context() }

// ok fails the test at an error.
func (h *helper) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// is fails the test unless the error is of a kind.
func (h *helper) is(err, kind error) {
	h.t.Helper()
	if !errors.Is(err, kind) {
		h.t.Fatalf("error is %v, want %v", err, kind)
	}
}

// same fails the test unless two values are equal.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// put stores content and returns its digest.
func (h *helper) put(repo oci.Repo, content string) oci.Digest {
	h.t.Helper()
	d := oci.SHA256.FromString(content)
	h.ok(h.PutBlob(h.ctx(), repo, d, []byte(content)))
	return d
}

// holds fails the test unless a repository holds content, in every way of
// looking.
func (h *helper) holds(repo oci.Repo, d oci.Digest, content string) {
	h.t.Helper()
	info, err := h.StatBlob(h.ctx(), repo, d)
	h.ok(err)
	same(h.t, "size", info.Size, int64(len(content)))
	same(h.t, "content", h.read(repo, d, 0), content)
	same(h.t, "listed", h.list(repo)[d], int64(len(content)))
}

// lacks fails the test if a repository holds a blob in any way of looking.
func (h *helper) lacks(repo oci.Repo, d oci.Digest) {
	h.t.Helper()
	_, err := h.StatBlob(h.ctx(), repo, d)
	h.is(err, oci.ErrBlobUnknown)
	_, err = h.OpenBlob(h.ctx(), repo, d, 0)
	h.is(err, oci.ErrBlobUnknown)
	h.is(h.DeleteBlob(h.ctx(), repo, d), oci.ErrBlobUnknown)
	h.is(h.LinkBlob(h.ctx(), repo, "lacks/target", d), oci.ErrBlobUnknown)
	_, listed := h.list(repo)[d]
	same(h.t, "listed", listed, false)
}

// read reads a blob from an offset to its end.
func (h *helper) read(repo oci.Repo, d oci.Digest, offset int64) string {
	h.t.Helper()
	c, err := h.OpenBlob(h.ctx(), repo, d, offset)
	h.ok(err)
	content, err := io.ReadAll(c)
	h.ok(err)
	h.ok(c.Close())
	return string(content)
}

// list returns the sizes of a repository's blobs; none where it does not exist.
func (h *helper) list(repo oci.Repo) map[oci.Digest]int64 {
	h.t.Helper()
	all := map[oci.Digest]int64{}
	err := h.WalkBlobs(h.ctx(), repo, func(d oci.Digest, info oci.BlobInfo) error {
		all[d] = info.Size
		return nil
	})
	if !errors.Is(err, oci.ErrNameUnknown) {
		h.ok(err)
	}
	return all
}

// catalog returns the repositories after a name.
func (h *helper) catalog(after oci.Repo) string {
	h.t.Helper()
	var names []string
	h.ok(h.WalkRepos(h.ctx(), after, func(r oci.Repo) error {
		names = append(names, string(r))
		return nil
	}))
	return strings.Join(names, " ")
}

// version returns an index's version, the zero one where there is none.
func (h *helper) version(repo oci.Repo) oci.Version {
	h.t.Helper()
	_, v, err := h.LoadIndex(h.ctx(), repo, "")
	if !errors.Is(err, oci.ErrNameUnknown) {
		h.ok(err)
	}
	return v
}

// indexed fails the test unless a repository's index is these bytes.
func (h *helper) indexed(repo oci.Repo, want []byte) {
	h.t.Helper()
	got, _, err := h.LoadIndex(h.ctx(), repo, "")
	h.ok(err)
	if !bytes.Equal(got, want) {
		h.t.Fatalf("index is %s, want %s", got, want)
	}
}

// emptyIndex is an index.json that differs by its annotation.
func emptyIndex(note string) []byte {
	return []byte(`{"schemaVersion":2,"manifests":[],"annotations":{"note":"` + note + `"}}`)
}

// errBroken is how readers fail here.
var errBroken = errors.New("reader broke")

// broken yields content and fails then.
func broken(content string) io.Reader {
	return io.MultiReader(strings.NewReader(content), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// blocking is a reader that tells when it is first read, and waits.
type blocking struct {
	reading chan struct{} // closed when a read is waiting
	resume  chan struct{} // closed to let it go on
	begun   bool
}

func newBlocking() *blocking {
	return &blocking{reading: make(chan struct{}), resume: make(chan struct{})}
}

func (b *blocking) Read([]byte) (int, error) {
	if !b.begun {
		b.begun = true
		close(b.reading)
	}
	<-b.resume
	return 0, io.EOF
}
