package httpd

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"berth/oci"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// session begins an upload and returns its location.
func (s *site) session(repo string) string {
	s.t.Helper()
	got := s.do("POST", "/v2/"+repo+"/blobs/uploads/", nil)
	got.expect(s.t, 202)
	return got.header.Get("Location")
}

// end-4a
func TestStartUpload(t *testing.T) {
	s := start(t, Options{ChunkMinLength: 4096})
	for _, path := range []string{"/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads"} {
		got := s.do("POST", path, nil).expect(t, 202, "Range", "0-0", "Content-Length", "0", "OCI-Chunk-Min-Length", "4096")
		id := got.header.Get("Docker-Upload-UUID")
		if !uuid.MatchString(id) || got.header.Get("Location") != "/v2/a/b/blobs/uploads/"+id {
			t.Errorf("upload %q at %q", id, got.header.Get("Location"))
		}
	}
	start(t, Options{}).do("POST", "/v2/a/blobs/uploads/", nil).expect(t, 202, "OCI-Chunk-Min-Length", "")
	s.do("POST", "/v2/A/blobs/uploads/", nil).expect(t, 400).code(t, "NAME_INVALID")
}

// end-4c
func TestStartUploadWithAlgorithm(t *testing.T) {
	s := start(t, Options{})
	got := s.do("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512", nil).expect(t, 202)
	d := oci.SHA512.FromString("content")
	s.do("PUT", got.header.Get("Location")+"?digest="+string(d), "content").expect(t, 201)
	s.do("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha1", nil).expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha256", nil).expect(t, 202)
}

// end-4b
func TestPushBlobByOnePOST(t *testing.T) {
	s := start(t, Options{})
	d := oci.SHA256.FromString("content")
	path := "/v2/a/blobs/uploads/?digest=" + string(d)
	for _, body := range []any{"content", strings.NewReader("content")} {
		s.do("POST", path, body).expect(t, 201, "Location", "/v2/a/blobs/"+string(d), "Docker-Content-Digest", string(d))
	}
	s.do("POST", "/v2/a/blobs/uploads/?digest="+strings.Replace(string(d), ":", "%3A", 1), "content").expect(t, 201)
	s.do("POST", "/v2/c/blobs/uploads/?digest="+string(d), "other").expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("GET", "/v2/c/blobs/"+string(d), nil).expect(t, 404)
	s.do("POST", "/v2/a/blobs/uploads/?digest=sha256:short", "content").expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("POST", "/v2/a/blobs/uploads/?digest=sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "").expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("POST", "/v2/a/blobs/uploads/?digest=", "").expect(t, 400).code(t, "DIGEST_INVALID")
	// Without a body, the client means to send it by PUT, unless the blob is empty.
	got := s.do("POST", path, nil).expect(t, 202)
	s.do("PUT", got.header.Get("Location")+"?digest="+string(d), "content").expect(t, 201)
	empty := oci.SHA256.FromString("")
	s.do("POST", "/v2/a/blobs/uploads/?digest="+string(empty), nil).expect(t, 201)
	s.do("GET", "/v2/a/blobs/"+string(empty), nil).expect(t, 200, "Content-Length", "0")
}

// end-4a and end-6
func TestPushBlobByPOSTAndPUT(t *testing.T) {
	s := start(t, Options{})
	d := oci.SHA256.FromString("content")
	for _, body := range []any{"content", strings.NewReader("content")} {
		s.do("PUT", s.session("a")+"?digest="+string(d), body, "Content-Type", "application/octet-stream").
			expect(t, 201, "Location", "/v2/a/blobs/"+string(d), "Docker-Content-Digest", string(d))
	}
	location := s.session("a")
	s.do("PUT", location, "content").expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("PUT", location+"?digest=sha256:short", "content").expect(t, 400).code(t, "DIGEST_INVALID")
	s.do("PUT", location+"?digest="+absent, "content").expect(t, 400).code(t, "DIGEST_INVALID")
	// A PUT that failed has not spoilt the session.
	s.do("PUT", location+"?digest="+string(d), "content").expect(t, 201)
	s.do("PUT", location+"?digest="+string(d), "content").expect(t, 404).code(t, "BLOB_UPLOAD_UNKNOWN")
}

// end-5, end-6 and end-13
func TestPushBlobInChunks(t *testing.T) {
	for _, last := range []bool{false, true} {
		s := start(t, Options{})
		const content = "0123456789"
		d := oci.SHA256.FromString(content)
		location := s.session("a")
		patch := func(chunk any, at string) reply { return s.do("PATCH", location, chunk, "Content-Range", at) }

		s.do("GET", location, nil).expect(t, 204, "Range", "0-0", "Location", location)
		got := patch("0123", "0-3").expect(t, 202, "Range", "0-3", "Location", location)
		id := got.header.Get("Docker-Upload-UUID")
		patch("89", "8-9").expect(t, 416, "Range", "0-3", "Location", location, "Docker-Upload-UUID", id).code(t, "BLOB_UPLOAD_INVALID")
		patch("0123", "0-3").expect(t, 416, "Range", "0-3")
		patch("456", "4-7").expect(t, 400).code(t, "SIZE_INVALID")
		for _, bad := range []string{"4", "a-b", "7-4", "-4", "4-"} {
			patch("4567", bad).expect(t, 400).code(t, "BLOB_UPLOAD_INVALID")
		}
		s.do("GET", location, nil).expect(t, 204, "Range", "0-3", "Location", location, "Docker-Upload-UUID", id)
		s.do("HEAD", location, nil).expect(t, 204, "Range", "0-3")
		patch(strings.NewReader("4567"), "bytes 4-7/*").expect(t, 202, "Range", "0-7")
		if last {
			s.do("PUT", location+"?digest="+string(d), "89", "Content-Range", "7-8").expect(t, 416, "Range", "0-7")
			s.do("PUT", location+"?digest="+string(d), "89", "Content-Range", "8-9").expect(t, 201, "Location", "/v2/a/blobs/"+string(d))
		} else {
			patch("89", "8-9").expect(t, 202, "Range", "0-9")
			s.do("PUT", location+"?digest="+string(d), nil).expect(t, 201, "Location", "/v2/a/blobs/"+string(d))
		}
		if got := s.do("GET", "/v2/a/blobs/"+string(d), nil).expect(t, 200); got.body != content {
			t.Errorf("came back as %q", got.body)
		}
	}
}

func TestChunkedBodyIsHeldToItsContentRange(t *testing.T) {
	s := start(t, Options{})
	for _, body := range []string{"012", "01234"} {
		s.do("PATCH", s.session("a"), strings.NewReader(body), "Content-Range", "0-3").expect(t, 400).code(t, "SIZE_INVALID")
	}
}

// end-5 without Content-Range: what comes is appended.
func TestStreamedUpload(t *testing.T) {
	s := start(t, Options{})
	content := strings.Repeat("0123456789", 50000)
	location := s.session("a")
	s.do("PATCH", location, strings.NewReader(content[:300000])).expect(t, 202, "Range", "0-299999", "Location", location)
	s.do("PATCH", location, content[300000:400000]).expect(t, 202, "Range", "0-399999")
	d := oci.SHA256.FromString(content)
	s.do("PUT", location+"?digest="+string(d), strings.NewReader(content[400000:])).expect(t, 201)
	if got := s.do("GET", "/v2/a/blobs/"+string(d), nil); got.body != content {
		t.Errorf("%d other bytes came back", len(got.body))
	}
}

// end-14
func TestCancelUpload(t *testing.T) {
	s := start(t, Options{})
	location := s.session("a")
	s.do("DELETE", location, nil).expect(t, 204)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		s.do(method, location, nil).expect(t, 404).code(t, "BLOB_UPLOAD_UNKNOWN")
	}
	s.do("PUT", location+"?digest="+absent, nil).expect(t, 404).code(t, "BLOB_UPLOAD_UNKNOWN")
	s.do("GET", "/v2/a/blobs/uploads/nonsense", nil).expect(t, 404).code(t, "BLOB_UPLOAD_UNKNOWN")
	s.do("GET", strings.Replace(s.session("a"), "/v2/a/", "/v2/b/", 1), nil).expect(t, 404).code(t, "BLOB_UPLOAD_UNKNOWN")
}

// end-11
func TestMount(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("from/here", "content")
	post := func(query string) reply { return s.do("POST", "/v2/to/blobs/uploads/?"+query, nil) }
	post("mount="+string(d)+"&from=from/here").expect(t, 201, "Location", "/v2/to/blobs/"+string(d), "Docker-Content-Digest", string(d))
	s.do("GET", "/v2/to/blobs/"+string(d), nil).expect(t, 200)
	for _, query := range []string{
		"mount=" + absent + "&from=from/here", "mount=" + absent + "&from=nobody", "mount=" + absent + "&from=Not/A/Name", "mount=" + absent,
	} {
		got := post(query).expect(t, 202, "Range", "0-0")
		if !uuid.MatchString(got.header.Get("Docker-Upload-UUID")) {
			t.Errorf("%s: no upload began", query)
		}
	}
	post("mount=sha256:short&from=from/here").expect(t, 400).code(t, "DIGEST_INVALID")
	post("mount=&from=from/here").expect(t, 400).code(t, "DIGEST_INVALID")
}

// A body that ends early is never taken for a whole one.
func TestBodyCutShort(t *testing.T) {
	s := start(t, Options{})
	d := oci.SHA256.FromString("half")
	location := s.session("a")
	for _, head := range []string{
		"POST /v2/a/blobs/uploads/?digest=" + string(d),
		"PUT " + location + "?digest=" + string(d),
		"PATCH " + location,
		"PUT /v2/a/manifests/v1",
	} {
		for _, body := range []string{
			"Content-Length: 8\r\n\r\nhalf",
			"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
			"Transfer-Encoding: chunked\r\n\r\n8\r\nhalf",
		} {
			nc, r := s.send(head + " HTTP/1.1\r\nHost: x\r\n" + body)
			nc.(interface{ CloseWrite() error }).CloseWrite()
			answerTo(t, r, "PUT").expect(t, 400)
			closed(t, r)
		}
	}
	s.do("GET", "/v2/a/blobs/"+string(d), nil).expect(t, 404)
	s.do("GET", location, nil).expect(t, 204)
}

func TestTooManyUploadsAtOnce(t *testing.T) {
	s := start(t, Options{MaxUploads: 1})
	s.server.uploads.wait = 1
	reader, writer := io.Pipe()
	location := s.session("a")
	first := make(chan reply, 1)
	go func() { r, _ := s.try("PATCH", location, reader); first <- r }()
	fmt.Fprint(writer, "content")
	eventually(t, "the first has its turn", func() bool {
		s.server.uploads.mu.Lock()
		defer s.server.uploads.mu.Unlock()
		return s.server.uploads.free == 0
	})
	s.do("PATCH", s.session("a"), "x").expect(t, http.StatusTooManyRequests, "Retry-After", "5").code(t, "TOOMANYREQUESTS")
	writer.Close()
	if r := <-first; r.status != 202 {
		t.Errorf("the first: %d %s", r.status, r.body)
	}
	s.do("PATCH", s.session("a"), "x").expect(t, 202)
}
