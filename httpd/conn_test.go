package httpd

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/oci"
)

// impatient makes waits for a rate short: the window is 30 ticks.
func impatient(o Options) Options {
	o.tick = 5 * time.Millisecond
	return o
}

func TestHeadThatNeverEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	// It is there before the server: one over which nothing has come is ended
	// without an answer.
	if _, err := io.WriteString(nc, "GET /v2/ HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	startOn(t, impatient(Options{HeaderTimeout: 500 * time.Millisecond}), ln)
	r := bufio.NewReader(nc)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a byte now and then does not help
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				io.WriteString(nc, "X")
			}
		}
	}()
	answerTo(t, r, "GET").expect(t, 408, "Connection", "close")
	closed(t, r)
}

func TestConnectionWithoutRequest(t *testing.T) {
	s := start(t, impatient(Options{HeaderTimeout: 50 * time.Millisecond, IdleTimeout: time.Hour}))
	_, r := s.dial()
	closed(t, r)
	s = start(t, impatient(Options{HeaderTimeout: time.Hour, IdleTimeout: 50 * time.Millisecond}))
	_, r = s.send(get + "\r\n")
	answerTo(t, r, "GET").expect(t, 200)
	closed(t, r)
}

// After a stream, the wait for the next request is that between requests.
func TestConnectionIdlesAfterStream(t *testing.T) {
	s := start(t, Options{HeaderTimeout: time.Minute, IdleTimeout: time.Hour})
	d := s.blob("a", strings.Repeat("x", 200<<10))
	s.client.CloseIdleConnections()
	nc, r := s.send("GET /v2/a/blobs/" + string(d) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	answerTo(t, r, "GET").expect(t, 200)
	eventually(t, "an hour is left", func() (ok bool) {
		s.server.conns.each(func(c *conn) {
			left := time.Until(time.Unix(0, c.deadline.Load()))
			ok = c.idleSince.Load() != 0 && left > 50*time.Minute
		})
		return ok
	})
	io.WriteString(nc, get+"\r\n")
	answerTo(t, r, "GET").expect(t, 200)
}

// A connection that waits long is parked; its next request is answered, and it
// still ends after IdleTimeout.
func TestParkedConnection(t *testing.T) {
	s := start(t, impatient(Options{IdleTimeout: time.Hour}))
	parked := func() (n int) {
		s.server.conns.each(func(c *conn) {
			if c.parked.Load() == waiting {
				n++
			}
		})
		return n
	}
	nc, r := s.dial()
	for range 3 {
		eventually(t, "the connection is parked", func() bool { return parked() == 1 })
		io.WriteString(nc, get+"\r\n"+get+"\r\n")
		answerTo(t, r, "GET").expect(t, 200)
		answerTo(t, r, "GET").expect(t, 200)
	}
	eventually(t, "the connection is parked", func() bool { return parked() == 1 })
	s.server.conns.each(func(c *conn) { // an hour goes by
		left := time.Until(time.Unix(0, c.deadline.Load()))
		if left < 50*time.Minute || left > time.Hour {
			t.Errorf("the connection ends after %v", left)
		}
		c.deadline.Add(-int64(time.Hour))
	})
	closed(t, r)
	eventually(t, "nothing is left", func() bool { return s.server.conns.len() == 0 })

	nc, _ = s.dial()
	eventually(t, "the connection is parked", func() bool { return parked() == 1 })
	nc.Close()
	eventually(t, "nothing is left", func() bool { return s.server.conns.len() == 0 })
}

func TestShutdownWaitsForStreams(t *testing.T) {
	s := start(t, Options{ShutdownTimeout: patience})
	content := strings.Repeat("0123456789", 2<<20)
	d := s.blob("a", content)
	_, r := s.send("GET /v2/a/blobs/" + string(d) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	_, idle := s.send(get + "\r\n")
	answerTo(t, idle, "GET").expect(t, 200)
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	s.stop()
	closed(t, idle) // at once
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("connections are still accepted")
	}
	if got := answerTo(t, r, "GET").expect(t, 200); got.body != content {
		t.Errorf("%d bytes came", len(got.body))
	}
	closed(t, r)
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	s.done <- nil
}

func TestShutdownForcesStreams(t *testing.T) {
	s := start(t, Options{ShutdownTimeout: 50 * time.Millisecond})
	s.store.files = true
	d := s.blob("a", strings.Repeat("x", 32<<20))
	_, r := s.send("GET /v2/a/blobs/" + string(d) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	s.send("PATCH " + "/v2/a/blobs/uploads/01234567-0123-0123-0123-012345678901" + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	s.done <- nil
	eventually(t, "the file is closed", func() bool { return s.store.opened() == 0 })
	if !strings.Contains(s.log.String(), "connections were ended") {
		t.Error(s.log.String())
	}
}

// Over the limit, a connection that is idle for long makes room for the next.
func TestConnectionLimit(t *testing.T) {
	s := start(t, Options{MaxConns: 2, idleEnough: time.Hour})
	for range 2 {
		_, r := s.send(get + "\r\n")
		answerTo(t, r, "GET").expect(t, 200)
	}
	eventually(t, "both are idle", func() bool {
		idle := 0
		s.server.conns.each(func(c *conn) {
			if c.idleSince.Load() != 0 {
				idle++
			}
		})
		return idle == 2
	})
	s.server.conns.each(func(c *conn) { c.idleSince.Add(-int64(2 * time.Hour)) })
	for range 3 {
		_, r := s.send(get + "Connection: close\r\n\r\n")
		answerTo(t, r, "GET").expect(t, 200)
	}
	if n := s.server.conns.len(); n > 2 {
		t.Errorf("%d connections", n)
	}
}

// flaky fails to accept as a listener does when no descriptor is left.
type flaky struct {
	net.Listener
	failures atomic.Int32
	err      error
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: os.NewSyscallError("accept4", f.err)}
	}
	return f.Listener.Accept()
}

func TestAcceptGoesOn(t *testing.T) {
	for _, errno := range []error{unix.EMFILE, unix.ENFILE, unix.ECONNABORTED} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f := &flaky{Listener: ln, err: errno}
		f.failures.Store(3)
		s := startOn(t, Options{}, f)
		s.do("GET", "/v2/", nil).expect(t, 200)
		if !strings.Contains(s.log.String(), "cannot accept") {
			t.Error(s.log.String())
		}
	}
}

func TestListenerThatFailsForGood(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{Listener: ln, err: unix.EINVAL}
	f.failures.Store(1)
	server := New(start(t, Options{}).server.reg, Options{})
	if err := server.Serve(t.Context(), f); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Serve: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "berth.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, Options{}, ln)
	everything(t, s)
}

// everything pushes and pulls what takes every way out of the server.
func everything(t *testing.T, s *site) {
	t.Helper()
	for _, how := range []string{"read", "files", "pipes"} {
		s.store.mu.Lock()
		s.store.files, s.store.pipes = how == "files", how == "pipes"
		s.store.mu.Unlock()
		for _, size := range []int{0, 10, 30 << 10, 2 << 20} {
			content := strings.Repeat("0123456789", size/10+1)[:size]
			path := "/v2/a/blobs/" + string(s.blob("a", content))
			if got := s.do("GET", path, nil).expect(t, 200); got.body != content {
				t.Errorf("%d bytes came as %d others", size, len(got.body))
			}
			if size > 10 {
				if got := s.do("GET", path, nil, "Range", "bytes=5-").expect(t, 206); got.body != content[5:] {
					t.Errorf("%d bytes came as %d others", size-5, len(got.body))
				}
			}
		}
	}
	m, _ := s.image("a", "v1")
	if got := s.do("GET", "/v2/a/manifests/v1", nil).expect(t, 200); got.body != m {
		t.Errorf("manifest came as %q", got.body)
	}
	eventually(t, "all files closed", func() bool { return s.store.opened() == 0 })
}

// certificate writes a new key pair for a name.
func certificate(t *testing.T, files TLSOptions, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: der}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := TLSOptions{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	certificate(t, files, "one.test")
	s := start(t, Options{TLS: &files})
	everything(t, s)

	name := func() string {
		nc, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return nc.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "one.test" {
		t.Errorf("certificate of %s", got)
	}
	certificate(t, files, "two.test")
	if err := s.server.ReloadCertificates(); err != nil || name() != "two.test" {
		t.Errorf("after reloading: %v, %s", err, name())
	}
	os.WriteFile(files.CertFile, []byte("broken"), 0o600)
	if err := s.server.ReloadCertificates(); err == nil || name() != "two.test" {
		t.Errorf("after reloading what is broken: %v, %s", err, name())
	}
}

// A body over TLS that ends with the session, not with its last chunk, is cut.
func TestBodyCutShortOverTLS(t *testing.T) {
	dir := t.TempDir()
	files := TLSOptions{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	certificate(t, files, "one.test")
	s := start(t, Options{TLS: &files})
	d := oci.SHA256.FromString("half")
	for _, body := range []string{"Content-Length: 8\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		nc, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(nc, "POST /v2/a/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\n%s", d, body)
		nc.CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
	}
	s.do("GET", "/v2/a/blobs/"+string(d), nil).expect(t, 404)
}

func TestTLSWithoutCertificate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := New(start(t, Options{}).server.reg, Options{TLS: &TLSOptions{CertFile: "/nowhere/c", KeyFile: "/nowhere/k"}})
	if err := server.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "/nowhere/c") {
		t.Errorf("Serve: %v", err)
	}
}

func TestLogs(t *testing.T) {
	access, audit := &buffer{}, &buffer{}
	s := start(t, Options{Access: slog.New(slog.NewTextHandler(access, nil)), Audit: slog.New(slog.NewTextHandler(audit, nil))})
	d := s.blob("a", strings.Repeat("x", 100<<10))
	s.do("GET", "/v2/a/blobs/"+string(d)+"?ns=secret", nil, "X-Request-Id", "one", "User-Agent", "tester/1").expect(t, 200)
	s.do("PUT", "/v2/a/manifests/v1", "{", "X-Request-Id", "two").expect(t, 400)
	for _, want := range []string{
		"method=GET path=/v2/a/blobs/" + string(d) + " status=200 bytes=102400 duration=", "request=one agent=tester/1", "request=two", "method=PUT",
	} {
		eventually(t, "access log has "+want, func() bool { return strings.Contains(access.String(), want) })
	}
	for _, want := range []string{"method=POST repository=a object=" + string(d) + " status=201", "method=PUT repository=a object=v1 status=400", "refused="} {
		if !strings.Contains(audit.String(), want) {
			t.Errorf("audit log has no %q: %s", want, audit)
		}
	}
	if strings.Contains(audit.String(), "method=GET") || strings.Contains(access.String(), "secret") {
		t.Errorf("too much: %s %s", audit, access)
	}
}
