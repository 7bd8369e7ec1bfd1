package store

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// condemnedContent is a bucket in which content is marked, old enough to go at
// any moment, and has one reference that the mark's maker did not see.
func condemnedContent(t *testing.T, content []byte) (*bucket, *clock, *Store) {
	t.Helper()
	b, clock := clockedBucket(t)
	s := b.sweeps(clock)
	d := push(t, s, "old", content)
	ok(t, s.DeleteBlob(t.Context(), "old", d))
	clock.advance(2 * condemnedFor)
	sweep(t, s)
	clock.advance(2 * condemnedFor)
	_, err := s.putReference(t.Context(), "old", d, int64(len(content)))
	ok(t, err)
	return b, clock, s
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

// keeps looks whether content stays, however often a store is swept.
func (b *bucket) keeps(clock *clock, swept *Store, repo oci.Repo, content []byte) {
	b.t.Helper()
	for range 3 {
		clock.advance(2 * condemnedFor)
		sweep(b.t, swept)
		reads(b.t, b.replica(), repo, content)
	}
}

// TestMountOfCondemned: of content that is about to go no reference is made, not
// even for a moment, in which its maker could die.
func TestMountOfCondemned(t *testing.T) {
	content := noise(1, chunk)
	b, clock, s := condemnedContent(t, content)
	b.Reset()
	ok(t, s.LinkBlob(t.Context(), "old", "new", oci.SHA256.FromBytes(content)))
	if b.referenceMade("new") {
		t.Error("a reference was made")
	}
	b.keeps(clock, s, "new", content)
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
	b, clock := clockedBucket(t)
	s := b.sweeps(clock)
	content := noise(1, 2*chunk)
	d := push(t, s, "old", content)
	id, err := s.CreateUpload(t.Context(), "new", oci.SHA256)
	ok(t, err)
	other := b.sweeps(clock)
	body := &during{bytes.NewReader(content), func() {
		ok(t, other.DeleteBlob(t.Context(), "old", d))
		clock.advance(2 * condemnedFor)
		sweep(t, other)
		b.Reset()
	}}
	_, err = s.FinishUpload(t.Context(), "new", id, d, 0, body)
	ok(t, err)
	if b.referenceMade("new") {
		t.Error("a reference was made")
	}
	b.keeps(clock, other, "new", content)
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

// TestLongUpload: a session to which bytes still come is told to be young, however
// long its body takes, and whether or not they are stored.
func TestLongUpload(t *testing.T) {
	content := noise(6, 3*chunk/2)
	d := oci.SHA256.FromBytes(content)
	for _, c := range []struct {
		name            string
		dedupe, present bool
		send            func(*Store, oci.UploadID, io.Reader) error
	}{
		{"PATCH", true, false, func(s *Store, id oci.UploadID, r io.Reader) error {
			_, err := s.AppendUpload(t.Context(), "a", id, 0, r)
			return err
		}},
		{"PUT", true, false, func(s *Store, id oci.UploadID, r io.Reader) error {
			_, err := s.FinishUpload(t.Context(), "a", id, d, 0, r)
			return err
		}},
		{"PUT of what is there", true, true, func(s *Store, id oci.UploadID, r io.Reader) error {
			_, err := s.FinishUpload(t.Context(), "a", id, d, 0, r)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, clock := clockedBucket(t)
			s, other := b.sweeps(clock), b.sweeps(clock)
			if c.present {
				push(t, other, "b", content)
			}
			id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
			ok(t, err)
			const step = 50 * time.Minute
			looks := 0
			look := func() {
				looks++
				found := 0
				ok(t, other.WalkUploads(t.Context(), func(u oci.UploadInfo) error {
					found++
					if age := clock.now().Sub(u.Modified); u.ID != id || age > step+time.Minute {
						t.Errorf("upload %s seems to be %v old", u.ID, age)
					}
					return nil
				}))
				if found != 1 {
					t.Errorf("%d uploads", found)
				}
				clock.advance(step)
			}
			ok(t, c.send(s, id, &drip{bytes.NewReader(content), look}))
			if looks < 10 {
				t.Fatalf("the body came in %d pieces", looks)
			}
			if c.name == "PATCH" {
				ok(t, other.CancelUpload(t.Context(), "a", id))
			}
			if left := b.keysWith("/uploads/"); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// drip is a body that comes in pieces, with something between them.
type drip struct {
	io.Reader
	between func()
}

func (s *drip) Read(p []byte) (int, error) {
	s.between()
	return s.Reader.Read(p[:min(len(p), 16<<10)])
}

// TestSignOfTheDead: what tells of a long body whose process died goes when its
// session has.
func TestSignOfTheDead(t *testing.T) {
	b, clock := clockedBucket(t)
	s := b.sweeps(clock)
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	b.Put(s.keys.alive("a", id), nil, nil)
	clock.advance(2 * abandonedAfter)
	sweep(t, s)
	if left := b.keysWith("/uploads/"); len(left) != 2 {
		t.Errorf("left beside the session: %q", left)
	}
	b.Delete(s.keys.session("a", id))
	ok(t, s.WalkUploads(t.Context(), func(u oci.UploadInfo) error {
		t.Errorf("there is upload %s", u.ID)
		return nil
	}))
	sweep(t, s)
	if left := b.keysWith("/uploads/"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestComesAgain: content that comes again is as young as what comes first, in
// whatever way: else a collector elsewhere takes it before its manifest comes.
func TestComesAgain(t *testing.T) {
	small, large := noise(7, 100), noise(8, 2*chunk)
	for _, dedupe := range []bool{false, true} {
		b, clock := clockedBucket(t)
		s := b.sweeps(clock, func(o *Options) { o.Dedupe = dedupe })
		for _, content := range [][]byte{small, large} {
			d := push(t, s, "from", content)
			for name, again := range map[string]func(){
				"upload": func() { push(t, s, "a", content) },
				"mount":  func() { ok(t, s.LinkBlob(t.Context(), "from", "a", d)) },
				"put":    func() { ok(t, s.PutBlob(t.Context(), "a", d, content)) },
			} {
				push(t, s, "a", content)
				clock.advance(condemnedFor)
				again()
				info, err := s.StatBlob(t.Context(), "a", d)
				ok(t, err)
				listed := info
				ok(t, s.WalkBlobs(t.Context(), "a", func(one oci.Digest, info oci.BlobInfo) error {
					if one == d {
						listed = info
					}
					return nil
				}))
				for _, at := range []time.Time{info.Modified, listed.Modified} {
					if age := clock.now().Sub(at); age > time.Minute {
						t.Errorf("%d bytes, %s, dedupe %v: %v old", len(content), name, dedupe, age)
					}
				}
			}
		}
	}
}

// TestStatAsks: a HEAD tells what is there now, whatever this process has seen.
func TestStatAsks(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s, other := b.replica(), b.replica()
	for _, content := range [][]byte{noise(9, 100), noise(10, 2*chunk)} {
		d := push(t, s, "a", content)
		reads(t, s, "a", content)
		ok(t, other.DeleteBlob(t.Context(), "a", d))
		_, err := s.StatBlob(t.Context(), "a", d)
		wants(t, "deleted", err, oci.ErrBlobUnknown)
		push(t, other, "a", content)
		_, err = s.StatBlob(t.Context(), "a", d)
		ok(t, err)
	}
}

// TestForeignDeletion: what others may depend on is kept aside before the time of
// a deletion begins, however long that takes.
func TestForeignDeletion(t *testing.T) {
	clock := newClock()
	b := strictBucket(t, s3test.Options{Now: clock.now})
	content := noise(11, 2*chunk)
	d := oci.SHA256.FromBytes(content)
	for repo, data := range map[string][]byte{"a": content, "b": nil} {
		b.Put("root/dir/"+repo+"/index.json", []byte(`{"schemaVersion":2,"manifests":[]}`), nil)
		b.Put("root/dir/"+repo+"/oci-layout", []byte(layoutContent), nil)
		b.Put("root/dir/"+repo+"/blobs/sha256/"+d.Encoded(), data, nil)
	}
	copying := false
	s := b.intrude(b.sweeps(clock), isMethod("PUT", ".berth/content/sha256/"), func() {
		copying = true
		clock.advance(10 * time.Minute)
	})
	end, err := s.PrepareDeletion(t.Context(), "a", []oci.Digest{d}, 5*time.Second)
	ok(t, err)
	if !copying {
		t.Fatal("nothing is kept aside")
	}
	ok(t, s.DeleteBlobsBefore(t.Context(), "a", []oci.Digest{d}, end))
	_, err = s.StatBlob(t.Context(), "a", d)
	wants(t, "deleted", err, oci.ErrBlobUnknown)
	reads(t, b.replica(), "b", content)
}
