package store

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// clock is one that a test moves.
type clock struct {
	start time.Time
	ahead atomic.Int64
}

func (c *clock) now() time.Time { return c.start.Add(time.Duration(c.ahead.Load())) }

func newClock() *clock { return &clock{start: time.Now()} }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// clockedBucket is a server by a clock that the test moves.
func clockedBucket(t *testing.T) (*bucket, *clock) {
	c := newClock()
	return newBucket(t, s3test.Options{Now: c.now}), c
}

// sweeps is a replica by that clock, which collects.
func (b *bucket) sweeps(c *clock, change ...func(*Options)) *Store {
	return b.replica(append(change, func(o *Options) { o.Now = c.now })...)
}

// sweep runs a round and returns what it told of.
func sweep(t *testing.T, s *Store) (names []string) {
	t.Helper()
	ok(t, s.RemoveLeftovers(t.Context(), false, func(name string, size int64) error {
		names = append(names, name)
		return nil
	}))
	return names
}

// contents are the keys of shared content and its marks.
func (b *bucket) contents() string { return strings.Join(b.keysWith("/content/"), " ") }

// TestReferences: content is there once, references have no bytes, and it stays
// until the last of them is gone.
func TestReferences(t *testing.T) {
	b, time := clockedBucket(t)
	s := b.sweeps(time)
	content := noise(1, chunk)
	d := push(t, s, "a", content)
	ok(t, s.LinkBlob(t.Context(), "a", "b", d))
	push(t, s, "c", content)
	key := "root/dir/.berth/content/sha256/" + d.Encoded()
	for _, repo := range []string{"a", "b", "c"} {
		object, _ := b.Object("root/dir/" + repo + "/blobs/sha256/" + d.Encoded())
		if len(object.Data) > 0 || object.Metadata["berth-content"] != ".berth/content/sha256/"+d.Encoded() || object.Metadata["berth-size"] != "131072" {
			t.Errorf("%s has %d bytes and %v", repo, len(object.Data), object.Metadata)
		}
	}
	for _, repo := range []oci.Repo{"a", "c", "b"} {
		reads(t, s, repo, content)
		time.advance(3 * condemnedFor)
		if names := sweep(t, s); len(names) > 0 || b.contents() != key {
			t.Fatalf("swept %q, left %q", names, b.contents())
		}
		ok(t, s.DeleteBlob(t.Context(), repo, d))
		_, err := s.OpenBlob(t.Context(), repo, d, 0)
		wants(t, "deleted", err, oci.ErrBlobUnknown)
	}
	sweep(t, s)
	if b.contents() != key+" "+key+condemnedSuffix {
		t.Fatalf("after the last reference there is %q", b.contents())
	}
	sweep(t, s) // too early
	time.advance(2 * condemnedFor)
	if names := sweep(t, s); len(names) != 1 || b.contents() != key+condemnedSuffix {
		t.Fatalf("swept %q, left %q", names, b.contents())
	}
	time.advance(2 * condemnedFor)
	if sweep(t, s); b.contents() != "" {
		t.Fatalf("left %q", b.contents())
	}
	push(t, s, "a", content)
	reads(t, s, "a", content)
}

// intrude makes something happen just before the next request that fits, of
// those that go side by side before one.
func (b *bucket) intrude(s *Store, match func(*http.Request) bool, do func()) *Store {
	b.t.Helper()
	var done atomic.Bool
	return b.replica(func(o *Options) {
		*o = s.opts
		o.Client = b.clientWith(func(r *http.Request) {
			if match(r) && done.CompareAndSwap(false, true) {
				do()
			}
		})
	})
}

func isMethod(method, text string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && strings.Contains(r.URL.String(), text)
	}
}

// TestReferenceBesideSweep: at whatever step of a collection a reference is
// made, its content can be read afterwards.
func TestReferenceBesideSweep(t *testing.T) {
	content := noise(2, chunk)
	d := oci.SHA256.FromBytes(content)
	steps := map[string]func(*http.Request) bool{
		"before the mark is looked at": isMethod("GET", "prefix=root%2Fdir%2F.berth%2Fcontent"),
		"before references are listed": isMethod("GET", "prefix=root%2Fdir%2F&"),
		"before the last mark":         isMethod("PUT", condemnedSuffix),
		"before the delete":            isMethod("DELETE", "/content/sha256/"),
	}
	how := map[string]func(*testing.T, *Store){
		"link": func(t *testing.T, s *Store) { ok(t, s.LinkBlob(t.Context(), "full", "new", d)) },
		"push": func(t *testing.T, s *Store) { push(t, s, "new", content) },
	}
	for step, match := range steps {
		for name, refer := range how {
			for round := range 3 {
				b, time := clockedBucket(t)
				other := b.sweeps(time)
				ok(t, b.replica(func(o *Options) { o.Dedupe = false }).PutBlob(t.Context(), "full", d, content))
				push(t, other, "old", content)
				ok(t, other.DeleteBlob(t.Context(), "old", d))
				for i := range 4 {
					time.advance(2 * condemnedFor)
					s := other
					if i == round {
						s = b.intrude(other, match, func() { refer(t, other) })
					}
					sweep(t, s)
				}
				if _, err := other.StatBlob(t.Context(), "new", d); err != nil {
					refer(t, other) // that step was not taken in this round
				}
				time.advance(2 * condemnedFor)
				sweep(t, other)
				reads(t, b.replica(), "new", content)
				if t.Failed() {
					t.Fatalf("%s, %s, round %d: there is %q", step, name, round, b.Keys())
				}
			}
		}
	}
}

// TestTwoCollectors: one that is behind does no harm to what the other spared.
func TestTwoCollectors(t *testing.T) {
	content := noise(3, chunk)
	b, time := clockedBucket(t)
	s := b.sweeps(time)
	d := push(t, s, "old", content)
	ok(t, s.DeleteBlob(t.Context(), "old", d))
	time.advance(2 * condemnedFor)
	sweep(t, s) // marks it
	time.advance(2 * condemnedFor)
	behind := b.intrude(s, isMethod("PUT", condemnedSuffix), func() {
		// The reference comes after the list of the one that is behind; another
		// collector sees it and spares the content, and only then is the
		// reference's maker looking.
		_, err := s.putReference(t.Context(), "new", d, chunk)
		ok(t, err)
		sweep(t, s)
		state, err := s.contentState(t.Context(), d)
		if ok(t, err); !state.usable() {
			t.Fatalf("spared content is %+v", state)
		}
	})
	sweep(t, behind)
	time.advance(2 * condemnedFor)
	sweep(t, s)
	reads(t, s, "new", content)
}

// TestContentGone: a reference to content that vanished while an upload relied
// on it is taken back, and the upload can be made again.
func TestContentGone(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	content := noise(4, 6*chunk)
	d := push(t, s, "a", content)
	late := b.intrude(s, isMethod("PUT", "/new/blobs/"), func() { b.Delete("root/dir/.berth/content/sha256/" + d.Encoded()) })
	id, err := late.CreateUpload(t.Context(), "new", oci.SHA256)
	ok(t, err)
	_, err = late.FinishUpload(t.Context(), "new", id, d, 0, bytes.NewReader(content))
	wants(t, "gone", err, oci.ErrUnavailable)
	_, err = late.StatBlob(t.Context(), "new", d)
	wants(t, "gone", err, oci.ErrBlobUnknown)
	_, err = late.FinishUpload(t.Context(), "new", id, d, 0, bytes.NewReader(content))
	ok(t, err)
	reads(t, s, "new", content)
}

// TestForeign: what another registry left is never served as an empty blob.
func TestForeign(t *testing.T) {
	for name, where := range map[string]string{"another repository": "z/y", "its own store": "_blobstore", "known": "m"} {
		b, time := clockedBucket(t)
		content, lost := noise(5, chunk), noise(6, 100)
		d, gone := oci.SHA256.FromBytes(content), oci.SHA256.FromBytes(lost)
		at := func(repo string, d oci.Digest) string { return "root/dir/" + repo + "/blobs/sha256/" + d.Encoded() }
		for _, repo := range []string{"a", "b", where} {
			b.Put("root/dir/"+repo+"/index.json", []byte(`{"schemaVersion":2,"manifests":[]}`), nil)
			b.Put("root/dir/"+repo+"/oci-layout", []byte(layoutContent), nil)
			b.Put(at(repo, d), nil, nil)
		}
		b.Put(at(where, d), content, nil)
		b.Put(at("a", gone), nil, nil)
		s := b.replica(func(o *Options) {
			if name == "known" {
				o.Locations = holders{"no/such", oci.Repo(where)}
			}
		})
		reads(t, s, "a", content)
		reads(t, s, "b", content)
		_, err := s.StatBlob(t.Context(), "a", gone)
		wants(t, name, err, oci.ErrBlobUnknown)
		_, err = s.OpenBlob(t.Context(), "a", gone, 0)
		wants(t, name, err, oci.ErrBlobUnknown)
		ok(t, s.LinkBlob(t.Context(), "b", "c", d))
		reads(t, s, "c", content)
		if where == "_blobstore" {
			continue
		}
		// The one that has the content may lose it, and the others do not.
		ok(t, s.DiscardBlob(t.Context(), oci.Repo(where), d))
		reads(t, b.replica(), "a", content)
		ok(t, s.DeleteBlob(t.Context(), "a", d))
		reads(t, b.replica(), "b", content)
		time.advance(3 * condemnedFor)
		sweep(t, b.sweeps(time))
		reads(t, b.replica(), "b", content)
	}
}

// TestRestore: without dedupe references become objects, from where the last
// attempt stood.
func TestRestore(t *testing.T) {
	b, time := clockedBucket(t)
	s := b.replica()
	small, large := noise(1, 100), noise(2, 7*chunk)
	for _, repo := range []oci.Repo{"a", "b", "c/d"} {
		push(t, s, repo, small)
		push(t, s, repo, large)
	}
	plain := b.replica(func(o *Options) { o.Dedupe = false })
	lease := plain.newLease("restore", restoreLife)
	b.Fail(s3test.Fault{Op: "CreateMultipartUpload", Key: "root/dir/c/", Times: -1, Status: 403, Code: "AccessDenied"})
	done, err := plain.restoreRound(t.Context(), lease)
	if err == nil || done {
		t.Fatalf("a round that cannot succeed: %v, %v", done, err)
	}
	b.Heal()
	b.Reset()
	done, err = plain.restoreRound(t.Context(), lease)
	if ok(t, err); !done {
		t.Fatal("not done")
	}
	if n := b.Count("CompleteMultipartUpload"); n != 1 {
		t.Errorf("%d copies, where one was left to make", n)
	}
	sweeper := b.sweeps(time, func(o *Options) { o.Dedupe = false })
	for range 4 {
		time.advance(2 * condemnedFor)
		sweep(t, sweeper)
	}
	if b.contents() != "" {
		t.Errorf("shared content is left: %q", b.contents())
	}
	for _, repo := range []oci.Repo{"a", "b", "c/d"} {
		reads(t, plain, repo, small)
		reads(t, plain, repo, large)
	}
	b.Reset()
	if done, err = plain.restoreRound(t.Context(), lease); err != nil || !done || b.Count("") != 1 {
		t.Errorf("a round with nothing to do: %v, %v, %d requests", done, err, b.Count(""))
	}
}
