package s3lite

import (
	"fmt"
	"strings"
	"testing"

	"berth/s3lite/s3test"
)

func TestMultipart(t *testing.T) {
	p := connect(t, s3test.Options{PageSize: 2})
	ctx, data := t.Context(), noise(MinPart+100)
	p.server.Put("stored", noise(MinPart+7), nil)
	u, err := p.CreateMultipartUpload(ctx, "k", PutOptions{Metadata: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.UploadPart(ctx, u, 1, Bytes(data[:MinPart]))
	wants(t, "part 1", err, nil)
	copied, err := p.UploadPartCopy(ctx, u, 2, "stored", &Range{5, MinPart}, "")
	wants(t, "part 2", err, nil)
	last, err := p.UploadPart(ctx, u, 3, Bytes(data[MinPart:]))
	wants(t, "part 3", err, nil)
	var listed []Part
	wants(t, "list", p.ListParts(ctx, u, 0, func(part Part) error { listed = append(listed, part); return nil }), nil)
	for i, part := range []Part{first, copied, last} {
		if len(listed) != 3 || listed[i].ETag != part.ETag || listed[i].Number != part.Number || listed[i].Size != part.Size || listed[i].Modified.IsZero() {
			t.Fatalf("parts are %+v, want %+v at %d", listed, part, i)
		}
	}
	listed = nil
	wants(t, "list after 2", p.ListParts(ctx, u, 2, func(part Part) error { listed = append(listed, part); return nil }), nil)
	if len(listed) != 1 || listed[0].Number != 3 {
		t.Errorf("parts after 2 are %+v", listed)
	}
	etag, err := p.CompleteMultipartUpload(ctx, u, []Part{first, copied, last}, PutOptions{IfNoneMatch: true})
	wants(t, "complete", err, nil)
	o, _ := p.server.Object("k")
	sameBytes(t, "object", o.Data, append(append(append([]byte(nil), data[:MinPart]...), noise(MinPart + 7)[5:MinPart+5]...), data[MinPart:]...))
	if etag != o.ETag || !strings.HasSuffix(etag, `-3"`) || o.Metadata["a"] != "b" {
		t.Errorf("ETag %s, object has %s, metadata %v", etag, o.ETag, o.Metadata)
	}
	wants(t, "list of what is over", p.ListParts(ctx, u, 0, func(Part) error { return nil }), ErrNoSuchUpload)
	wants(t, "abort of what is over", p.AbortMultipartUpload(ctx, u), nil)
	_, err = p.UploadPart(ctx, u, 1, Bytes(nil))
	wants(t, "part of what is over", err, ErrNoSuchUpload)
}

func TestMultipartRefusals(t *testing.T) {
	p := connect(t, s3test.Options{})
	ctx := t.Context()
	u, err := p.CreateMultipartUpload(ctx, "k", PutOptions{})
	wants(t, "create", err, nil)
	small, err := p.UploadPart(ctx, u, 1, Bytes([]byte("x")))
	wants(t, "part", err, nil)
	last, err := p.UploadPart(ctx, u, 2, Bytes([]byte("y")))
	wants(t, "part", err, nil)
	for name, parts := range map[string][]Part{
		"small": {small, last}, "order": {last, small}, "missing": {{Number: 7, ETag: small.ETag}}, "other": {{Number: 1, ETag: last.ETag}},
	} {
		_, err = p.CompleteMultipartUpload(ctx, u, parts, PutOptions{})
		wants(t, name, err, ErrInvalidPart)
	}
	_, err = p.UploadPartCopy(ctx, u, 3, "missing", nil, "")
	wants(t, "copy of nothing", err, ErrNotFound)
	p.server.Put("stored", []byte("abc"), nil)
	_, err = p.UploadPartCopy(ctx, u, 3, "stored", nil, `"x"`)
	wants(t, "copy of another", err, ErrPrecondition)
	p.server.Put("k", []byte("already"), nil)
	_, err = p.CompleteMultipartUpload(ctx, u, []Part{last}, PutOptions{IfNoneMatch: true})
	wants(t, "create where one is", err, ErrPrecondition)
	wants(t, "abort", p.AbortMultipartUpload(ctx, u), nil)
	if left := p.server.Uploads(); len(left) > 0 {
		t.Errorf("uploads left: %v", left)
	}
}

// TestCompleteFails: the failures that come in and behind an answer of 200.
func TestCompleteFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault s3test.Fault
		once  bool
		calls int
		kind  error
	}{
		{"late InternalError", s3test.Fault{Status: 200, Code: "InternalError"}, false, 2, nil},
		{"late SlowDown", s3test.Fault{Status: 200, Code: "SlowDown"}, true, 2, nil},
		{"late InvalidPart", s3test.Fault{Status: 200, Code: "InvalidPart"}, false, 1, ErrInvalidPart},
		{"late conflict", s3test.Fault{Status: 200, Code: "ConditionalRequestConflict"}, true, 1, ErrConflict},
		{"cut, not done", s3test.Fault{Cut: true}, false, 2, nil},
		{"cut, done", s3test.Fault{Cut: true, Done: true}, false, 2, ErrOutcomeUnknown},
		{"cut, done, once", s3test.Fault{Cut: true, Done: true}, true, 1, ErrOutcomeUnknown},
		{"cut in the answer", s3test.Fault{Cut: true, Bytes: 60}, false, 2, ErrOutcomeUnknown},
		{"late InternalError, once", s3test.Fault{Status: 200, Code: "InternalError"}, true, 1, ErrOutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := connect(t, s3test.Options{})
			u, err := p.CreateMultipartUpload(t.Context(), "k", PutOptions{})
			wants(t, "create", err, nil)
			part, err := p.UploadPart(t.Context(), u, 1, Bytes([]byte("x")))
			wants(t, "part", err, nil)
			c.fault.Op = "CompleteMultipartUpload"
			p.server.Fail(c.fault)
			_, err = p.CompleteMultipartUpload(t.Context(), u, []Part{part}, PutOptions{IfNoneMatch: c.once})
			wants(t, "complete", err, c.kind)
			p.counts(t, c.fault.Op, c.calls)
		})
	}
}

func TestListUploads(t *testing.T) {
	p := connect(t, s3test.Options{PageSize: 3})
	want := map[string]bool{}
	for i := range 10 {
		u, err := p.CreateMultipartUpload(t.Context(), fmt.Sprintf("in/k %d", i/2), PutOptions{})
		wants(t, "create", err, nil)
		want[u.Key+u.ID] = true
	}
	_, err := p.CreateMultipartUpload(t.Context(), "out", PutOptions{})
	wants(t, "create", err, nil)
	err = p.ListMultipartUploads(t.Context(), "in/", func(u Upload) error {
		if !want[u.Key+u.ID] || u.Initiated.IsZero() {
			t.Errorf("upload %+v comes twice or was not begun", u)
		}
		delete(want, u.Key+u.ID)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; not listed: %v", err, want)
	}
}
