package s3lite

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"berth/s3lite/s3test"
	"berth/s3lite/sigv4"
)

// TestPutBodies: each kind of body arrives whole, signed as its kind and the
// connection want it.
func TestPutBodies(t *testing.T) {
	big := noise(300_000)
	for _, tls := range []bool{false, true} {
		p := connect(t, s3test.Options{TLS: tls})
		streaming := sigv4.Chunked
		if tls {
			streaming = sigv4.Unsigned
		}
		for name, c := range map[string]struct {
			body    *Body
			want    []byte
			payload string // "" for the body's hash
		}{
			"empty":   {Bytes(nil), nil, ""},
			"small":   {Bytes(big[:1000]), big[:1000], ""},
			"big":     {Bytes(big), big, streaming},
			"section": {Section(bytes.NewReader(big), 5, 250_000), big[5:250_005], streaming},
			"stream":  {Stream(bytes.NewReader(big), 300_000), big, streaming},
			"known":   {Stream(bytes.NewReader(big), 300_000).WithSHA256(Bytes(big[:0]).SHA256), nil, "mismatch"},
		} {
			p.server.Reset()
			etag, err := p.PutObject(t.Context(), "k", c.body, PutOptions{})
			if c.payload == "mismatch" {
				wants(t, name, err, ErrBadDigest)
				continue
			}
			object, _ := p.server.Object("k")
			if err != nil || etag != object.ETag {
				t.Errorf("TLS %v, %s: %v; ETag %s, want %s", tls, name, err, etag, object.ETag)
			}
			sameBytes(t, name, object.Data, c.want)
			seen := p.server.Seen()[0]
			if c.payload != "" && seen.Payload != c.payload || c.payload == "" && len(seen.Payload) != 64 {
				t.Errorf("TLS %v, %s: payload is %s", tls, name, seen.Payload)
			}
		}
	}
}

func TestPutSettings(t *testing.T) {
	p := connect(t, s3test.Options{}, func(o *Options) {
		o.StorageClass, o.ACL, o.Encrypt, o.KMSKey = "STANDARD_IA", "bucket-owner-full-control", true, "key-1"
	})
	want := map[string]string{
		"x-amz-storage-class": "STANDARD_IA", "x-amz-acl": "bucket-owner-full-control",
		"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
	}
	ctx, options := t.Context(), PutOptions{ContentType: "text/x", Metadata: map[string]string{"digest": "sha256:1"}}
	if _, err := p.PutObject(ctx, "put", Bytes([]byte("x")), options); err != nil {
		t.Fatal(err)
	}
	if _, err := p.CopyObject(ctx, "put", "copy", CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	u, err := p.CreateMultipartUpload(ctx, "parts", options)
	if err != nil {
		t.Fatal(err)
	}
	part, err := p.UploadPart(ctx, u, 1, Bytes([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.CompleteMultipartUpload(ctx, u, []Part{part}, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"put", "copy", "parts"} {
		o, _ := p.server.Object(key)
		if !maps.Equal(o.Settings, want) || o.ContentType != "text/x" || o.Metadata["digest"] != "sha256:1" {
			t.Errorf("%s: object is %+v", key, o)
		}
	}
	if _, err := p.CopyObject(ctx, "put", "put", CopyOptions{Replace: &PutOptions{Metadata: map[string]string{"other": "1"}}}); err != nil {
		t.Fatal(err)
	}
	if o, _ := p.server.Object("put"); !maps.Equal(o.Metadata, map[string]string{"other": "1"}) || string(o.Data) != "x" {
		t.Errorf("replaced metadata are %v, data %q", o.Metadata, o.Data)
	}
	if seen := p.server.Seen()[0]; seen.Header.Get("User-Agent") != "berth" {
		t.Errorf("user agent is %q", seen.Header.Get("User-Agent"))
	}
}

func TestPutConditions(t *testing.T) {
	p := connect(t, s3test.Options{})
	ctx := t.Context()
	put := func(o PutOptions, text string) (string, error) { return p.PutObject(ctx, "k", Bytes([]byte(text)), o) }
	_, err := put(PutOptions{IfMatch: `"x"`}, "a")
	wants(t, "If-Match where nothing is", err, ErrNotFound)
	first, err := put(PutOptions{IfNoneMatch: true}, "b")
	wants(t, "create", err, nil)
	_, err = put(PutOptions{IfNoneMatch: true}, "c")
	wants(t, "create again", err, ErrPrecondition)
	second, err := put(PutOptions{IfMatch: first}, "d")
	wants(t, "swap", err, nil)
	_, err = put(PutOptions{IfMatch: first}, "e")
	wants(t, "swap of the old one", err, ErrPrecondition)
	wants(t, "delete of the old one", p.DeleteObject(ctx, "k", first), ErrPrecondition)
	if o, _ := p.server.Object("k"); string(o.Data) != "d" {
		t.Errorf("object is %q", o.Data)
	}
	wants(t, "delete", p.DeleteObject(ctx, "k", second), nil)
	wants(t, "delete again", p.DeleteObject(ctx, "k", ""), nil)

	p.server.SetConditions(s3test.Refused)
	_, err = put(PutOptions{IfNoneMatch: true}, "f")
	wants(t, "a server without conditions", err, ErrNotImplemented)
	p.server.SetConditions(s3test.Ignored)
	for range 2 {
		_, err = put(PutOptions{IfNoneMatch: true}, "g")
		wants(t, "a dishonest server", err, nil)
	}
}

// TestLostAnswers: a conditional write is not done twice, others are.
func TestLostAnswers(t *testing.T) {
	lost := map[string]s3test.Fault{
		"cut, done": {Cut: true, Done: true}, "cut, not done": {Cut: true},
		"500, done": {Status: 500, Code: "InternalError", Done: true}, "500, not done": {Status: 500, Code: "InternalError"},
	}
	for name, fault := range lost {
		fault.Op = "PutObject"
		p := connect(t, s3test.Options{})
		p.server.Fail(fault)
		_, err := p.PutObject(t.Context(), "k", Bytes([]byte("x")), PutOptions{IfNoneMatch: true})
		wants(t, name, err, ErrOutcomeUnknown)
		p.counts(t, "", 1)
		if _, there := p.server.Object("k"); there != fault.Done {
			t.Errorf("%s: object is there: %v", name, there)
		}
		p.server.Fail(fault)
		_, err = p.PutObject(t.Context(), "l", Bytes([]byte("x")), PutOptions{})
		wants(t, name+", unconditional", err, nil)
		p.counts(t, "", 3)
	}
	for name, fault := range map[string]s3test.Fault{
		"SlowDown": {Status: 503, Code: "SlowDown"}, "RequestTimeout": {Status: 400, Code: "RequestTimeout"},
	} {
		p := connect(t, s3test.Options{})
		p.server.Fail(fault)
		_, err := p.PutObject(t.Context(), "k", Bytes([]byte("x")), PutOptions{IfNoneMatch: true})
		wants(t, name+" is no doubt", err, nil)
		p.counts(t, "", 2)
	}
}

// TestStreamOnce: a stream that was touched is not sent again, and its own
// failure is told.
func TestStreamOnce(t *testing.T) {
	p := connect(t, s3test.Options{})
	p.server.Fail(s3test.Fault{Status: 500, Code: "InternalError", Done: true})
	_, err := p.PutObject(t.Context(), "k", Stream(strings.NewReader("hello"), 5), PutOptions{})
	var e *Error
	if !errors.As(err, &e) || e.Attempts != 1 || e.Status != 500 {
		t.Errorf("error is %v", err)
	}
	p.server.Reset()
	p.server.Delete("k")
	_, err = p.PutObject(t.Context(), "k", Stream(strings.NewReader("hello"), 9), PutOptions{})
	wants(t, "short stream", err, ErrBody)
	wants(t, "short stream", err, io.ErrUnexpectedEOF)
	if _, there := p.server.Object("k"); there {
		t.Error("half a body was stored")
	}
	// A refusal that comes before the body leaves it whole.
	p.server.Fail(s3test.Fault{Status: 503, Code: "SlowDown"})
	_, err = p.PutObject(t.Context(), "k", Stream(strings.NewReader("hello"), 5), PutOptions{})
	wants(t, "refused before", err, nil)
	if o, _ := p.server.Object("k"); string(o.Data) != "hello" {
		t.Errorf("object is %q", o.Data)
	}
}

func TestCopy(t *testing.T) {
	p := connect(t, s3test.Options{})
	ctx := t.Context()
	p.server.Put("from", []byte("data"), map[string]string{"a": "b"})
	from, _ := p.server.Object("from")
	_, err := p.CopyObject(ctx, "missing", "to", CopyOptions{})
	wants(t, "missing", err, ErrNotFound)
	_, err = p.CopyObject(ctx, "from", "to", CopyOptions{IfSourceMatch: `"x"`})
	wants(t, "other", err, ErrPrecondition)
	etag, err := p.CopyObject(ctx, "from", "to", CopyOptions{IfSourceMatch: from.ETag})
	to, _ := p.server.Object("to")
	if err != nil || etag != to.ETag || string(to.Data) != "data" || to.Metadata["a"] != "b" {
		t.Errorf("copy is %+v, %v", to, err)
	}
	for _, fault := range []s3test.Fault{
		{Op: "CopyObject", Status: 200, Code: "InternalError"}, {Op: "CopyObject", Status: 200, Code: "SlowDown"}, {Op: "CopyObject", Cut: true, Done: true},
	} {
		p.server.Reset()
		p.server.Fail(fault)
		_, err = p.CopyObject(ctx, "from", "again", CopyOptions{})
		wants(t, "late failure", err, nil)
		p.counts(t, "CopyObject", 2)
	}
	p.server.Fail(s3test.Fault{Op: "CopyObject", Status: 200, Code: "NoSuchKey"})
	_, err = p.CopyObject(ctx, "from", "again", CopyOptions{})
	wants(t, "late not found", err, ErrNotFound)
}

func TestAnonymous(t *testing.T) {
	p := connect(t, s3test.Options{Anonymous: true}, func(o *Options) { o.Credentials = nil })
	if _, err := p.PutObject(t.Context(), "k", Bytes(noise(200_000)), PutOptions{}); err != nil {
		t.Error(err)
	}
	if seen := p.server.Seen()[0]; seen.Header.Get("Authorization") != "" {
		t.Errorf("signed without credentials: %v", seen.Header)
	}
	if _, err := p.HeadObject(t.Context(), "k", GetOptions{}); err != nil {
		t.Error(err)
	}
}

// TestFaultOf reads what servers and proxies answer.
func TestFaultOf(t *testing.T) {
	for text, want := range map[string]string{
		"<Error><Code>NoSuchKey</Code><Message>m &amp; n</Message><Key>k</Key><RequestId>7</RequestId></Error>": "NoSuchKey/m & n/7",
		"<html><body>Bad gateway</body></html>": "//",
		"":                                      "//", "<Error><Code>Cut</Code><Mess": "Cut//",
	} {
		f := faultOf(http.Header{}, []byte(text))
		if got := f.Code + "/" + f.Message + "/" + f.RequestID; got != want {
			t.Errorf("%q says %q, want %q", text, got, want)
		}
	}
}

// TestPutWithoutDirectory: a server that has lost a directory is asked again,
// where the body allows it.
func TestPutWithoutDirectory(t *testing.T) {
	p := connect(t, s3test.Options{})
	lost := s3test.Fault{Op: "PutObject", Times: 2, Status: 404, Code: "NoSuchKey"}
	for name, o := range map[string]PutOptions{"plain": {}, "new": {IfNoneMatch: true}} {
		p.server.Fail(lost)
		_, err := p.PutObject(t.Context(), name, Bytes([]byte("x")), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.server.Reset()
	p.server.Fail(s3test.Fault{Op: "PutObject", Times: -1, Status: 404, Code: "NoSuchKey"})
	for name, put := range map[string]struct {
		body  *Body
		o     PutOptions
		calls int
	}{
		"for good": {Bytes(nil), PutOptions{}, putTries}, "in place of another": {Bytes(nil), PutOptions{IfMatch: `"e"`}, 1},
		"stream": {Stream(strings.NewReader("x"), 1), PutOptions{}, 1},
	} {
		p.server.Reset()
		if _, err := p.PutObject(t.Context(), "k", put.body, put.o); !errors.Is(err, ErrNotFound) || p.server.Count("PutObject") != put.calls {
			t.Errorf("%s: %v after %d calls, want %d", name, err, p.server.Count("PutObject"), put.calls)
		}
	}
}
