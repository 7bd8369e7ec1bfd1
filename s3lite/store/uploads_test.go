package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// sizes around those at which something changes.
var sizes = []int{0, 1, smallBlob, smallBlob + 1, chunk - 1, chunk, chunk + 1, 5*chunk/2 + 3}

// left fails where anything of an upload is left.
func (b *bucket) left(t *testing.T) {
	t.Helper()
	if keys := b.keysWith(".berth/uploads/"); len(keys) > 0 || len(b.Uploads()) > 0 {
		t.Fatalf("left are %q, and parts of %q", keys, b.Uploads())
	}
}

// TestWhole: content that comes with its digest, twice, and into two
// repositories.
func TestWhole(t *testing.T) {
	for _, dedupe := range []bool{true, false} {
		b := newBucket(t, s3test.Options{})
		s := b.replica(func(o *Options) { o.Dedupe = dedupe })
		for i, size := range sizes {
			content := noise(uint32(i), size)
			for _, repo := range []oci.Repo{"a", "a", "b/c"} {
				push(t, s, repo, content)
				reads(t, b.replica(), repo, content)
			}
			d := oci.SHA256.FromBytes(content)
			shared := 0
			if dedupe && size > smallBlob {
				shared = 1
			}
			if got := len(b.keysWith(".berth/content/sha256/" + d.Encoded())); got != shared {
				t.Errorf("%d bytes, dedupe %v: %d objects of shared content", size, dedupe, got)
			}
		}
		b.left(t)
	}
}

// TestChunks: content whose digest comes last, in chunks of any size, by two
// replicas in turns.
func TestChunks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i, size := range sizes {
		b := newBucket(t, s3test.Options{})
		replicas := []*Store{b.replica(), b.replica(func(o *Options) { o.Dedupe = i%2 == 0 })}
		content := noise(uint32(i), size)
		id, err := replicas[0].CreateUpload(t.Context(), "a", oci.SHA256)
		ok(t, err)
		for at := 0; at < size; {
			n := min(1+random.IntN(4*chunk/5), size-at)
			got, err := replicas[random.IntN(2)].AppendUpload(t.Context(), "a", id, int64(at), bytes.NewReader(content[at:at+n]))
			ok(t, err)
			if at += n; got != int64(at) {
				t.Fatalf("size is %d, want %d", got, at)
			}
		}
		d := oci.SHA256.FromBytes(content)
		b.Reset()
		_, err = replicas[i%2].FinishUpload(t.Context(), "a", id, d, oci.AtEnd, nil)
		ok(t, err)
		for _, seen := range b.Seen() {
			if seen.Op == "GetObject" && (strings.HasSuffix(seen.Key, dataSuffix) || strings.HasPrefix(seen.Header.Get("Range"), "bytes=0-")) {
				t.Errorf("%s was read again to finish an upload of %d bytes", seen.Key, size)
			}
		}
		reads(t, replicas[0], "a", content)
		b.left(t)
	}
}

// TestOtherAlgorithm: parts that were hashed otherwise are read again, and what
// is wrong leaves the session as it was.
func TestOtherAlgorithm(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	content := noise(7, 3*chunk)
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA512)
	ok(t, err)
	_, err = s.AppendUpload(t.Context(), "a", id, 0, bytes.NewReader(content[:3*chunk/2]))
	ok(t, err)
	d := oci.SHA256.FromBytes(content)
	for range 2 {
		_, err = s.FinishUpload(t.Context(), "a", id, d, 3*chunk/2, bytes.NewReader(content[:3*chunk/2]))
		wants(t, "wrong end", err, oci.ErrDigestInvalid)
		info, err := s.StatUpload(t.Context(), "a", id)
		ok(t, err)
		if info.Size != 3*chunk/2 {
			t.Fatalf("the session is at %d", info.Size)
		}
	}
	_, err = s.FinishUpload(t.Context(), "a", id, d, 3*chunk/2, bytes.NewReader(content[3*chunk/2:]))
	ok(t, err)
	reads(t, s, "a", content)
	b.left(t)
}

var errBroken = errors.New("reader broke")

// broken yields content and fails then.
func broken(content []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(content), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// TestBrokenReader: what arrived of large content is kept, and is the beginning
// of nothing else than what was announced.
func TestBrokenReader(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	content := noise(8, 3*chunk)
	d := oci.SHA256.FromBytes(content)
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	size, err := s.FinishUpload(t.Context(), "a", id, d, 0, broken(content[:3*chunk/2]))
	wants(t, "broken", err, errBroken)
	if size != 3*chunk/2 {
		t.Fatalf("kept are %d bytes", size)
	}
	s = b.replica()
	_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content[:3*chunk/2]), oci.AtEnd, nil)
	wants(t, "other digest than announced", err, oci.ErrDigestInvalid)
	_, err = s.FinishUpload(t.Context(), "a", id, d, size, bytes.NewReader(content[size:]))
	ok(t, err)
	reads(t, s, "a", content)
	b.left(t)
	// Where the content is there, nothing of it is stored again, and nothing
	// kept.
	id, err = s.CreateUpload(t.Context(), "b", oci.SHA256)
	ok(t, err)
	size, err = s.FinishUpload(t.Context(), "b", id, d, 0, broken(content[:3*chunk/2]))
	wants(t, "broken", err, errBroken)
	info, statErr := s.StatUpload(t.Context(), "b", id)
	ok(t, statErr)
	if size != 0 || info.Size != 0 {
		t.Fatalf("kept are %d bytes, and the session says %d", size, info.Size)
	}
	wrong := bytes.Clone(content)
	wrong[len(wrong)-1] ^= 1
	_, err = s.FinishUpload(t.Context(), "b", id, d, 0, bytes.NewReader(wrong))
	wants(t, "wrong", err, oci.ErrDigestInvalid)
	ok(t, s.CancelUpload(t.Context(), "b", id))
	b.left(t)
}

// TestMismatch: large content that is not what it was announced to be leaves
// nothing, at its place or elsewhere.
func TestMismatch(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s := b.replica()
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromString("other"), 0, bytes.NewReader(noise(1, 5*chunk/4)))
	wants(t, "mismatch", err, oci.ErrDigestInvalid)
	if keys := b.keysWith("sha256"); len(keys) > 0 || len(b.Uploads()) > 0 {
		t.Fatalf("left are %q, and parts of %q", keys, b.Uploads())
	}
	content := noise(2, 5*chunk/4)
	_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), 0, bytes.NewReader(content))
	ok(t, err)
	reads(t, s, "a", content)
	b.left(t)
}

// TestReplicasWriteOneSession: of two that write at the same place one is told.
func TestReplicasWriteOneSession(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	one, two := b.replica(), b.replica()
	id, err := one.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = one.AppendUpload(t.Context(), "a", id, 0, bytes.NewReader([]byte("first")))
	ok(t, err)
	_, err = two.AppendUpload(t.Context(), "a", id, 5, bytes.NewReader([]byte("second")))
	ok(t, err)
	_, err = one.AppendUpload(t.Context(), "a", id, 5, bytes.NewReader([]byte("other")))
	wants(t, "behind", err, oci.ErrRangeInvalid)
	_, err = one.AppendUpload(t.Context(), "a", id, 11, bytes.NewReader([]byte("third")))
	ok(t, err)
	_, err = two.FinishUpload(t.Context(), "a", id, oci.SHA256.FromString("firstsecondthird"), oci.AtEnd, nil)
	ok(t, err)
	reads(t, one, "a", []byte("firstsecondthird"))
	_, err = one.AppendUpload(t.Context(), "a", id, oci.AtEnd, bytes.NewReader([]byte("x")))
	wants(t, "ended", err, oci.ErrUploadUnknown)
	// What one replica remembers of a new session is not believed.
	id, err = one.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = two.AppendUpload(t.Context(), "a", id, 0, bytes.NewReader([]byte("elsewhere")))
	ok(t, err)
	_, err = one.FinishUpload(t.Context(), "a", id, oci.SHA256.FromString("elsewhere"), oci.AtEnd, nil)
	ok(t, err)
	id, err = one.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = two.AppendUpload(t.Context(), "a", id, 0, bytes.NewReader([]byte("else")))
	ok(t, err)
	_, err = one.FinishUpload(t.Context(), "a", id, oci.SHA256.FromString("elsewhere"), oci.AtEnd, bytes.NewReader([]byte("where")))
	wants(t, "remembered", err, oci.ErrRangeInvalid)
	_, err = one.FinishUpload(t.Context(), "a", id, oci.SHA256.FromString("elsewhere"), oci.AtEnd, bytes.NewReader([]byte("where")))
	ok(t, err)
	b.left(t)
}

// TestSessionReadBetweenWrites: a session that is written, or ends, between the two
// requests which read it is read again, or is gone.
func TestSessionReadBetweenWrites(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	content := noise(9, chunk-1)
	d := oci.SHA256.FromBytes(content)
	for _, ends := range []bool{false, true} {
		other := b.replica()
		id, err := other.CreateUpload(t.Context(), "a", oci.SHA256)
		ok(t, err)
		_, err = other.AppendUpload(t.Context(), "a", id, 0, bytes.NewReader(content[:chunk-2]))
		ok(t, err)
		seen := 0
		s := b.intrude(other, func(r *http.Request) bool {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/uploads/") {
				seen++
			}
			return seen == 2
		}, func() {
			_, err := other.AppendUpload(t.Context(), "a", id, chunk-2, bytes.NewReader(content[chunk-2:]))
			ok(t, err)
			if ends {
				ok(t, other.CancelUpload(t.Context(), "a", id))
			}
		})
		_, err = s.FinishUpload(t.Context(), "a", id, d, oci.AtEnd, nil)
		if ends {
			wants(t, "ended", err, oci.ErrUploadUnknown)
			continue
		}
		ok(t, err)
		reads(t, b.replica(), "a", content)
	}
	b.left(t)
}
