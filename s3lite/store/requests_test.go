package store

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// costs fails where something takes other requests than are told.
func (b *bucket) costs(t *testing.T, what, want string, do func()) {
	t.Helper()
	b.Reset()
	do()
	var ops []string
	for _, seen := range b.Seen() {
		ops = append(ops, seen.Op)
	}
	if got := strings.Join(ops, " "); got != want {
		t.Errorf("%s takes %d requests: %s; want: %s", what, len(ops), got, want)
	}
}

// TestRequests holds what docs/FORMAT.md says that operations cost.
func TestRequests(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	var s *Store
	ctx := t.Context()
	b.costs(t, "a start", "", func() { s = b.replica() })
	small, large := noise(1, 1000), noise(2, chunk-1)
	manifest := []byte(`{"schemaVersion":2}`)
	index := func(i int) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, i)
	}
	b.costs(t, "the first write of all", "GetObject ListObjectsV2 PutObject PutObject PutObject PutObject HeadObject PutObject PutObject",
		func() { ok(t, s.PutBlob(ctx, "a", oci.SHA256.FromBytes(manifest), manifest)) })

	b.costs(t, "a small push", "PutObject PutObject DeleteObject", func() { push(t, s, "a", small) })
	b.costs(t, "a large push", "PutObject ListObjectsV2 PutObject PutObject ListObjectsV2 DeleteObject", func() { push(t, s, "a", large) })
	d, e := oci.SHA256.FromBytes(small), oci.SHA256.FromBytes(large)
	read := func(d oci.Digest) func() {
		return func() {
			c, err := s.OpenBlob(ctx, "a", d, 0)
			ok(t, err)
			_, err = io.Copy(io.Discard, c)
			ok(t, err)
			ok(t, c.Close())
		}
	}
	b.costs(t, "HEAD of a small blob", "HeadObject", func() { _, _ = s.StatBlob(ctx, "a", d) })
	b.costs(t, "GET of a small blob", "GetObject", read(d))
	b.costs(t, "GET of a large blob, cold", "GetObject GetObject", read(e))
	b.costs(t, "GET of a large blob, warm", "GetObject", read(e))
	b.costs(t, "HEAD of a large blob", "HeadObject", func() { _, _ = s.StatBlob(ctx, "a", e) })
	b.costs(t, "a mount", "HeadObject PutObject ListObjectsV2", func() {
		s.known.put("b", true)
		ok(t, s.LinkBlob(ctx, "a", "b", e))
	})

	_, v, err := s.LoadIndex(ctx, "a", "")
	ok(t, err)
	b.costs(t, "a manifest by its tag, warm", "GetObject", func() { _, _, _ = s.LoadIndex(ctx, "a", v) })
	b.costs(t, "a manifest push", "GetObject PutObject PutObject", func() {
		_, v, _ = s.LoadIndex(ctx, "a", v)
		ok(t, s.PutBlob(ctx, "a", oci.SHA256.FromBytes(manifest), manifest))
		v, err = s.SwapIndex(ctx, "a", v, index(1))
		ok(t, err)
	})

	aged := b.replica(func(o *Options) { o.IndexMaxAge = knownFor })
	_, v, err = aged.LoadIndex(ctx, "a", "")
	ok(t, err)
	b.costs(t, "a manifest by its tag within indexMaxAge", "", func() { _, _, _ = aged.LoadIndex(ctx, "a", v) })
	_, err = s.SwapIndex(ctx, "a", v, index(2))
	ok(t, err)
	// A write finds out that it is not current, and the next load asks.
	_, err = aged.SwapIndex(ctx, "a", v, index(3))
	wants(t, "behind", err, oci.ErrConflict)
	content, _, err := aged.LoadIndex(ctx, "a", v)
	if ok(t, err); string(content) != string(index(2)) {
		t.Errorf("the index is %s", content)
	}
}

// TestCatalogRequests: a catalog lists each directory once, and no blobs.
func TestCatalogRequests(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	const repos = 100
	for i := range repos {
		name := fmt.Sprintf("root/dir/group%02d/image%03d/", i%10, i)
		b.Put(name+"index.json", []byte("{}"), nil)
		for j := range 2 {
			b.Put(fmt.Sprintf("%sblobs/sha256/%064d", name, j), []byte("x"), nil)
		}
	}
	s, n := b.replica(), 0
	ok(t, s.WalkRepos(t.Context(), "", func(oci.Repo) error { n++; return nil }))
	if n != repos || b.Count("") != 1+10+repos {
		t.Errorf("%d repositories in %d requests", n, b.Count(""))
	}
	for _, seen := range b.Seen() {
		if seen.Op != "ListObjectsV2" {
			t.Fatalf("the catalog took a %s", seen.Op)
		}
	}
	b.Reset()
	n = 0
	ok(t, ignoreEnough(s.WalkRepos(t.Context(), "group03/image053", func(oci.Repo) error {
		if n++; n == 10 {
			return errEnough
		}
		return nil
	})))
	if got := b.Count(""); got > 40 {
		t.Errorf("a page of 10 took %d requests", got)
	}
}

func ignoreEnough(err error) error {
	if err == errEnough {
		return nil
	}
	return err
}
