package store

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// condemnedContent is a bucket in which content is marked, old enough to go at
// any moment, and has one reference that the mark's maker did not see.
func condemnedContent(t *testing.T, content []byte) (*bucket, *clock, *Store) {
	t.Helper()
	b, time := clockedBucket(t)
	s := b.sweeps(time)
	d := push(t, s, "old", content)
	ok(t, s.DeleteBlob(t.Context(), "old", d))
	time.advance(2 * condemnedFor)
	sweep(t, s)
	time.advance(2 * condemnedFor)
	_, err := s.putReference(t.Context(), "old", d, int64(len(content)))
	ok(t, err)
	return b, time, s
}

// referenceMade tells whether a reference was made of a repository's blob, be it
// for a moment.
func (b *bucket) referenceMade(repo string) bool {
	for _, seen := range b.Seen() {
		if seen.Op == "PutObject" && strings.Contains(seen.Key, "/"+repo+"/blobs/") && seen.Header.Get("X-Amz-Meta-Berth-Content") != "" {
			return true
		}
	}
	return false
}

// TestMountOfCondemned: of content that is about to go no reference is made, not
// even for a moment, in which its maker could die.
func TestMountOfCondemned(t *testing.T) {
	content := noise(1, chunk)
	b, time, s := condemnedContent(t, content)
	b.Reset()
	ok(t, s.LinkBlob(t.Context(), "old", "new", oci.SHA256.FromBytes(content)))
	if b.referenceMade("new") {
		t.Error("a reference was made")
	}
	for range 3 {
		time.advance(2 * condemnedFor)
		sweep(t, s)
		reads(t, b.replica(), "new", content)
	}
}

// TestLateSweep: a collector that is stopped for hours before its last step
// deletes nothing that came meanwhile: neither content nor a mark.
func TestLateSweep(t *testing.T) {
	content := noise(5, chunk)
	d := oci.SHA256.FromBytes(content)
	key := "root/dir/.berth/content/sha256/" + d.Encoded()
	for name, at := range map[string]string{"content": key, "mark": key + condemnedSuffix} {
		clock := newClock()
		b := strictBucket(t, s3test.Options{Now: clock.now})
		s, other := b.sweeps(clock), b.sweeps(clock)
		push(t, s, "old", content)
		ok(t, s.DeleteBlob(t.Context(), "old", d))
		came := false
		behind := b.intrude(s, isMethod("DELETE", at+"?"), func() {
			came = true
			for b.contents() != "" {
				clock.advance(2 * condemnedFor)
				sweep(t, other)
			}
			push(t, other, "new", content)
			ok(t, other.DeleteBlob(t.Context(), "new", d))
			clock.advance(2 * condemnedFor)
			sweep(t, other) // marks it
			push(t, other, "own", content)
			ok(t, b.replica().LinkBlob(t.Context(), "own", "another", d))
		})
		for before := ""; !came; before = b.contents() {
			clock.advance(2 * condemnedFor)
			_ = behind.RemoveLeftovers(t.Context(), false, func(string, int64) error { return nil })
			if b.contents() == before && !came {
				t.Fatalf("%s: nothing goes on: %q", name, before)
			}
		}
		if got := b.contents(); got != key+" "+key+condemnedSuffix {
			t.Errorf("the late deletion of the %s leaves %q", name, got)
		}
		reads(t, b.replica(), "own", content)
	}
}

// during is a body that does something before its end.
type during struct {
	io.Reader
	do func()
}

func (d *during) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err == io.EOF && d.do != nil {
		d.do()
		d.do = nil
	}
	return n, err
}

// TestLongBody: content that was there when a body began is looked at again when
// that has taken long.
func TestLongBody(t *testing.T) {
	b, time := clockedBucket(t)
	s := b.sweeps(time)
	content := noise(1, 2*chunk)
	d := push(t, s, "old", content)
	id, err := s.CreateUpload(t.Context(), "new", oci.SHA256)
	ok(t, err)
	other := b.sweeps(time)
	body := &during{bytes.NewReader(content), func() {
		ok(t, other.DeleteBlob(t.Context(), "old", d))
		time.advance(2 * condemnedFor)
		sweep(t, other)
		b.Reset()
	}}
	_, err = s.FinishUpload(t.Context(), "new", id, d, 0, body)
	ok(t, err)
	if b.referenceMade("new") {
		t.Error("a reference was made")
	}
	for range 3 {
		time.advance(2 * condemnedFor)
		sweep(t, other)
		reads(t, b.replica(), "new", content)
	}
}

// TestWithdrawSparesOthers: who takes back a reference to content that is gone
// leaves alone what another process has pushed there meanwhile.
func TestWithdrawSparesOthers(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	content := noise(4, 2*chunk)
	d := push(t, s, "a", content)
	plain := b.replica(func(o *Options) { o.Dedupe = false })
	puts := 0
	late := b.replica(func(o *Options) {
		o.Client = b.clientWith(func(r *http.Request) {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/new/blobs/") || r.Header.Get("X-Amz-Copy-Source") != "" {
				return
			}
			switch puts++; puts {
			case 1: // the reference
				b.Delete("root/dir/.berth/content/sha256/" + d.Encoded())
			case 2: // its end
				push(t, plain, "new", content)
			}
		})
	})
	id, err := late.CreateUpload(t.Context(), "new", oci.SHA256)
	ok(t, err)
	_, err = late.FinishUpload(t.Context(), "new", id, d, 0, bytes.NewReader(content))
	wants(t, "gone", err, oci.ErrUnavailable)
	if puts != 2 {
		t.Fatalf("%d writes, where two were to be met", puts)
	}
	reads(t, late, "new", content)
	reads(t, b.replica(), "new", content)
}

// TestQuarantineSparesOthers: an object of its own that a repository gets while
// shared content is taken out of service stays.
func TestQuarantineSparesOthers(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	other := b.replica()
	content := noise(1, chunk)
	d := push(t, other, "a", content)
	ok(t, other.LinkBlob(t.Context(), "a", "b", d))
	b.Put("root/dir/.berth/content/sha256/"+d.Encoded(), noise(2, chunk), nil)
	plain := b.replica(func(o *Options) { o.Dedupe = false })
	s := b.intrude(other, isMethod("PUT", "/quarantine/sha256/"+d.Encoded()), func() { push(t, plain, "b", content) })
	_, err := s.QuarantineBlob(t.Context(), "a", d, "rot")
	ok(t, err)
	if o, _ := b.Object("root/dir/b/blobs/sha256/" + d.Encoded()); !bytes.Equal(o.Data, content) {
		t.Errorf("the object has %d bytes", len(o.Data))
	}
	reads(t, b.replica(), "b", content)
	reads(t, b.replica(), "a", content) // which it is found for
}
