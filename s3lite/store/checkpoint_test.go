package store

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// stepwise is a body that calls a function before each piece of so many bytes.
type stepwise struct {
	content []byte
	piece   int
	at      int
	before  func(at int)
}

func (s *stepwise) Read(p []byte) (int, error) {
	if s.at == len(s.content) {
		return 0, io.EOF
	}
	if s.at%s.piece == 0 {
		s.before(s.at)
	}
	n := copy(p, s.content[s.at:min(len(s.content), s.at-s.at%s.piece+s.piece)])
	s.at += n
	return n, nil
}

// sized is a body that tells how much is to come.
type sized struct{ *stepwise }

func (s sized) Remaining() int64 { return int64(len(s.content) - s.at) }

// appendNew begins a session of repository a and adds a body to it.
func appendNew(t *testing.T, s *Store, body io.Reader) (oci.UploadID, error) {
	t.Helper()
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = s.AppendUpload(t.Context(), "a", id, 0, body)
	return id, err
}

// TestCheckpoint: when a process dies while a long body comes, another one goes
// on from shortly before, and nothing of the parts that were lost is left.
func TestCheckpoint(t *testing.T) {
	content := noise(1, 21*chunk+100)
	for name, as := range map[string]func(*stepwise) io.Reader{
		"of known length": func(s *stepwise) io.Reader { return sized{s} },
		"of any length":   func(s *stepwise) io.Reader { return s },
	} {
		b := newBucket(t, s3test.Options{})
		id, err := appendNew(t, b.replica(), as(&stepwise{content: content, piece: chunk, before: func(at int) {
			if at == 20*chunk { // nothing gets through any more
				b.Fail(s3test.Fault{Cut: true, Times: -1})
			}
		}}))
		if err == nil {
			t.Fatalf("%s: the bucket was gone, and nobody said so", name)
		}
		b.Heal()
		s := b.replica()
		info, err := s.StatUpload(t.Context(), "a", id)
		ok(t, err)
		if info.Size < 11*chunk || info.Size > 20*chunk {
			t.Errorf("%s: %d parts of 20 are kept", name, info.Size/chunk)
		}
		_, err = s.AppendUpload(t.Context(), "a", id, info.Size, bytes.NewReader(content[info.Size:]))
		ok(t, err)
		_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), oci.AtEnd, nil)
		ok(t, err)
		reads(t, s, "a", content)
		b.left(t)
	}
}

// TestSlowCheckpoint: what comes slowly is written down by time.
func TestSlowCheckpoint(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	begun := time.Now()
	var passed atomic.Int64
	s := b.replica(func(o *Options) { o.Now = func() time.Time { return begun.Add(time.Duration(passed.Load())) } })
	other, content := b.replica(), noise(2, 4*chunk)
	var id oci.UploadID
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = s.AppendUpload(t.Context(), "a", id, 0, &stepwise{content: content, piece: chunk / 2, before: func(at int) {
		passed.Add(int64(checkpointAfter / 2))
		info, err := other.StatUpload(t.Context(), "a", id)
		if ok(t, err); info.Size < int64(at-at%chunk-chunk) {
			t.Errorf("of %d bytes %d are written down", at, info.Size)
		}
	}})
	ok(t, err)
}

// TestCheckpointRequests: a session is written down with its upload, once in a
// while, and at the end.
func TestCheckpointRequests(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s, content := b.replica(), noise(3, 20*chunk)
	ok(t, s.ready(t.Context()))
	b.Reset()
	_, err := appendNew(t, s, known{bytes.NewReader(content)})
	ok(t, err)
	if parts, sessions := b.Count("UploadPart"), b.Count("PutObject"); parts != 20 || sessions != 1+1+3+1 {
		t.Errorf("%d parts, and the session was written %d times", parts, sessions)
	}
	b.Reset()
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	ok(t, s.ensure(t.Context(), "a"))
	b.costs(t, "a push of many parts", "ListObjectsV2 CreateMultipartUpload PutObject UploadPart UploadPart CompleteMultipartUpload PutObject ListObjectsV2 DeleteObject",
		func() {
			_, err := s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content[:2*chunk]), 0, known{bytes.NewReader(content[:2*chunk])})
			ok(t, err)
		})
}

// TestLatePart: a part from a process that has lost its session, which comes
// after another one went on, takes nobody's place.
func TestLatePart(t *testing.T) {
	for _, before := range []int64{0, 2 * chunk} {
		b := newBucket(t, s3test.Options{})
		lost, other, content := b.replica(), b.replica(), noise(4, 6*chunk)
		id, err := appendNew(t, lost, known{bytes.NewReader(content[:before])})
		ok(t, err)
		body := &stepwise{content: noise(5, 4*chunk), piece: chunk, before: func(at int) {
			if at != chunk {
				return
			}
			info, err := other.StatUpload(t.Context(), "a", id)
			ok(t, err)
			if info.Size != before {
				t.Errorf("the session is at %d, and was at %d", info.Size, before)
			}
			_, err = other.AppendUpload(t.Context(), "a", id, before, bytes.NewReader(content[before:before+2*chunk]))
			ok(t, err)
		}}
		_, err = lost.AppendUpload(t.Context(), "a", id, before, sized{body})
		if !errors.Is(err, oci.ErrRangeInvalid) && !errors.Is(err, oci.ErrUnavailable) {
			t.Errorf("who lost the session is told %v", err)
		}
		_, err = other.AppendUpload(t.Context(), "a", id, before+2*chunk, bytes.NewReader(content[before+2*chunk:]))
		ok(t, err)
		_, err = other.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), oci.AtEnd, nil)
		ok(t, err)
		reads(t, lost, "a", content)
		b.left(t)
	}
}

// TestDiedInPush: the parts of a push whose process died are found by its
// session, whether or not a server lists uploads.
func TestDiedInPush(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	s, content := b.replica(), noise(6, 5*chunk)
	id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), 0, sized{&stepwise{content: content, piece: chunk, before: func(at int) {
		if at == 3*chunk {
			b.Fail(s3test.Fault{Cut: true, Times: -1})
		}
	}}})
	if err == nil || len(b.Uploads()) != 1 {
		t.Fatalf("%v, and parts of %q", err, b.Uploads())
	}
	b.Heal()
	s = b.replica()
	_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), 0, bytes.NewReader(content))
	ok(t, err) // the session is as it was: who comes again begins anew
	reads(t, s, "a", content)
	b.left(t)

	id, err = s.CreateUpload(t.Context(), "b", oci.SHA256)
	ok(t, err)
	_, err = s.FinishUpload(t.Context(), "b", id, oci.SHA256.FromBytes(noise(7, 5*chunk)), 0, sized{&stepwise{content: noise(7, 5*chunk), piece: chunk, before: func(at int) {
		if at == 3*chunk {
			b.Fail(s3test.Fault{Cut: true, Times: -1})
		}
	}}})
	if err == nil || len(b.Uploads()) != 1 {
		t.Fatalf("%v, and parts of %q", err, b.Uploads())
	}
	b.Heal()
	b.Reset()
	ok(t, b.replica().CancelUpload(t.Context(), "b", id))
	if b.left(t); b.Count("ListMultipartUploads") > 0 {
		t.Error("uploads were listed")
	}
}
