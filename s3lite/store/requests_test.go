package store

import (
	"bytes"
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
	b.costs(t, "GET of a small blob", "GetObject", read(d))
	b.costs(t, "GET of a large blob that came just now", "GetObject", read(e))
	s.refs.drop(blobID{"a", e})
	b.costs(t, "GET of a large blob, cold", "GetObject GetObject", read(e))
	b.costs(t, "GET of a large blob, warm", "GetObject", read(e))
	for _, d := range []oci.Digest{d, e} {
		b.costs(t, "HEAD of a blob", "HeadObject", func() { _, _ = s.StatBlob(ctx, "a", d) })
	}
	b.costs(t, "a mount", "HeadObject ListObjectsV2 PutObject ListObjectsV2", func() {
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
	indexBehind(t, s, aged, v)
}

// indexBehind: a write finds out that an index is not current, and the next load
// asks.
func indexBehind(t *testing.T, s, aged *Store, v oci.Version) {
	t.Helper()
	now := []byte(`{"schemaVersion":2,"manifests":[],"annotations":{"n":"now"}}`)
	_, err := s.SwapIndex(t.Context(), "a", v, now)
	ok(t, err)
	_, err = aged.SwapIndex(t.Context(), "a", v, []byte(`{}`))
	wants(t, "behind", err, oci.ErrConflict)
	content, _, err := aged.LoadIndex(t.Context(), "a", v)
	if ok(t, err); !bytes.Equal(content, now) {
		t.Errorf("the index is %s", content)
	}
}

// TestPartRequests: a range costs what the whole does.
func TestPartRequests(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s, small, large := b.replica(), noise(1, 1000), noise(2, chunk-1)
	push(t, s, "a", small)
	d := push(t, s, "a", large)
	for _, p := range []part{{0, 10}, {10, 0}, {-10, 0}, {100, 200}} {
		part := func() { readPart(t, s, d, large, p) }
		b.costs(t, "a part of a large blob, warm", "GetObject", part)
		s.refs.drop(blobID{"a", d})
		b.costs(t, "a part of a large blob, cold", "HeadObject GetObject", part)
	}
	single := b.replica(func(o *Options) { o.Dedupe = false })
	b.costs(t, "a part of a blob without dedupe", "GetObject", func() {
		readPart(t, single, oci.SHA256.FromBytes(small), small, part{100, 200})
	})
}

// readPart reads a part of a blob of repository a, as a client does that asked for
// a range.
func readPart(t *testing.T, s *Store, d oci.Digest, want []byte, p part) {
	t.Helper()
	c, err := s.OpenBlobPart(t.Context(), "a", d, p.offset, p.length)
	ok(t, err)
	from := p.begin(int64(len(want)))
	_, err = c.Seek(from, io.SeekStart)
	ok(t, err)
	if want = want[from:]; p.length > 0 {
		want = want[:p.length]
	}
	got := make([]byte, len(want))
	_, err = io.ReadFull(c, got)
	ok(t, err)
	if ok(t, c.Close()); !bytes.Equal(got, want) {
		t.Errorf("part %+v is %d other bytes", p, len(got))
	}
}

// TestPartOfBlob: who opened a part can read on behind it and seek before it,
// and a part beyond the end is empty.
func TestPartOfBlob(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s, content := b.replica(), noise(3, chunk)
	d := push(t, s, "a", content)
	for _, p := range []part{{0, 10}, {1000, 10}, {-10, 0}, {-2 * chunk, 0}, {chunk, 0}, {chunk + 5, 5}, {chunk - 1, 100}} {
		c, err := s.OpenBlobPart(t.Context(), "a", d, p.offset, p.length)
		ok(t, err)
		if c.Info().Size != chunk {
			t.Errorf("%+v: the blob has %d bytes", p, c.Info().Size)
		}
		for _, from := range []int64{p.begin(chunk), p.begin(chunk) / 2, 0} {
			_, err = c.Seek(from, io.SeekStart)
			ok(t, err)
			got, err := io.ReadAll(c)
			if ok(t, err); !bytes.Equal(got, content[from:]) {
				t.Errorf("%+v: from %d on there are %d other bytes", p, from, len(got))
			}
		}
		ok(t, c.Close())
	}
	_, err := s.OpenBlobPart(t.Context(), "a", oci.SHA256.FromString("none"), 5, 5)
	wants(t, "a part of nothing", err, oci.ErrBlobUnknown)
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
