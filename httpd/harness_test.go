package httpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// site is a server on a listener of its own, over a store in memory.
type site struct {
	t      *testing.T
	server *Server
	store  *hooked
	addr   string // of the listener
	log    *buffer
	stop   context.CancelFunc
	done   chan error // what Serve returned
	client *http.Client
}

// patience bounds every wait of a test for something that has to come about.
const patience = 5 * time.Minute

// start runs a server on a TCP port until the test ends.
func start(t *testing.T, opts Options) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, opts, ln)
}

// startOn is start on a listener, which may have connections already.
func startOn(t *testing.T, opts Options, ln net.Listener) *site {
	t.Helper()
	s := &site{t: t, store: &hooked{Memory: ocitest.NewMemory(), dir: t.TempDir()}, addr: ln.Addr().String(), log: &buffer{}}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if opts.ShutdownTimeout == 0 {
		opts.ShutdownTimeout = 2 * time.Second
	}
	s.server = New(registry.New(s.store, registry.Options{}), opts)
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.done = stop, make(chan error, 1)
	s.client = &http.Client{Transport: &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return net.Dial(ln.Addr().Network(), s.addr) },
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
	}, Timeout: patience}
	go func() { s.done <- s.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		stop()
		select {
		case err := <-s.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve did not return")
		}
		s.done <- nil
	})
	return s
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
	length int64 // Content-Length; -1: none
}

// do sends a request; fields are header names and values in turn. A body that
// is an io.Reader goes chunked.
func (s *site) do(method, path string, body any, fields ...string) reply {
	s.t.Helper()
	r, err := s.try(method, path, body, fields...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (s *site) try(method, path string, body any, fields ...string) (reply, error) {
	var from io.Reader
	switch b := body.(type) {
	case string:
		from = strings.NewReader(b)
	case []byte:
		from = bytes.NewReader(b)
	case io.Reader:
		from = struct{ io.Reader }{b}
	}
	scheme := "http"
	if s.server.tls != nil {
		scheme = "https"
	}
	req, err := http.NewRequest(method, scheme+"://berth.test"+path, from)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(got), resp.ContentLength}, err
}

// expect fails the test unless the answer has a status and header fields,
// given as names and values in turn; the value "" means that it is absent.
func (r reply) expect(t *testing.T, status int, fields ...string) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d; body %q", r.status, status, clipped(r.body))
	}
	for i := 0; i < len(fields); i += 2 {
		if got := strings.Join(r.header.Values(fields[i]), ", "); got != fields[i+1] {
			t.Errorf("%s: %q, want %q", fields[i], got, fields[i+1])
		}
	}
	return r
}

// code fails the test unless the body is the specification's JSON with a code.
func (r reply) code(t *testing.T, code string) reply {
	t.Helper()
	if !strings.HasPrefix(r.body, `{"errors":[{"code":"`+code+`","message":"`) {
		t.Errorf("body %q, want an error with code %s", clipped(r.body), code)
	}
	if typ := r.header.Get("Content-Type"); typ != "application/json" {
		t.Errorf("Content-Type of an error is %q", typ)
	}
	return r
}

func clipped(s string) string { return s[:min(len(s), 300)] }

// blob pushes content and returns its digest.
func (s *site) blob(repo, content string) oci.Digest {
	s.t.Helper()
	d := oci.SHA256.FromString(content)
	s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(d), content).expect(s.t, 201)
	return d
}

// stored puts content into the store, past the server.
func (s *site) stored(repo oci.Repo, content string) oci.Digest {
	s.t.Helper()
	d := oci.SHA256.FromString(content)
	id, err := s.store.CreateUpload(s.t.Context(), repo, oci.SHA256)
	if err == nil {
		_, err = s.store.FinishUpload(s.t.Context(), repo, id, d, oci.AtEnd, strings.NewReader(content))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// manifestOf makes an image manifest without layers whose config is d.
func manifestOf(config oci.Digest, size int, more string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.example+json","digest":%q,"size":%d},"layers":[]%s}`,
		manifestType, config, size, more)
}

// image pushes a manifest with a tag and returns its bytes and digest.
func (s *site) image(repo, tag string) (string, oci.Digest) {
	s.t.Helper()
	d := s.blob(repo, "{}")
	m := manifestOf(d, 2, "")
	s.do("PUT", "/v2/"+repo+"/manifests/"+tag, m, "Content-Type", manifestType).expect(s.t, 201)
	return m, oci.SHA256.FromString(m)
}

// dial opens a bare connection.
func (s *site) dial() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return nc, bufio.NewReader(nc)
}

// send writes bytes on a new connection and returns what can be read of it.
func (s *site) send(raw string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	nc, r := s.dial()
	if _, err := io.WriteString(nc, raw); err != nil {
		s.t.Fatal(err)
	}
	return nc, r
}

// answerTo reads one answer to a method.
func answerTo(t *testing.T, r *bufio.Reader, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("answer cut short: %v", err)
	}
	if resp.Close { // net/http takes the field away
		resp.Header.Set("Connection", "close")
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.ContentLength}
}

// closed fails the test unless the server has ended the connection.
func closed(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("connection goes on: %q, %v", clipped(string(rest)), err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s did not come true", what)
}

// buffer is a log that a test may read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// hooked is a store in memory whose blobs can be served from files, and whose
// calls a test can make fail.
type hooked struct {
	*ocitest.Memory
	dir     string
	discard atomic.Bool // what is uploaded
	// elsewhere begins the URLs that blobs are at; "": they are not. It is set
	// before the first request.
	elsewhere string

	mu     sync.Mutex
	files  bool                    // blobs are files
	pipes  bool                    // blobs come through pipes
	fail   func(call string) error // asked before a call
	open   int                     // files that are open
	sparse int64                   // not 0: any blob is that many zeros
}

func (h *hooked) set(fail func(string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = fail
}

func (h *hooked) before(call string) error {
	h.mu.Lock()
	fail := h.fail
	h.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(call)
}

func (h *hooked) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	if err := h.before("StatBlob"); err != nil {
		return oci.BlobInfo{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sparse != 0 {
		return oci.BlobInfo{Size: h.sparse}, nil
	}
	return h.Memory.StatBlob(ctx, repo, d)
}

func (h *hooked) CreateUpload(ctx context.Context, repo oci.Repo, a oci.Algorithm) (oci.UploadID, error) {
	if err := h.before("CreateUpload"); err != nil {
		return "", err
	}
	return h.Memory.CreateUpload(ctx, repo, a)
}

func (h *hooked) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, at int64) (oci.Content, error) {
	if err := h.before("OpenBlob"); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sparse != 0 {
		f, err := os.Open(filepath.Join(h.dir, "sparse"))
		h.open++
		return &opened{f: f, info: oci.BlobInfo{Size: h.sparse}, in: h}, err
	}
	content, err := h.Memory.OpenBlob(ctx, repo, d, at)
	switch {
	case err != nil:
		return nil, err
	case h.pipes:
		return &piped{Content: content}, nil
	case h.files:
		return h.openFile(content, d)
	}
	return content, nil
}

// piped is content of which each third piece comes into the buffer.
type piped struct {
	oci.Content
	calls int
}

func (p *piped) ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error) {
	n, err = p.Read(buf[:min(len(buf), 60_000)])
	if p.calls++; p.calls%3 == 0 || n == 0 {
		return n, false, err
	}
	if _, err := unix.Write(pipe, buf[:n]); err != nil {
		panic(err)
	}
	clear(buf)
	return n, true, err
}

// fileBase is what stands in a file before the content.
const fileBase = 7

func (h *hooked) openFile(content oci.Content, d oci.Digest) (oci.Content, error) {
	defer content.Close()
	path := filepath.Join(h.dir, d.Encoded())
	if _, err := os.Stat(path); err != nil {
		all, err := io.ReadAll(content)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, append(make([]byte, fileBase), all...), 0o600); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	h.open++
	return &opened{f: f, info: content.Info(), in: h}, nil
}

func (h *hooked) opened() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// opened is content in a file, behind fileBase other bytes.
type opened struct {
	f    *os.File
	info oci.BlobInfo
	in   *hooked
}

func (o *opened) Info() oci.BlobInfo       { return o.info }
func (o *opened) File() (*os.File, int64)  { return o.f, fileBase }
func (o *opened) Read([]byte) (int, error) { panic("a file is not to be read by its content") }
func (o *opened) Seek(int64, int) (int64, error) {
	panic("a file is not to be read by its content")
}

func (o *opened) Close() error {
	o.in.mu.Lock()
	o.in.open--
	o.in.mu.Unlock()
	return o.f.Close()
}
