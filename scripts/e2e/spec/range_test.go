package spec

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

func ranged(c *wire.Client, path, ranges string, more ...string) *wire.Answer {
	header := map[string]string{"Range": ranges}
	for i := 0; i+1 < len(more); i += 2 {
		header[more[i]] = more[i+1]
	}
	return c.Do(wire.Request{Method: "GET", Path: path, Header: header})
}

// RFC 9110, section 14
func TestSingleRange(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("range", 100_000))
	c.PushBlob("r", n)
	path := wire.BlobPath("r", n.Desc.Digest)
	c.Get(path).Want(200).WantHeader("Accept-Ranges", "bytes")
	for _, check := range []struct {
		ranges     string
		start, end int // end is exclusive
	}{
		{"bytes=0-0", 0, 1},
		{"bytes=0-9", 0, 10},
		{"bytes=10-", 10, 100_000},
		{"bytes=-5", 99_995, 100_000},
		{"bytes=-200000", 0, 100_000},
		{"bytes=99999-", 99_999, 100_000},
		{"bytes=50000-999999", 50_000, 100_000},
		{"bytes=0-99999", 0, 100_000},
	} {
		ranged(c, path, check.ranges).Want(206).WantBody(n.Content[check.start:check.end]).
			WantHeader("Content-Range", fmt.Sprintf("bytes %d-%d/100000", check.start, check.end-1)).
			WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
	}
}

func TestUnsatisfiableRange(t *testing.T) {
	c := serve(t)
	n, empty := fixture.Raw(octets, []byte("0123456789")), fixture.Raw(octets, nil)
	c.PushBlob("r", n)
	c.PushBlob("r", empty)
	for _, ranges := range []string{"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=100-200,300-"} {
		ranged(c, wire.BlobPath("r", n.Desc.Digest), ranges).Want(416).WantHeader("Content-Range", "bytes */10")
	}
	// No range of nothing can be satisfied; to ignore it is permitted, too.
	ranged(c, wire.BlobPath("r", empty.Desc.Digest), "bytes=0-0").Want(200, 416)
	// Another unit, or what is no range at all, is ignored (section 14.2).
	for _, ranges := range []string{"lines=1-2", "bytes", "bytes=", "bytes=a-b", "bytes=5-2", "0-5"} {
		ranged(c, wire.BlobPath("r", n.Desc.Digest), ranges).Want(200, 416, 400)
	}
	ranged(c, wire.BlobPath("r", n.Desc.Digest), "lines=1-2").Want(200).WantBody(n.Content)
}

func TestSeveralRanges(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("ranges", 50_000))
	c.PushBlob("r", n)
	a := ranged(c, wire.BlobPath("r", n.Desc.Digest), "bytes=0-99, 1000-1999,-10").Want(206)
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("Content-Type %q: %v", a.Header.Get("Content-Type"), err)
	}
	if a.Length != int64(len(a.Body)) {
		t.Errorf("Content-Length %d with a body of %d", a.Length, len(a.Body))
	}
	parts := multipart.NewReader(strings.NewReader(string(a.Body)), params["boundary"])
	for _, want := range [][2]int{{0, 100}, {1000, 2000}, {49_990, 50_000}} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p)
		if err != nil || string(got) != string(n.Content[want[0]:want[1]]) {
			t.Errorf("part %v has %d bytes: %v", want, len(got), err)
		}
		if r := p.Header.Get("Content-Range"); r != fmt.Sprintf("bytes %d-%d/50000", want[0], want[1]-1) {
			t.Errorf("part %v says Content-Range %q", want, r)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
	// One satisfiable range of two is a single part.
	ranged(c, wire.BlobPath("r", n.Desc.Digest), "bytes=5-9,99999-").Want(206)
}

// RFC 9110, section 13.1.5
func TestIfRange(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("if-range", 1000))
	c.PushBlob("r", n)
	path := wire.BlobPath("r", n.Desc.Digest)
	tag := c.Get(path).Want(200).Header.Get("ETag")
	ranged(c, path, "bytes=0-9", "If-Range", tag).Want(206).WantBody(n.Content[:10])
	ranged(c, path, "bytes=0-9", "If-Range", `"other"`).Want(200).WantBody(n.Content)
	ranged(c, path, "bytes=0-9", "If-Range", "W/"+tag).Want(200).WantBody(n.Content)
}

// RFC 9110, section 14.2: Range is for GET only.
func TestRangeOnHead(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("head-range", 1000))
	c.PushBlob("r", n)
	c.Do(wire.Request{Method: "HEAD", Path: wire.BlobPath("r", n.Desc.Digest), Header: map[string]string{"Range": "bytes=0-9"}}).Want(200).WantSize(1000)
}
