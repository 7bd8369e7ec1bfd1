package store

import (
	"maps"
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
