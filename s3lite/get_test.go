package s3lite

import (
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"berth/s3lite/s3test"
)

func TestGet(t *testing.T) {
	p := connect(t, s3test.Options{})
	p.server.Put("k", []byte("0123456789"), map[string]string{"digest": "sha256:ab"})
	p.server.Put("empty", nil, nil)
	text, object := p.read(t, "k", GetOptions{})
	if text != "0123456789" || object.Size != 10 || object.Length != 10 || object.Metadata["digest"] != "sha256:ab" || object.ETag == "" || object.Modified.IsZero() {
		t.Errorf("object is %q, %+v", text, object)
	}
	for _, c := range []struct {
		r    Range
		want string
	}{{Range{0, 3}, "012"}, {Range{4, 2}, "45"}, {Range{7, 0}, "789"}, {Range{8, 100}, "89"}, {Range{0, 0}, "0123456789"}} {
		text, o := p.read(t, "k", GetOptions{Range: &c.r})
		if text != c.want || o.Size != 10 || o.Offset != c.r.Offset || o.Length != int64(len(c.want)) {
			t.Errorf("range %+v is %q, %+v", c.r, text, o)
		}
	}
	if text, o := p.read(t, "empty", GetOptions{}); text != "" || o.Size != 0 {
		t.Errorf("empty object is %q, %+v", text, o)
	}
	for name, c := range map[string]struct {
		key  string
		o    GetOptions
		kind error
	}{
		"missing":      {"other", GetOptions{}, ErrNotFound},
		"behind end":   {"k", GetOptions{Range: &Range{10, 0}}, ErrInvalidRange},
		"other":        {"k", GetOptions{IfMatch: `"x"`}, ErrPrecondition},
		"same":         {"k", GetOptions{IfMatch: object.ETag}, nil},
		"not modified": {"k", GetOptions{IfNoneMatch: object.ETag}, ErrNotModified},
		"modified":     {"k", GetOptions{IfNoneMatch: `"x"`}, nil},
	} {
		o, err := p.GetObject(t.Context(), c.key, c.o)
		wants(t, "GET "+name, err, c.kind)
		if err == nil {
			_ = o.Body.Close()
		}
		if c.o.Range == nil {
			_, err = p.HeadObject(t.Context(), c.key, c.o)
			wants(t, "HEAD "+name, err, c.kind)
		}
	}
	info, err := p.HeadObject(t.Context(), "k", GetOptions{})
	if err != nil || info.Size != 10 || info.ETag != object.ETag || info.Metadata["digest"] != "sha256:ab" {
		t.Errorf("HEAD says %+v, %v", info, err)
	}
}

// TestGetGoesOn: a body that is cut or stalls goes on with one more request.
func TestGetGoesOn(t *testing.T) {
	data := noise(300_000)
	for name, fault := range map[string]s3test.Fault{
		"cut":       {Cut: true, Bytes: 100_001},
		"cut twice": {Cut: true, Bytes: 100_001, Times: 2},
		"stall":     {Stall: true, Bytes: 100_001},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, s3test.Options{AnyTime: fault.Stall})
			p.server.Put("k", data, nil)
			fault.Op = "GetObject"
			p.server.Fail(fault)
			object, err := p.GetObject(t.Context(), "k", GetOptions{Range: &Range{10, 290_000}})
			if err != nil {
				t.Fatal(err)
			}
			if fault.Stall {
				go p.giveUp(t)
			}
			if err := iotest.TestReader(object.Body, data[10:290_010]); err != nil {
				t.Error(err)
			}
			p.counts(t, "GetObject", 2+max(0, fault.Times-1))
			_ = object.Body.Close()
		})
	}
}

// giveUp has the client give up the read of what has stalled, as soon as it is in
// one: no time goes by for the request that comes after.
func (p *pair) giveUp(t *testing.T) {
	for t.Context().Err() == nil && (p.server.Stalled() == 0 || p.clock.Advance(time.Minute) == 0) {
		time.Sleep(time.Millisecond)
	}
}

// TestGetReplaced: a body that is cut does not go on with another object's.
func TestGetReplaced(t *testing.T) {
	p := connect(t, s3test.Options{})
	p.server.Put("k", noise(300_000), nil)
	p.server.Fail(s3test.Fault{Op: "GetObject", Cut: true, Bytes: 100_000})
	object, err := p.GetObject(t.Context(), "k", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.server.Put("k", noise(300_001), nil)
	n, err := io.Copy(io.Discard, object.Body)
	wants(t, "rest", err, ErrPrecondition)
	wants(t, "rest", err, io.ErrUnexpectedEOF)
	if n > 100_000 {
		t.Errorf("read %d bytes", n)
	}
}

// TestGetGivesUp: a server that cuts each body is not asked for ever.
func TestGetGivesUp(t *testing.T) {
	p := connect(t, s3test.Options{})
	p.server.Put("k", noise(300_000), nil)
	p.server.Fail(s3test.Fault{Op: "GetObject", Cut: true, Bytes: 1, Times: -1})
	object, err := p.GetObject(t.Context(), "k", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, object.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error is %v", err)
	}
	p.counts(t, "GetObject", maxCuts+1)
}

// TestGetIntoFailure: the answers before a body are repeated, as all are.
func TestGetIntoFailure(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{
		"500": {Status: 500, Code: "InternalError", Times: 3}, "SlowDown": {Status: 503, Code: "SlowDown", Times: 5}, "cut": {Cut: true, Times: 2},
	} {
		p := connect(t, s3test.Options{})
		p.server.Put("k", []byte("x"), nil)
		p.server.Fail(fault)
		if text, _ := p.read(t, "k", GetOptions{}); text != "x" {
			t.Errorf("%s: object is %q", name, text)
		}
		p.counts(t, "GetObject", fault.Times+1)
	}
	p := connect(t, s3test.Options{})
	p.server.Fail(s3test.Fault{Status: 503, Code: "SlowDown", Times: -1})
	_, err := p.GetObject(t.Context(), "k", GetOptions{})
	wants(t, "SlowDown for ever", err, ErrSlowDown)
	p.counts(t, "", 6)
}

// TestConnectionIsKept: calls of every kind, one after the other, go over one
// connection. One kind that does not leave it takes another one in each round;
// net/http gives one up now and then, on a machine with too much to do.
func TestConnectionIsKept(t *testing.T) {
	p := connect(t, s3test.Options{})
	const rounds = 5
	for range rounds {
		_, err := p.PutObject(t.Context(), "k", Bytes(noise(200_000)), PutOptions{})
		wants(t, "put", err, nil)
		p.read(t, "k", GetOptions{})
		p.read(t, "k", GetOptions{Range: &Range{5, 10}})
		_, err = p.HeadObject(t.Context(), "k", GetOptions{})
		wants(t, "head", err, nil)
		_, err = p.GetObject(t.Context(), "missing", GetOptions{})
		wants(t, "get", err, ErrNotFound)
		_, err = p.ListObjects(t.Context(), ListOptions{})
		wants(t, "list", err, nil)
		wants(t, "delete", p.DeleteObject(t.Context(), "k", ""), nil)
	}
	remotes := map[string]bool{}
	for _, seen := range p.server.Seen() {
		remotes[seen.Remote] = true
	}
	if len(remotes) >= rounds {
		t.Errorf("%d requests over %d connections in %d rounds", p.server.Count(""), len(remotes), rounds)
	}
}
