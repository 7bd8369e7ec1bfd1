package httpd

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"berth/oci"
)

const absent = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// The checklist of end-2, GET and HEAD of a blob.
func TestPullBlob(t *testing.T) {
	for _, how := range []string{"read", "files", "pipes"} {
		t.Run(how, func(t *testing.T) {
			s := start(t, Options{})
			s.store.files, s.store.pipes = how == "files", how == "pipes"
			for _, size := range []int{0, 1, 1000, 64 << 10, 3 << 20} {
				content := strings.Repeat("0123456789", size/10+1)[:size]
				d := s.blob("a/b", content)
				path := "/v2/a/b/blobs/" + string(d)
				head := []string{
					"Docker-Content-Digest", string(d), "Content-Length", fmt.Sprint(size), "Accept-Ranges", "bytes",
					"ETag", `"` + string(d) + `"`, "Content-Type", "application/octet-stream",
					"Cache-Control", immutable, "Docker-Distribution-API-Version", apiVersion, "Server", "berth",
				}
				if got := s.do("GET", path, nil).expect(t, 200, head...); got.body != content {
					t.Errorf("%d bytes came as %d others", size, len(got.body))
				}
				s.do("HEAD", path, nil).expect(t, 200, head...)
				s.do("HEAD", path, nil, "Range", "bytes=0-1").expect(t, 200, "Content-Range", "")
			}
			eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
		})
	}
}

func TestPullBlobThatIsNotThere(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", "x")
	for _, path := range []string{
		"/v2/a/blobs/" + absent, "/v2/other/blobs/" + string(d),
		"/v2/a/blobs/sha256:short", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "/v2/a/blobs/nonsense",
	} {
		s.do("GET", path, nil).expect(t, 404).code(t, "BLOB_UNKNOWN")
		s.do("HEAD", path, nil).expect(t, 404)
	}
	s.do("GET", "/v2/UPPER/blobs/"+string(d), nil).expect(t, 404).code(t, "NAME_UNKNOWN")
	// Clients may escape the colon; nothing else is decoded.
	s.do("GET", "/v2/a/blobs/"+strings.Replace(string(d), ":", "%3A", 1), nil).expect(t, 200)
	s.do("GET", "/v2/%61/blobs/"+string(d), nil).expect(t, 404)
}

// The checklist of RFC 9110, section 14, for blobs.
func TestRanges(t *testing.T) {
	for _, size := range []int{100, 300 << 10} {
		s := start(t, Options{})
		s.store.files = size > 100
		content := strings.Repeat("abcdefghij", size/10)
		d := s.blob("a", content)
		path := "/v2/a/blobs/" + string(d)
		for _, c := range []struct {
			spec     string
			from, to int // inclusive
		}{
			{"bytes=0-0", 0, 0}, {"bytes=5-9", 5, 9}, {"BYTES=5-9", 5, 9}, {"bytes=90-", 90, size - 1},
			{"bytes=-1", size - 1, size - 1}, {"bytes=-99999999", 0, size - 1}, {"bytes=50-99999999999999999999", 50, size - 1},
			{"bytes=2-8,4-9", 2, 9}, {"bytes=0-1,99999999-", 0, 1}, {"bytes= 1-2 ,", 1, 2},
		} {
			got := s.do("GET", path, nil, "Range", c.spec).expect(t, 206, "Content-Length", fmt.Sprint(c.to-c.from+1),
				"Content-Range", fmt.Sprintf("bytes %d-%d/%d", c.from, c.to, size), "Docker-Content-Digest", string(d))
			if got.body != content[c.from:c.to+1] {
				t.Errorf("%s: other bytes", c.spec)
			}
		}
		for _, spec := range []string{"bytes=", "bytes=a-b", "bytes=5-2", "bytes=--5", "bytes=5", "lines=0-1", "bytes", "bytes=0-1;2", "bytes=" + strings.Repeat("0-0,", 100)} {
			if got := s.do("GET", path, nil, "Range", spec).expect(t, 200, "Content-Range", ""); got.body != content {
				t.Errorf("%s: not the whole", spec)
			}
		}
		for _, spec := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=-0", "bytes=99999999-,88888888-"} {
			s.do("GET", path, nil, "Range", spec).expect(t, 416, "Content-Range", fmt.Sprintf("bytes */%d", size)).code(t, "SIZE_INVALID")
		}
		eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
	}
}

func TestRangeOfEmptyBlob(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", "")
	s.do("GET", "/v2/a/blobs/"+string(d), nil, "Range", "bytes=0-").expect(t, 200, "Content-Length", "0")
}

func TestSeveralRanges(t *testing.T) {
	for _, size := range []int64{1000, 1000000} {
		s := start(t, Options{})
		s.store.files = size > 1000
		content := strings.Repeat("abcdefghij", int(size/10))
		d := s.blob("a", content)
		spec := fmt.Sprintf("bytes=0-9,-5,500-%d", size-100)
		got := s.do("GET", "/v2/a/blobs/"+string(d), nil, "Range", spec).expect(t, 206, "Content-Range", "")
		if got.length != int64(len(got.body)) {
			t.Errorf("Content-Length %d, body %d", got.length, len(got.body))
		}
		typ, parameters, err := mime.ParseMediaType(got.header.Get("Content-Type"))
		if err != nil || typ != "multipart/byteranges" {
			t.Fatalf("Content-Type %q", got.header.Get("Content-Type"))
		}
		parts := multipart.NewReader(strings.NewReader(got.body), parameters["boundary"])
		for _, want := range []span{{0, 10}, {size - 5, size}, {500, size - 99}} {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(part)
			if string(body) != content[want.start:want.end] || part.Header.Get("Content-Range") != contentRange(want, size) ||
				part.Header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("part %v is %d bytes, %v", want, len(body), part.Header)
			}
		}
		if _, err := parts.NextPart(); err != io.EOF {
			t.Errorf("after the last part: %v", err)
		}
	}
}

func TestConditionalPullOfBlob(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", "content")
	tag, other := `"`+string(d)+`"`, `"`+absent+`"`
	path := "/v2/a/blobs/" + string(d)
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"If-None-Match", tag, 304}, {"If-None-Match", "W/" + tag, 304}, {"If-None-Match", other + ", " + tag, 304},
		{"If-None-Match", "*", 304}, {"If-None-Match", other, 200}, {"If-None-Match", string(d), 304},
		{"If-Match", tag, 200}, {"If-Match", "*", 200}, {"If-Match", other, 412}, {"If-Match", "W/" + tag, 412},
	} {
		got := s.do("GET", path, nil, c.name, c.value).expect(t, c.status)
		s.do("HEAD", path, nil, c.name, c.value).expect(t, c.status)
		if c.status == 304 && (got.body != "" || got.header.Get("ETag") != tag) {
			t.Errorf("304 with body %q and ETag %q", got.body, got.header.Get("ETag"))
		}
	}
	s.do("GET", "/v2/a/blobs/"+absent, nil, "If-None-Match", "*").expect(t, 404)
	for _, c := range []struct {
		value  string
		status int
	}{{tag, 206}, {other, 200}, {"W/" + tag, 200}, {"Sat, 29 Oct 1994 19:43:31 GMT", 200}} {
		s.do("GET", path, nil, "Range", "bytes=1-2", "If-Range", c.value).expect(t, c.status)
	}
}

// end-10
func TestDeleteBlob(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", "content")
	path := "/v2/a/blobs/" + string(d)
	s.do("DELETE", path, nil).expect(t, 202)
	s.do("GET", path, nil).expect(t, 404).code(t, "BLOB_UNKNOWN")
	s.do("DELETE", path, nil).expect(t, 404).code(t, "BLOB_UNKNOWN")
	s.do("DELETE", "/v2/a/blobs/sha256:short", nil).expect(t, 400).code(t, "DIGEST_INVALID")
}

func TestSHA512Blob(t *testing.T) {
	s := start(t, Options{})
	d := oci.SHA512.FromString("content")
	s.do("POST", "/v2/a/blobs/uploads/?digest="+string(d), "content").expect(t, 201, "Docker-Content-Digest", string(d))
	s.do("GET", "/v2/a/blobs/"+string(d), nil).expect(t, 200, "Docker-Content-Digest", string(d))
}
