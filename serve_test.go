package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what has to happen: on a busy machine
// work in the background, of the least priority, takes long.
const patience = 5 * time.Minute

// server is a running berth serve.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
	// done is closed when the process has ended; err is set then.
	done chan struct{}
	err  error
	log  string // a file
}

// start runs berth serve in an empty directory and waits until it serves.
func start(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	s := launch(t, env, nil, berthBinary, append([]string{"serve"}, args...)...)
	s.await("msg=serving")
	return s
}

// launch starts a process that logs to a file: what it says before it answers is
// there when the answer is, as it would not be in a pipe that has to be read.
func launch(t *testing.T, env []string, files []*os.File, name string, args ...string) *server {
	t.Helper()
	s := &server{t: t, cmd: exec.Command(name, args...), done: make(chan struct{}), log: filepath.Join(t.TempDir(), "log")}
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.ExtraFiles = files
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
	})
	return s
}

// logged returns the whole lines of the log.
func (s *server) logged() string {
	s.t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text[:bytes.LastIndexByte(text, '\n')+1])
}

// eventually waits until what is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for %s", what)
		}
	}
}

// await waits for the log to contain something.
func (s *server) await(text string) {
	s.t.Helper()
	eventually(s.t, text, func() bool {
		select {
		case <-s.done:
			if !strings.Contains(s.logged(), text) {
				s.t.Fatalf("ended before %s: %v\n%s", text, s.err, s.logged())
			}
		default:
		}
		return strings.Contains(s.logged(), text)
	})
}

func (s *server) signal(sig unix.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the process and returns its exit status.
func (s *server) end() int {
	s.t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		s.t.Fatalf("the process does not end\n%s", s.logged())
		return 0
	}
}

// addresses returns what the serving line names, without a scheme.
func (s *server) addresses() []string {
	s.t.Helper()
	m := regexp.MustCompile(`msg=serving addresses="?\[([^]]*(?:\]:[0-9]+[^]]*)*)\]`).FindStringSubmatch(s.logged())
	if m == nil {
		s.t.Fatalf("no serving line in:\n%s", s.logged())
	}
	var out []string
	for _, a := range strings.Fields(m[1]) {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(a, "http://"), "https://"))
	}
	return out
}

// get asks for a path and returns status and body.
func get(t *testing.T, network, addr, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://berth" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func wantServing(t *testing.T, network, addr string) {
	t.Helper()
	if status, body := get(t, network, addr, "/v2/"); status != http.StatusOK {
		t.Errorf("%s %s: GET /v2/: %d %s", network, addr, status, body)
	}
}

func TestServeAndStop(t *testing.T) {
	s := start(t, nil, "--address", "127.0.0.1:0", "--address", "[::1]:0")
	addresses := s.addresses()
	if len(addresses) != 2 || strings.HasSuffix(addresses[0], ":0") {
		t.Fatalf("serving at %v", addresses)
	}
	for _, a := range addresses {
		wantServing(t, "tcp", a)
	}
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		if status, body := get(t, "tcp", addresses[0], path); status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	s.signal(unix.SIGTERM)
	if code := s.end(); code != 0 {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
	if !strings.Contains(s.logged(), "msg=stopping signal=terminated") {
		t.Errorf("no word of stopping:\n%s", s.logged())
	}
}

// ownPort is one that nobody else is given until the test ends: it is taken, but
// not listened at, and so it can be listened at by who asks for that very port.
func ownPort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0), unix.Bind(fd, &unix.SockaddrInet6{}))
	if err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return at.(*unix.SockaddrInet6).Port
}

// TestEveryAddress: both families' wildcards do not get into each other's way.
func TestEveryAddress(t *testing.T) {
	port := strconv.Itoa(ownPort(t))
	start(t, nil, "--address", "0.0.0.0:"+port, "--address", "[::]:"+port)
	wantServing(t, "tcp", "127.0.0.1:"+port)
	wantServing(t, "tcp", "[::1]:"+port)
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := launch(t, nil, nil, berthBinary, "serve", "--address", taken.Addr().String())
	if code := s.end(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	want := "berth serve: cannot listen at " + taken.Addr().String() + ": another process listens there already: stop it, or choose another address by http.address, http.port or --address\n"
	if s.logged() != want {
		t.Errorf("got  %swant %s", s.logged(), want)
	}
	if _, err := os.Stat(filepath.Join(s.cmd.Dir, "berth-data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root was touched: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	s := start(t, nil, "--address", "unix:"+path)
	wantServing(t, "unix", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	second := launch(t, nil, nil, berthBinary, "serve", "--address", "unix:"+path)
	if code := second.end(); code != 1 || !strings.Contains(second.logged(), "another process listens there") {
		t.Errorf("second: exit status %d\n%s", code, second.logged())
	}
	wantServing(t, "unix", path)
	s.signal(unix.SIGINT)
	if code := s.end(); code != 0 {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket was left behind: %v", err)
	}
}

func TestFileInPlaceOfSocketIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, nil, nil, berthBinary, "serve", "--address", "unix:"+path)
	if code := s.end(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("%q, %v", content, err)
	}
}

// TestSystemd plays systemd: it hands a socket over, hears READY=1, the
// watchdog and STOPPING=1.
func TestSystemd(t *testing.T) {
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	defer file.Close()
	env := []string{"NOTIFY_SOCKET=" + notify.LocalAddr().String(), "WATCHDOG_USEC=20000", "LISTEN_FDS=1"}
	// LISTEN_PID has to be the process's own.
	s := launch(t, env, []*os.File{file}, "/bin/sh", "-c", "export LISTEN_PID=$$; exec "+berthBinary+" serve --address 127.0.0.1:1")
	s.await("msg=serving")
	if got := s.addresses(); len(got) != 1 || got[0] != addr {
		t.Errorf("serving at %v, want %s", got, addr)
	}
	wantServing(t, "tcp", addr)

	heard := func(want string) {
		t.Helper()
		notify.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 256)
		for {
			n, err := notify.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v\n%s", want, err, s.logged())
			}
			if strings.HasPrefix(string(buf[:n]), want) {
				return
			}
		}
	}
	heard("READY=1\nSTATUS=Serving ")
	heard("WATCHDOG=1")
	s.signal(unix.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	s.signal(unix.SIGTERM)
	heard("STOPPING=1\nSTATUS=Finishing ")
	if code := s.end(); code != 0 {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	conf, logFile := filepath.Join(dir, "berth.toml"), filepath.Join(dir, "berth.log")
	write := func(format string, args ...any) {
		t.Helper()
		if err := os.WriteFile(conf, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content := func(path string) string {
		b, _ := os.ReadFile(path)
		return string(b)
	}
	write("[http]\naddress = \"127.0.0.1:0\"\n[log]\noutput = %q\naccess = \"text\"\n", logFile)
	s := launch(t, nil, nil, berthBinary, "serve", conf)
	eventually(t, "the serving line", func() bool { return strings.Contains(content(logFile), "msg=serving") })

	// A rotated file is let go of, a level is taken over, and what needs a
	// restart is named.
	if err := os.Rename(logFile, logFile+".1"); err != nil {
		t.Fatal(err)
	}
	write("[http]\naddress = \"127.0.0.1:0\"\nmaxUploads = 3\n[log]\nlevel = \"debug\"\noutput = %q\naccess = \"text\"\naudit = %q\n", logFile, logFile+".audit")
	s.signal(unix.SIGHUP)
	eventually(t, "the new file", func() bool { return strings.Contains(content(logFile), "configuration reloaded") })
	before := content(logFile + ".1")
	for _, want := range []string{`msg="this change needs a restart" key=http.maxUploads`, "msg=reloaded key=log.level", `msg="to turn the audit log on or off needs a restart"`} {
		if !strings.Contains(before, want) {
			t.Errorf("missing %q in:\n%s", want, before)
		}
	}

	// A mistake changes nothing.
	write("[http]\nprot = 1\n")
	s.signal(unix.SIGHUP)
	eventually(t, "the refusal", func() bool { return strings.Contains(content(logFile), "cannot reload") })
	if got := content(logFile); !strings.Contains(got, "berth.toml:2: http.prot: unknown key") {
		t.Errorf("the refusal does not say why:\n%s", got)
	}
	s.signal(unix.SIGTERM)
	if code := s.end(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestSecondSignalForces: a request under way holds the end up, until a second
// signal.
func TestSecondSignalForces(t *testing.T) {
	s := start(t, []string{"BERTH_HTTP_SHUTDOWNTIMEOUT=1h"}, "--address", "127.0.0.1:0")
	conn, err := net.Dial("tcp", s.addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	fmt.Fprintf(conn, "POST /v2/a/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: b\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", d)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v", line, err)
	}
	s.signal(unix.SIGTERM)
	s.await("msg=stopping")
	s.signal(unix.SIGTERM)
	if code := s.end(); code != 1 || !strings.Contains(s.logged(), "stopped by a second signal") {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
}
