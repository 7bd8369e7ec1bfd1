package httpd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"berth/oci"
)

// largeSize is over what an int holds where that has 32 bits.
func largeSize() int64 {
	if strconv.IntSize == 32 {
		return 1<<31 + 1<<20
	}
	return 100 << 20
}

// putSparse makes the store hold a blob of zeros.
func (h *hooked) putSparse(t *testing.T, size int64) {
	t.Helper()
	path := filepath.Join(h.dir, "sparse")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, fileBase+size); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sparse = size
}

func TestLargeBlobOut(t *testing.T) {
	s := start(t, Options{})
	size := largeSize()
	s.store.putSparse(t, size)
	path := "/v2/a/blobs/" + absent
	s.do("HEAD", path, nil).expect(t, 200, "Content-Length", fmt.Sprint(size))
	s.do("HEAD", path, nil).expect(t, 200) // the connection lives
	tail := s.do("GET", path, nil, "Range", "bytes=-3").expect(t, 206, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", size-3, size-1, size))
	if tail.body != "\x00\x00\x00" {
		t.Errorf("tail %q", tail.body)
	}
	resp, err := s.client.Get("http://berth.test" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil || resp.ContentLength != size {
		t.Errorf("%d bytes of %d came: %v", n, size, err)
	}
	s.do("HEAD", path, nil).expect(t, 200)
	eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
	eventually(t, "no slot of a quick client is kept", func() bool { return len(s.server.conns.fast) == 0 })
}

func TestLargeBlobIn(t *testing.T) {
	s := start(t, Options{})
	size := largeSize()
	s.store.discard.Store(true)
	location := s.session("a")
	s.do("PATCH", location, io.LimitReader(zeros{}, size)).expect(t, 202, "Range", fmt.Sprintf("0-%d", size-1))
	s.do("PATCH", location, "x").expect(t, 202)
}

// A length that the machine cannot count is refused with a way out.
func TestLargeContentLength(t *testing.T) {
	s := start(t, Options{ReadOnly: true})
	want := http.StatusMethodNotAllowed // elsewhere it is as good as any
	if strconv.IntSize == 32 {
		want = http.StatusRequestEntityTooLarge
	}
	_, r := s.send("PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000000\r\n\r\nx")
	got := answerTo(t, r, "PUT").expect(t, want, "Connection", "close")
	if strconv.IntSize == 32 && !strings.Contains(got.body, "chunked") {
		t.Error(got.body)
	}
	_, r = s.send("PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\nx")
	answerTo(t, r, "PUT").expect(t, 413, "Connection", "close")
}

func (h *hooked) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (int64, error) {
	if h.discard.Load() {
		return io.Copy(io.Discard, r)
	}
	return h.Memory.AppendUpload(ctx, repo, id, at, r)
}
