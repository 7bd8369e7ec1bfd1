package store

import (
	"maps"
	"slices"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// TestListBlobs: a list tells the names and ages that a walk does, and the bytes
// of what is the repository's own, without a request for each.
func TestListBlobs(t *testing.T) {
	b := newBucket(t, s3test.Options{PageSize: 3})
	s := b.replica()
	own, want := map[oci.Digest]int64{}, map[oci.Digest]int64{}
	for i := range 4 {
		small, large := noise(uint32(i), 1000+i), noise(uint32(i), chunk+i)
		own[push(t, s, "a", small)], own[push(t, s, "a", large)] = int64(len(small)), 0
		want[oci.SHA256.FromBytes(small)], want[oci.SHA256.FromBytes(large)] = int64(len(small)), int64(len(large))
	}
	collect := func(walk func(fn func(oci.Digest, oci.BlobInfo) error) error) (map[oci.Digest]int64, map[oci.Digest]time.Time) {
		sizes, times := map[oci.Digest]int64{}, map[oci.Digest]time.Time{}
		ok(t, walk(func(d oci.Digest, info oci.BlobInfo) error {
			sizes[d], times[d] = info.Size, info.Modified.Truncate(time.Second)
			return nil
		}))
		return sizes, times
	}
	var walked, listed map[oci.Digest]time.Time
	b.costs(t, "a list of blobs", "ListObjectsV2 ListObjectsV2 ListObjectsV2 ListObjectsV2", func() {
		var sizes map[oci.Digest]int64
		sizes, listed = collect(func(fn func(oci.Digest, oci.BlobInfo) error) error { return oci.ListBlobs(t.Context(), s, "a", fn) })
		if !maps.Equal(sizes, own) {
			t.Errorf("listed are %v, want %v", sizes, own)
		}
	})
	sizes, walked := collect(func(fn func(oci.Digest, oci.BlobInfo) error) error { return s.WalkBlobs(t.Context(), "a", fn) })
	if !maps.Equal(sizes, want) || !maps.EqualFunc(walked, listed, time.Time.Equal) {
		t.Errorf("walked are %v of %v, and listed %v; want %v", sizes, walked, listed, want)
	}
	wants(t, "list of nothing", s.ListBlobs(t.Context(), "none", nil), oci.ErrNameUnknown)
}

// TestBlobsChanged: what comes, and what the index tells, changes a repository.
func TestBlobsChanged(t *testing.T) {
	b, clock := clockedBucket(t)
	s := b.replica()
	_, err := s.BlobsChanged(t.Context(), "a")
	wants(t, "changes of nothing", err, oci.ErrNameUnknown)
	last := time.Time{}
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a small blob", func() { push(t, s, "a", noise(1, 10)) }},
		{"a large blob", func() { push(t, s, "a", noise(2, chunk)) }},
		{"an index", func() {
			_, v, err := s.LoadIndex(t.Context(), "a", "")
			ok(t, err)
			_, err = s.SwapIndex(t.Context(), "a", v, []byte(`{"schemaVersion":2,"manifests":[]}`))
			ok(t, err)
		}},
		{"a reference again", func() { push(t, s, "a", noise(2, chunk)) }},
	} {
		clock.advance(time.Hour)
		step.do()
		at, err := s.BlobsChanged(t.Context(), "a")
		ok(t, err)
		if !at.After(last) {
			t.Errorf("%s: changed at %v, and before at %v", step.what, at, last)
		}
		again, err := s.BlobsChanged(t.Context(), "a")
		if ok(t, err); !again.Equal(at) {
			t.Errorf("%s: changed at %v, and without a change at %v", step.what, at, again)
		}
		last = at
	}
}

// TestWalkManyReferences: how large references are lists of shared content tell
// where that takes fewer requests, and HEADs where there is too much of it.
func TestWalkManyReferences(t *testing.T) {
	const refs = 2*headsPerList + 3
	for page, heads := range map[int]int{0: 0, refs - headsPerList + 1: headsPerList - 1} {
		b := newBucket(t, s3test.Options{PageSize: page})
		s := b.replica()
		want := map[oci.Digest]int64{}
		for i := range refs {
			content := noise(uint32(i), smallBlob+1+i)
			want[push(t, s, "a", content)] = int64(len(content))
		}
		cold := b.replica()
		b.Reset()
		sizes := map[oci.Digest]int64{}
		ok(t, cold.WalkBlobs(t.Context(), "a", func(d oci.Digest, info oci.BlobInfo) error {
			if sizes[d] = info.Size; info.Copy == 0 {
				t.Errorf("%s seems to be the repository's alone", d)
			}
			return nil
		}))
		if !maps.Equal(sizes, want) {
			t.Errorf("pages of %d: the sizes are %v, want %v", page, sizes, want)
		}
		if got := b.Count("HeadObject"); got != heads {
			t.Errorf("pages of %d: %d HEADs, want %d", page, got, heads)
		}
		// Where its content is gone, nobody tells its size but the reference.
		b.Delete("root/dir/.berth/content/sha256/" + slices.Sorted(maps.Keys(want))[0].Encoded())
		clear(sizes)
		ok(t, b.replica().WalkBlobs(t.Context(), "a", func(d oci.Digest, info oci.BlobInfo) error {
			sizes[d] = info.Size
			return nil
		}))
		if !maps.Equal(sizes, want) {
			t.Errorf("without content the sizes are %v, want %v", sizes, want)
		}
	}
}
