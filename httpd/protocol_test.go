package httpd

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"berth/oci"
)

// end-1
func TestBase(t *testing.T) {
	s := start(t, Options{})
	for _, path := range []string{"/v2/", "/v2"} {
		if got := s.do("GET", path, nil).expect(t, 200, "Docker-Distribution-API-Version", "registry/2.0", "Content-Type", "application/json"); got.body != "{}" {
			t.Errorf("%s: %q", path, got.body)
		}
		s.do("HEAD", path, nil).expect(t, 200, "Content-Length", "2")
	}
	s.do("GET", "/", nil).expect(t, 200, "Docker-Distribution-API-Version", "", "Content-Type", "text/plain; charset=utf-8")
}

func TestPathsThatAreNothing(t *testing.T) {
	s := start(t, Options{})
	for _, path := range []string{
		"/v2/x", "/v2/x/", "/v2//", "/v2/x/tags", "/v2/x/tags/list/", "/v2/x/manifests/", "/v2/x/blobs/", "/v2/manifests/v1",
		"/v2/_catalog/", "/v2/_oci/ext", "/v1/", "/metrics", "/v2x", "/v2/x/..%2f..%2fmanifests%2fv1", "/v2/x/uploads/1",
	} {
		s.do("GET", path, nil).expect(t, 404).code(t, "UNSUPPORTED")
	}
	// Escapes and dots change nothing about what a path names.
	s.image("a", "v1")
	for _, target := range []string{"/v2/b/../a/manifests/v1", "/v2/b/..%2fa/manifests/v1", "/v2/a/manifests/%761", "/v2/a%2fmanifests/v1", "/v2//a/manifests/v1", "/v2/./a/manifests/v1", "//v2/a/manifests/v1"} {
		_, r := s.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		answerTo(t, r, "GET").expect(t, 404)
	}
	_, r := s.send("GET http://elsewhere.test/v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n")
	answerTo(t, r, "GET").expect(t, 200)
}

func TestMethodsThatAnEndpointHasNot(t *testing.T) {
	s := start(t, Options{})
	upload := s.session("a")
	for path, allow := range map[string]string{
		"/v2/": "GET, HEAD", "/v2/a/blobs/" + absent: "GET, HEAD, DELETE", "/v2/a/manifests/v1": "GET, HEAD, PUT, DELETE",
		"/v2/a/blobs/uploads/": "POST", upload: "GET, HEAD, PATCH, PUT, DELETE", "/v2/a/tags/list": "GET, HEAD",
		"/v2/a/referrers/" + absent: "GET, HEAD", "/v2/_catalog": "GET, HEAD", "/v2/_oci/ext/discover": "GET, HEAD", "/livez": "GET, HEAD",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "BREW"} {
			if !strings.Contains(allow, method) {
				s.do(method, path, nil).expect(t, 405, "Allow", allow+", OPTIONS").code(t, "UNSUPPORTED")
			}
		}
		s.do("OPTIONS", path, nil).expect(t, 204, "Allow", allow+", OPTIONS")
	}
}

func TestReadOnly(t *testing.T) {
	s := start(t, Options{ReadOnly: true})
	for _, c := range []struct{ method, path string }{
		{"POST", "/v2/a/blobs/uploads/"}, {"POST", "/v2/a/blobs/uploads/?digest=" + absent}, {"PUT", "/v2/a/manifests/v1"},
		{"DELETE", "/v2/a/manifests/v1"}, {"DELETE", "/v2/a/blobs/" + absent},
		{"PATCH", "/v2/a/blobs/uploads/01234567-0123-0123-0123-012345678901"},
	} {
		got := s.do(c.method, c.path, "body").expect(t, 405).code(t, "UNSUPPORTED")
		if !strings.Contains(got.body, "read-only") {
			t.Errorf("%s %s: %s", c.method, c.path, got.body)
		}
	}
	s.do("GET", "/v2/", nil).expect(t, 200)
	s.do("GET", "/v2/a/manifests/v1", nil).expect(t, 404)
}

func TestHealth(t *testing.T) {
	var sick error
	check := func() error { return sick }
	s := start(t, Options{Started: check, Ready: check})
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		if got := s.do("GET", path, nil).expect(t, 200, "Cache-Control", "no-store"); got.body != "ok\n" {
			t.Errorf("%s: %q", path, got.body)
		}
	}
	sick = errors.New("the disk\nis away")
	for _, path := range []string{"/readyz", "/startupz"} {
		if got := s.do("GET", path, nil).expect(t, 503); got.body != "the disk is away\n" {
			t.Errorf("%s: %q", path, got.body)
		}
	}
	s.do("GET", "/livez", nil).expect(t, 200)
	start(t, Options{}).do("GET", "/readyz", nil).expect(t, 200)
}

func TestRequestID(t *testing.T) {
	s := start(t, Options{})
	s.do("GET", "/v2/", nil, "X-Request-Id", "Abc-1.2_3").expect(t, 200, "X-Request-Id", "Abc-1.2_3")
	seen := map[string]bool{}
	for _, given := range []string{"", "with space", strings.Repeat("x", 65), "a\"b"} {
		id := s.do("GET", "/nothing", nil, "X-Request-Id", given).header.Get("X-Request-Id")
		if len(id) != 20 || seen[id] {
			t.Errorf("%q became %q", given, id)
		}
		seen[id] = true
	}
}

// Every kind of failure of the store or the registry has its answer.
func TestErrorsOfTheStore(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{oci.ErrStorageFull, 507, "DENIED"}, {oci.ErrUnavailable, 503, "DENIED"}, {oci.ErrReadOnly, 405, "UNSUPPORTED"},
		{oci.ErrNameUnknown, 404, "NAME_UNKNOWN"}, {oci.ErrTooLarge, 413, "SIZE_INVALID"}, {oci.ErrUnsupported, 405, "UNSUPPORTED"},
		{oci.Errorf(oci.ErrStorageFull, "told why"), 507, "DENIED"},
	} {
		s.store.set(func(string) error { return fmt.Errorf("store: %w", c.err) })
		got := s.do("POST", "/v2/a/blobs/uploads/", nil).expect(t, c.status).code(t, c.code)
		var e *oci.Error
		if want := c.err.Error(); !errors.As(c.err, &e) && !strings.Contains(got.body, want) {
			t.Errorf("%v: %s", c.err, got.body)
		} else if e != nil && !strings.Contains(got.body, e.Message) {
			t.Errorf("%v: %s", c.err, got.body)
		}
		if retry := got.header.Get("Retry-After"); (retry != "") != (c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, retry)
		}
	}
	s.store.set(nil)
	s.do("POST", "/v2/a/blobs/uploads/", nil).expect(t, 202)
}

// What nobody foresaw is told to the log, not to the client.
func TestInternalError(t *testing.T) {
	s := start(t, Options{})
	s.store.set(func(string) error { return errors.New("secret /path/of/disk") })
	got := s.do("GET", "/v2/a/blobs/"+absent, nil).expect(t, 500)
	if strings.Contains(got.body, "secret") || !strings.Contains(got.body, got.header.Get("X-Request-Id")) {
		t.Errorf("body %s", got.body)
	}
	if log := s.log.String(); !strings.Contains(log, "secret /path/of/disk") || !strings.Contains(log, got.header.Get("X-Request-Id")) {
		t.Errorf("log %s", log)
	}
}

func TestPanic(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", "content")
	s.store.set(func(string) error { panic("boom") })
	_, r := s.send("GET /v2/a/blobs/" + string(d) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	got := answerTo(t, r, "GET").expect(t, 500, "Connection", "close")
	closed(t, r)
	if log := s.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, "harness_test.go") || !strings.Contains(log, got.header.Get("X-Request-Id")) {
		t.Errorf("log %s", log)
	}
	s.store.set(nil)
	s.do("GET", "/v2/a/blobs/"+string(d), nil).expect(t, 200)
}

const get = "GET /v2/ HTTP/1.1\r\nHost: x\r\n"

// What two servers could read differently is refused, and the connection ends.
func TestFraming(t *testing.T) {
	s := start(t, Options{})
	const put = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\n"
	for name, raw := range map[string]string{
		"both lengths":           put + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"both, the other way":    put + "Transfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
		"two lengths":            put + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
		"list of lengths":        put + "Content-Length: 5, 5\r\n\r\nhello",
		"signed length":          put + "Content-Length: +5\r\n\r\nhello",
		"negative length":        put + "Content-Length: -5\r\n\r\n",
		"two encodings":          put + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown encoding":       put + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"space before the colon": get + "Content-Length : 5\r\n\r\nhello",
		"folded line":            get + "X-A: b\r\n c\r\n\r\n",
		"no colon":               get + "nonsense\r\n\r\n",
		"two hosts":              get + "Host: y\r\n\r\n",
		"chunked in HTTP/1.0":    "PUT /v2/a/manifests/v1 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"control in a value":     get + "X-A: b\x00c\r\n\r\n",
		"no HTTP":                "hello\r\n\r\n",
		"space in the target":    "GET /v2/ x HTTP/1.1\r\nHost: x\r\n\r\n",
		"identity and a length":  put + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	} {
		nc, r := s.send(raw + get + "\r\n")
		nc.(interface{ CloseWrite() error }).CloseWrite()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			continue
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%s: status %d, closing %t", name, resp.StatusCode, resp.Close)
		}
		if _, err := http.ReadResponse(r, nil); err == nil {
			t.Errorf("%s: what followed was answered, too", name)
		}
	}
}

func TestBrokenChunks(t *testing.T) {
	s := start(t, Options{})
	location := s.session("a")
	for _, chunks := range []string{"x\r\n", "5\r\nhelloworld\r\n", "5\nhello\r\n0\r\n\r\n", "-1\r\n", "fffffffffffffffffff\r\n"} {
		nc, r := s.send("PATCH " + location + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + get + "\r\n")
		nc.(interface{ CloseWrite() error }).CloseWrite()
		answerTo(t, r, "PATCH").expect(t, 400)
		closed(t, r)
	}
}

func TestHeadTooLarge(t *testing.T) {
	s := start(t, Options{})
	_, r := s.send(get + "X-A: " + strings.Repeat("x", 9000) + "\r\n\r\n")
	answerTo(t, r, "GET").expect(t, 431, "Connection", "close").code(t, "UNSUPPORTED")
	closed(t, r)
	s.do("GET", "/v2/", nil, "X-A", strings.Repeat("x", 7000)).expect(t, 200)
}

// Credentials in a request that cannot be read do not get into the log.
func TestMalformedRequestIsNotLogged(t *testing.T) {
	s := start(t, Options{})
	_, r := s.send(get + "Authorization: Basic c2VjcmV0\r\nbroken\r\n\r\n")
	answerTo(t, r, "GET").expect(t, 400)
	closed(t, r)
	if strings.Contains(s.log.String(), "c2VjcmV0") {
		t.Error(s.log.String())
	}
}

// Requests in one go are answered in order, also around answers that are
// streamed apart.
func TestPipelining(t *testing.T) {
	s := start(t, Options{})
	s.store.files = true
	small, large := s.blob("a", "small"), s.blob("a", strings.Repeat("large", 100000))
	var raw strings.Builder
	const rounds = 5
	for range rounds {
		fmt.Fprintf(&raw, "GET /v2/a/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", large)
		fmt.Fprintf(&raw, "POST /v2/a/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nsmall", small)
		fmt.Fprintf(&raw, "GET /v2/a/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", small)
		fmt.Fprintf(&raw, "HEAD /v2/a/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", large)
	}
	_, r := s.send(raw.String())
	for range rounds {
		if got := answerTo(t, r, "GET").expect(t, 200); got.body != strings.Repeat("large", 100000) {
			t.Errorf("large: %d bytes", len(got.body))
		}
		answerTo(t, r, "POST").expect(t, 201)
		if got := answerTo(t, r, "GET").expect(t, 200); got.body != "small" {
			t.Errorf("small: %q", got.body)
		}
		answerTo(t, r, "HEAD").expect(t, 200, "Content-Length", "500000")
	}
	eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
}

// A body of a request that needs none is not taken for a request.
func TestBodyThatNobodyReads(t *testing.T) {
	s := start(t, Options{})
	d := s.blob("a", strings.Repeat("x", 200<<10))
	_, r := s.send("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + get + "\r\n")
	answerTo(t, r, "GET").expect(t, 200)
	answerTo(t, r, "GET").expect(t, 200)
	inner := "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n"
	_, r = s.send(fmt.Sprintf("GET /v2/a/blobs/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", d, len(inner), inner))
	answerTo(t, r, "GET").expect(t, 200, "Connection", "close")
	closed(t, r)
}

func TestOtherVersions(t *testing.T) {
	s := start(t, Options{})
	_, r := s.send("GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n")
	answerTo(t, r, "GET").expect(t, 505, "Connection", "close")
	closed(t, r)
	d := s.blob("a", strings.Repeat("x", 200<<10))
	for _, path := range []string{"/v2/", "/v2/a/blobs/" + string(d)} {
		_, r := s.send("GET " + path + " HTTP/1.0\r\n\r\n")
		answerTo(t, r, "GET").expect(t, 200)
		closed(t, r)
	}
}

// A request refused by its head gets its answer without sending its body.
func TestExpect(t *testing.T) {
	s := start(t, Options{})
	d := oci.SHA256.FromString("hello")
	head := func(method, path string, length int64) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", method, path, length)
	}
	for _, c := range []struct {
		path   string
		length int64
		status int
	}{
		{"/v2/a/blobs/uploads/?digest=sha256:short", 5, 400}, {"/v2/A/blobs/uploads/", 5, 400}, {"/nothing", 5, 404},
		{"/v2/a/tags/list", 5, 405},
	} {
		_, r := s.send(head("POST", c.path, c.length))
		answerTo(t, r, "POST").expect(t, c.status, "Connection", "close")
	}
	_, r := s.send(head("PUT", "/v2/a/manifests/v1", 5<<20))
	answerTo(t, r, "PUT").expect(t, 413)

	nc, r := s.send(head("POST", "/v2/a/blobs/uploads/?digest="+string(d), 5))
	answerTo(t, r, "POST").expect(t, 100)
	io.WriteString(nc, "hello")
	answerTo(t, r, "POST").expect(t, 201)
	io.WriteString(nc, get+"\r\n")
	answerTo(t, r, "GET").expect(t, 200)

	readOnly := start(t, Options{ReadOnly: true})
	_, r = readOnly.send(head("POST", "/v2/a/blobs/uploads/?digest="+string(d), 5))
	answerTo(t, r, "POST").expect(t, 405)
}

// A client that is still sending sees the answer that refuses it.
func TestRefusedWhileSending(t *testing.T) {
	s := start(t, Options{ReadOnly: true})
	s.server.conns.linger = patience
	for range 20 {
		body := io.LimitReader(zeros{}, 32<<20)
		nc, r := s.send("POST /v2/a/blobs/uploads/?digest=" + absent + " HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n")
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(nc, body)
			sent <- err
		}()
		if err := <-sent; err != nil {
			t.Fatalf("the client could not go on sending: %v", err)
		}
		answerTo(t, r, "POST").expect(t, 405, "Connection", "close")
		closed(t, r)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
