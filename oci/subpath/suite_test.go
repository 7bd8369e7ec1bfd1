package subpath

import (
	"context"
	"io"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
)

func mustAttach(tb testing.TB, r *Router, prefix string, s oci.Store) {
	tb.Helper()
	if err := r.Attach(prefix, s); err != nil {
		tb.Fatal(err)
	}
}

func TestSuiteRootOnly(t *testing.T) {
	ocitest.Suite(t, func(*testing.T) oci.Store { return New(ocitest.NewMemory()) }, nil)
}

func TestSuiteManyStores(t *testing.T) {
	ocitest.Suite(t, func(t *testing.T) oci.Store {
		r := New(ocitest.NewMemory())
		for _, prefix := range []string{"a/b", "a", "to", "z/y", "a/blobs", "nothing/here", "ab"} {
			mustAttach(t, r, prefix, ocitest.NewMemory())
		}
		return r
	}, nil)
}

// lazyUnder mounts a lazy store, so that the suite tests both.
func TestSuiteBelowPrefixes(t *testing.T) {
	for _, prefix := range []string{"x", "deep/er"} {
		ocitest.Suite(t, func(t *testing.T) oci.Store {
			memory := ocitest.NewMemory()
			r := New(ocitest.NewMemory())
			mustAttach(t, r, prefix, NewLazy(LazyOptions{
				Name:  prefix,
				Probe: func() (any, error) { return 1, nil },
				Open:  func() (oci.Store, error) { return memory, nil },
			}))
			mustAttach(t, r, "deep", ocitest.NewMemory())
			return under{r, oci.Repo(prefix + "/")}
		}, nil)
	}
}

func TestReadOnlySuiteOfReads(t *testing.T) {
	ctx := context.Background()
	memory := ocitest.NewMemory()
	d := oci.SHA256.FromString("x")
	if err := memory.PutBlob(ctx, "a", d, []byte("x")); err != nil {
		t.Fatal(err)
	}
	s := ReadOnly(memory)
	if _, err := s.StatBlob(ctx, "a", d); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"PutBlob":    s.PutBlob(ctx, "a", d, nil),
		"LinkBlob":   s.LinkBlob(ctx, "a", "b", d),
		"DeleteBlob": s.DeleteBlob(ctx, "a", d),
		"Swap":       second(s.SwapIndex(ctx, "a", "", nil)),
		"Create":     second(s.CreateUpload(ctx, "a", oci.SHA256)),
		"root":       New(nil).PutBlob(ctx, "a", d, nil),
	} {
		wantErr(t, name, err, oci.ErrReadOnly)
	}
	wantErr(t, "StatUpload", second(s.StatUpload(ctx, "a", "")), oci.ErrUploadUnknown)
	if got := walk(t, s, ""); got != "a" {
		t.Errorf("catalog %q", got)
	}
	if got := walk(t, New(nil), ""); got != "" {
		t.Errorf("catalog of nothing %q", got)
	}
}

// under shows the part of a store below a prefix.
type under struct {
	s      oci.Store
	prefix oci.Repo
}

func (u under) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	return u.s.StatBlob(ctx, u.prefix+repo, d)
}

func (u under) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	return u.s.OpenBlob(ctx, u.prefix+repo, d, offset)
}

func (u under) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	return u.s.PutBlob(ctx, u.prefix+repo, d, content)
}

func (u under) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	return u.s.LinkBlob(ctx, u.prefix+from, u.prefix+to, d)
}

func (u under) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return u.s.DeleteBlob(ctx, u.prefix+repo, d)
}

func (u under) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return u.s.WalkBlobs(ctx, u.prefix+repo, fn)
}

func (u under) CreateUpload(ctx context.Context, repo oci.Repo, a oci.Algorithm) (oci.UploadID, error) {
	return u.s.CreateUpload(ctx, u.prefix+repo, a)
}

func (u under) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	return u.s.StatUpload(ctx, u.prefix+repo, id)
}

func (u under) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (int64, error) {
	return u.s.AppendUpload(ctx, u.prefix+repo, id, at, r)
}

func (u under) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	return u.s.FinishUpload(ctx, u.prefix+repo, id, d, at, r)
}

func (u under) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	return u.s.CancelUpload(ctx, u.prefix+repo, id)
}

func (u under) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	return u.s.WalkUploads(ctx, func(info oci.UploadInfo) error {
		info.Repo = oci.Repo(strings.TrimPrefix(string(info.Repo), string(u.prefix)))
		return fn(info)
	})
}

func (u under) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	return u.s.DeleteRepo(ctx, u.prefix+repo, old)
}

func (u under) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	return u.s.LoadIndex(ctx, u.prefix+repo, have)
}

func (u under) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	return u.s.SwapIndex(ctx, u.prefix+repo, old, index)
}

func (u under) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	return u.s.WalkRepos(ctx, u.prefix+after, func(r oci.Repo) error {
		return fn(oci.Repo(strings.TrimPrefix(string(r), string(u.prefix))))
	})
}
