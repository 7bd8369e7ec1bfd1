package registry_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

func (f *fixture) mounted(repo oci.Repo, d oci.Digest) {
	f.t.Helper()
	_, err := f.store.StatBlob(f.ctx(), repo, d)
	f.ok(err)
}

func TestMount(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	f.ok(f.Mount(f.ctx(), "to/here", repo, d))
	f.mounted("to/here", d)
	f.ok(f.Mount(f.ctx(), repo, repo, d))
	f.is(f.Mount(f.ctx(), repo, repo, oci.SHA256.FromString("x")), oci.ErrBlobUnknown)
	f.is(f.Mount(f.ctx(), "to/there", "no/where", d), oci.ErrBlobUnknown)
	f.is(f.Mount(f.ctx(), "to/there", repo, oci.SHA256.FromString("x")), oci.ErrBlobUnknown)
	repos, _, err := f.Catalog(f.ctx(), registry.Page{N: -1})
	f.ok(err)
	same(t, "catalog", fmt.Sprint(repos), "[a/b to/here]")
}

func TestMountFromAnywhere(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	f.ok(f.Mount(f.ctx(), "to/here", "", d)) // known since the push
	f.mounted("to/here", d)
	same(t, "walks", f.store.Calls("WalkRepos"), 0)

	fresh := registry.New(f.store, registry.Options{})
	f.ok(fresh.Mount(f.ctx(), "to/there", "", d)) // looked for
	f.mounted("to/there", d)
	same(t, "walks", f.store.Calls("WalkRepos"), 1)
	f.ok(fresh.Mount(f.ctx(), "to/where", "", d)) // known since the mount
	f.ok(fresh.Mount(f.ctx(), "to/where", "", d)) // there already
	same(t, "walks", f.store.Calls("WalkRepos"), 1)

	f.is(fresh.Mount(f.ctx(), "to/where", "", oci.SHA256.FromString("x")), oci.ErrBlobUnknown)
}

// What is known of holders is a hint: it may be wrong.
func TestMountAfterTheHolderLostIt(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	f.ok(f.store.LinkBlob(f.ctx(), repo, "z", d))
	f.ok(f.DeleteBlob(f.ctx(), repo, d))
	f.ok(f.Mount(f.ctx(), "to/here", "", d))
	f.mounted("to/here", d)
	f.ok(f.DeleteBlob(f.ctx(), "to/here", d))
	f.ok(f.DeleteBlob(f.ctx(), "z", d))
	f.is(f.Mount(f.ctx(), "to/here", "", d), oci.ErrBlobUnknown)
}

// The look through the repositories ends somewhere.
func TestMountLooksOnlySoFar(t *testing.T) {
	f := setUp(t, registry.Options{})
	for i := range 300 {
		f.ok(f.store.PutBlob(f.ctx(), oci.Repo(fmt.Sprintf("r%03d", i)), oci.SHA256.FromString("x"), []byte("x")))
	}
	d := oci.SHA256.FromString("last")
	f.ok(f.store.PutBlob(f.ctx(), "r299", d, []byte("last")))
	f.is(f.Mount(f.ctx(), "to/here", "", d), oci.ErrBlobUnknown)
	if n := f.store.Calls("LinkBlob"); n > 256 {
		t.Errorf("%d repositories were looked into", n)
	}
}

func TestUploadSession(t *testing.T) {
	f := setUp(t, registry.Options{})
	id, err := f.StartUpload(f.ctx(), repo, oci.SHA256)
	f.ok(err)
	size, err := f.AppendUpload(f.ctx(), repo, id, 0, strings.NewReader("con"))
	f.ok(err)
	same(t, "size", size, 3)
	info, err := f.StatUpload(f.ctx(), repo, id)
	f.ok(err)
	same(t, "size", info.Size, 3)
	d := oci.SHA256.FromString("content")
	size, err = f.FinishUpload(f.ctx(), repo, id, d, 3, strings.NewReader("tent"))
	f.ok(err)
	same(t, "size", size, 7)
	c, err := f.OpenBlob(f.ctx(), repo, d, 3, 0)
	f.ok(err)
	_, err = c.Seek(3, io.SeekStart)
	f.ok(err)
	rest, err := io.ReadAll(c)
	f.ok(err)
	same(t, "content", string(rest), "tent")
	id, err = f.StartUpload(f.ctx(), repo, oci.SHA512)
	f.ok(err)
	f.ok(f.CancelUpload(f.ctx(), repo, id))
	_, err = f.StatUpload(f.ctx(), repo, id)
	f.is(err, oci.ErrUploadUnknown)
}

func TestPushBlobThatFailsLeavesNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	err := f.PushBlob(f.ctx(), repo, oci.SHA512.FromString("x"), strings.NewReader("y"))
	f.is(err, oci.ErrDigestInvalid)
	err = f.PushBlob(f.ctx(), repo, oci.SHA256.FromString("x"), gone{})
	f.is(err, oci.ErrClientGone)
	f.ok(f.store.WalkUploads(f.ctx(), func(info oci.UploadInfo) error {
		t.Errorf("a session is left: %+v", info)
		return nil
	}))
	f.ok(f.PushBlob(f.ctx(), repo, oci.SHA512.FromString("x"), strings.NewReader("x")))
	f.mounted(repo, oci.SHA512.FromString("x"))
}

// gone is the body of a client that went away.
type gone struct{}

func (gone) Read([]byte) (int, error) { return 0, oci.ErrClientGone }

// finder is a Finder of one answer.
type finder struct {
	found []oci.Repo
	err   error
}

func (f *finder) Holders(context.Context, oci.Digest, int) ([]oci.Repo, error) { return f.found, f.err }

// What the Finder tells is tried before repositories are looked through, and
// is believed by nobody.
func TestMountFromWhereTheFinderSays(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := f.blob("content")
	f.ok(f.store.LinkBlob(f.ctx(), repo, "z", d))
	told := new(finder)
	fresh := func() *registry.Registry { return registry.New(f.store, registry.Options{Finder: told}) }

	told.found = []oci.Repo{"z", "no/where"}
	f.ok(fresh().Mount(f.ctx(), "to/here", "", d))
	f.mounted("to/here", d)
	same(t, "walks", f.store.Calls("WalkRepos"), 0)

	told.found = []oci.Repo{"no/where"}
	f.ok(fresh().Mount(f.ctx(), "to/there", "", d))
	f.mounted("to/there", d)
	told.found, told.err = nil, oci.ErrNoHint
	f.ok(fresh().Mount(f.ctx(), "to/where", "", d))
	f.mounted("to/where", d)
	same(t, "walks", f.store.Calls("WalkRepos"), 2)
}
