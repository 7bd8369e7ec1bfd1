package subpath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
)

func second[T any](_ T, err error) error { return err }

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

// walk lists a store's repositories after a name.
func walk(t *testing.T, s oci.Store, after oci.Repo) string {
	t.Helper()
	var names []string
	err := s.WalkRepos(context.Background(), after, func(r oci.Repo) error {
		names = append(names, string(r))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(names, " ")
}

// filled is a store with repositories.
func filled(t *testing.T, repos ...oci.Repo) *ocitest.Memory {
	t.Helper()
	m := ocitest.NewMemory()
	for _, repo := range repos {
		if _, err := m.SwapIndex(context.Background(), repo, "", []byte(repo)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestWalkHidesAndMerges(t *testing.T) {
	r := New(filled(t, "a", "a-b", "a/hidden", "a0", "single", "single/below", "a/b/hidden", "z"))
	mustAttach(t, r, "a", filled(t, "x", "b", "b/hidden", "zz"))
	mustAttach(t, r, "a/b", filled(t, "c"))
	other := filled(t, "one", "two")
	for _, name := range []string{"single", "b/two"} {
		if err := r.AttachRepo(name, other, "two"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.AttachRepo("c/missing", other, "three"); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("a a-b a/b a/b/c a/x a/zz a0 b/two single single/below z")
	for i, name := range append([]string{""}, want...) {
		if got := walk(t, r, oci.Repo(name)); got != strings.Join(want[i:], " ") {
			t.Errorf("after %q: %s", name, got)
		}
	}
	ctx := context.Background()
	for name, content := range map[oci.Repo]string{"single": "two", "a/b": "b", "a/b/c": "c", "a/x": "x", "a": "a", "single/below": "single/below"} {
		if got, _, err := r.LoadIndex(ctx, name, ""); string(got) != content || err != nil {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	for _, name := range []oci.Repo{"a/hidden", "a/b/hidden", "c/missing", "b/one"} {
		wantErr(t, string(name), second3(r.LoadIndex(ctx, name, "")), oci.ErrNameUnknown)
	}
}

func second3[A, B any](_ A, _ B, err error) error { return err }

// TestWalkAtRandom compares walks with the definition: every name that routes
// to the store that has it.
func TestWalkAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "a-b", "a0", "zzz"}
	random := func(n int) string {
		var name []string
		for range 1 + rng.IntN(n) {
			name = append(name, parts[rng.IntN(len(parts))])
		}
		return strings.Join(name, "/")
	}
	fill := func() *ocitest.Memory {
		names := map[oci.Repo]bool{}
		for range 12 {
			names[oci.Repo(random(4))] = true
		}
		m := ocitest.NewMemory()
		for name := range names {
			if _, err := m.SwapIndex(context.Background(), name, "", []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	for range 200 {
		r := New(fill())
		for range rng.IntN(6) {
			prefix := random(3)
			if rng.IntN(3) > 0 {
				_ = r.Attach(prefix, fill()) // taken: fine
			} else {
				_ = r.AttachRepo(prefix, fill(), oci.Repo(random(2)))
			}
		}
		var want []string
		tab := r.table.Load()
		for _, m := range append([]*mount{tab.root}, tab.sorted...) {
			for _, name := range strings.Fields(walk(t, m.store, "")) {
				full := m.key + name
				if m.repo != "" {
					full = m.prefix
				}
				if owner, inner := tab.route(oci.Repo(full)); owner == m && string(inner) == name {
					want = append(want, full)
				}
			}
		}
		slices.Sort(want)
		for range 10 {
			after := random(4)
			rest := slices.DeleteFunc(slices.Clone(want), func(n string) bool { return n <= after })
			if got := walk(t, r, oci.Repo(after)); got != strings.Join(rest, " ") {
				t.Fatalf("after %s:\n got %s\nwant %s", after, got, strings.Join(rest, " "))
			}
		}
		if got := walk(t, r, ""); got != strings.Join(want, " ") {
			t.Fatalf("got %s\nwant %s", got, strings.Join(want, " "))
		}
	}
}

func TestWalkIsLazy(t *testing.T) {
	far := ocitest.NewFaults(filled(t, "x"))
	r := New(filled(t, "a", "b"))
	mustAttach(t, r, "m", far)
	stop := errors.New("enough")
	err := r.WalkRepos(context.Background(), "", func(oci.Repo) error { return stop })
	if err != stop || far.Calls("WalkRepos") != 0 {
		t.Errorf("error %v, %d walks of a store that was not reached", err, far.Calls("WalkRepos"))
	}
	if got := walk(t, r, "n"); got != "" || far.Calls("WalkRepos") != 0 {
		t.Errorf("a store that was passed was walked: %q", got)
	}
}

func TestUnavailableTakesOnlyItsOwn(t *testing.T) {
	ctx := context.Background()
	gone := NewLazy(LazyOptions{
		Name:  "m",
		Probe: func() (any, error) { return nil, errors.New("no such directory") },
		Open:  func() (oci.Store, error) { t.Error("opened"); return nil, nil },
	})
	r := New(filled(t, "a", "m/hidden", "z"))
	mustAttach(t, r, "m", gone)
	mustAttach(t, r, "m/n", filled(t, "inner"))
	if got := walk(t, r, ""); got != "a m/n/inner z" {
		t.Error(got)
	}
	if err := r.WalkUploads(ctx, func(oci.UploadInfo) error { return nil }); err != nil {
		t.Error(err)
	}
	wantErr(t, "load", second3(r.LoadIndex(ctx, "m/x", "")), oci.ErrUnavailable)
	wantErr(t, "mount from what is missing", r.LinkBlob(ctx, "m/x", "a", oci.SHA256.FromString("")), oci.ErrBlobUnknown)
	alone := New(gone)
	wantErr(t, "nothing is there", alone.WalkRepos(ctx, "", nil), oci.ErrUnavailable)
}

func TestVersionsOfAnotherStore(t *testing.T) {
	ctx := context.Background()
	r := New(ocitest.NewMemory())
	mustAttach(t, r, "m", filled(t, "x"))
	_, before, err := r.LoadIndex(ctx, "m/x", "")
	if err != nil {
		t.Fatal(err)
	}
	if content, again, err := r.LoadIndex(ctx, "m/x", before); content != nil || again != before || err != nil {
		t.Error(content, again, err)
	}
	if !r.Detach("m") || r.Detach("m") {
		t.Error("Detach")
	}
	wantErr(t, "detached", second3(r.LoadIndex(ctx, "m/x", before)), oci.ErrNameUnknown)
	mustAttach(t, r, "m", filled(t, "x"))
	content, after, err := r.LoadIndex(ctx, "m/x", before)
	if content == nil || after == before || err != nil {
		t.Errorf("the version of another store passes for current: %q %q %v", content, after, err)
	}
	wantErr(t, "swap", second(r.SwapIndex(ctx, "m/x", before, []byte("{}"))), oci.ErrConflict)
	if _, err := r.SwapIndex(ctx, "m/x", after, []byte("{}")); err != nil {
		t.Error(err)
	}
}

func TestAttachRefuses(t *testing.T) {
	r := New(nil)
	mustAttach(t, r, "a/b", ocitest.NewMemory())
	if err := r.Attach("a/b", ocitest.NewMemory()); err == nil {
		t.Error("the same prefix twice")
	}
	if err := r.AttachRepo("a/b", ocitest.NewMemory(), "x"); err != nil {
		t.Error("a repository may have the name of a prefix:", err)
	}
	wantErr(t, "root", r.Attach("", ocitest.NewMemory()), oci.ErrNameInvalid)
	wantErr(t, "slash", r.Attach("/a", ocitest.NewMemory()), oci.ErrNameInvalid)
	wantErr(t, "repo", r.AttachRepo("a", ocitest.NewMemory(), "X"), oci.ErrNameInvalid)
}

// linking is a store that can link from others, when its answer says so.
type linking struct {
	*ocitest.Memory
	answer error
	asked  int
}

func (l *linking) LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	l.asked++
	content, err := io.ReadAll(from)
	if err == nil && l.answer == nil {
		return l.PutBlob(ctx, to, d, content)
	}
	return errors.Join(err, l.answer)
}

func TestLinkAcrossStores(t *testing.T) {
	ctx := context.Background()
	d := oci.SHA512.FromString("content")
	wrong := oci.SHA256.FromString("what it should be")
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		target oci.Store
		want   error
	}{
		"copy":     {ocitest.NewMemory(), nil},
		"link":     {&linking{Memory: ocitest.NewMemory()}, nil},
		"no link":  {&linking{Memory: ocitest.NewMemory(), answer: fmt.Errorf("cross-device: %w", errors.ErrUnsupported)}, nil},
		"failure":  {&linking{Memory: ocitest.NewMemory(), answer: broken}, broken},
		"readonly": {ReadOnly(ocitest.NewMemory()), oci.ErrReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			source := ocitest.NewMemory()
			for _, d := range []oci.Digest{d, wrong} {
				if err := source.PutBlob(ctx, "x", d, []byte("content")); err != nil {
					t.Fatal(err)
				}
			}
			r := New(source)
			mustAttach(t, r, "m", c.target)
			wantErr(t, "link", r.LinkBlob(ctx, "x", "m/y", d), c.want)
			wantErr(t, "unknown", r.LinkBlob(ctx, "none", "m/y", d), oci.ErrBlobUnknown)
			if c.want != nil {
				return
			}
			content, err := r.OpenBlob(ctx, "m/y", d, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			if got, err := io.ReadAll(content); string(got) != "content" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if name == "link" {
				return // a link is not verified: the stores trust their own
			}
			wantErr(t, "corrupt", r.LinkBlob(ctx, "x", "m/y", wrong), oci.ErrBlobUnknown)
			err = r.WalkUploads(ctx, func(u oci.UploadInfo) error { return fmt.Errorf("session %s is left", u.ID) })
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUploadsStayInTheirStore(t *testing.T) {
	ctx := context.Background()
	r := New(ocitest.NewMemory())
	mustAttach(t, r, "m", ocitest.NewMemory())
	id, err := r.CreateUpload(ctx, "m/x", oci.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "elsewhere", second(r.StatUpload(ctx, "x", id)), oci.ErrUploadUnknown)
	root, err := r.CreateUpload(ctx, "x", oci.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var seen []oci.UploadID
	err = r.WalkUploads(ctx, func(u oci.UploadInfo) error { seen = append(seen, u.ID); return nil })
	if err != nil || len(seen) != 2 || !slices.Contains(seen, id) || !slices.Contains(seen, root) {
		t.Errorf("%v, %v", seen, err)
	}
	if _, err := r.FinishUpload(ctx, "m/x", id, oci.SHA256.FromString("x"), oci.AtEnd, bytes.NewReader([]byte("x"))); err != nil {
		t.Error(err)
	}
}

// redirecting is a store whose blobs can be read elsewhere.
type redirecting struct {
	*ocitest.Memory
	url string
}

func (r *redirecting) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	_, err := r.StatBlob(ctx, repo, d)
	return r.url + string(repo), err
}

// TestRedirectBelowPrefixes: each store says for itself where its blobs can be
// read, under its own names.
func TestRedirectBelowPrefixes(t *testing.T) {
	ctx, d := context.Background(), oci.SHA256.FromString("x")
	bucket := &redirecting{filled(t), "https://bucket.test/"}
	if err := bucket.PutBlob(ctx, "a", d, []byte("x")); err != nil {
		t.Fatal(err)
	}
	r := New(ocitest.NewMemory())
	mustAttach(t, r, "s3", NewLazy(LazyOptions{
		Name: "s3", Probe: func() (any, error) { return 1, nil }, Open: func() (oci.Store, error) { return bucket, nil },
	}))
	if url, err := r.RedirectBlob(ctx, "s3/a", d); url != "https://bucket.test/a" || err != nil {
		t.Errorf("redirect is %q, %v", url, err)
	}
	_, err := r.RedirectBlob(ctx, "s3/b", d)
	wantErr(t, "redirect to a blob that is not there", err, oci.ErrBlobUnknown)
	if url, err := r.RedirectBlob(ctx, "other", d); url != "" || err != nil {
		t.Errorf("redirect of a store that has none is %q, %v", url, err)
	}
}
