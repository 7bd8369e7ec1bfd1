package httpd

import (
	"context"
	"net/http"
	"testing"

	"berth/oci"
)

// RedirectBlob sends clients elsewhere where a test says so.
func (h *hooked) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	if h.elsewhere == "" {
		return "", nil
	}
	if _, err := h.Memory.StatBlob(ctx, repo, d); err != nil {
		return "", err
	}
	return h.elsewhere + string(d), nil
}

// TestRedirectBlob: a GET of a blob is sent to where the blob lies; nothing else
// is.
func TestRedirectBlob(t *testing.T) {
	s := start(t, Options{})
	s.store.elsewhere = "https://bucket.test/key?X-Amz-Signature=seal&of="
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	d := s.blob("a", "content")
	path := "/v2/a/blobs/" + string(d)
	moved := []string{"Location", s.store.elsewhere + string(d), "Docker-Content-Digest", string(d), "Cache-Control", "no-store", "Content-Length", "0"}
	s.do("GET", path, nil).expect(t, 307, moved...)
	s.do("GET", path, nil, "Range", "bytes=0-1").expect(t, 307, moved...)
	s.do("GET", path, nil, "If-None-Match", `"other"`).expect(t, 307, moved...)
	s.do("GET", path, nil, "If-None-Match", `"`+string(d)+`"`).expect(t, 304, "Location", "")
	s.do("GET", path, nil, "If-Match", `"other"`).expect(t, 412, "Location", "")
	s.do("HEAD", path, nil).expect(t, 200, "Location", "", "Content-Length", "7")
	s.do("GET", "/v2/a/blobs/"+absent, nil).expect(t, 404, "Location", "").code(t, "BLOB_UNKNOWN")
}
