package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/tasks/admin"
)

// TestStaleSocket: that of a server that has died is replaced.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := call(path, "count"); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("a dead server: %v", err)
	}
	serve(t, path, map[string]admin.Handler{"count": count})
	if _, err := call(path, "count"); err != nil {
		t.Error(err)
	}
}

// TestPathInUse: a server that lives is left alone, and so is what is no socket.
func TestPathInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, map[string]admin.Handler{"count": count})
	_, err := admin.Listen(t.Context(), admin.Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "another server listens at "+path) {
		t.Errorf("beside another server: %v", err)
	}
	if _, err := call(path, "count"); err != nil {
		t.Errorf("the other server: %v", err)
	}
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(t.Context(), admin.Options{Path: file}); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("at a file: %v", err)
	}
	if content, err := os.ReadFile(file); string(content) != "mine" {
		t.Errorf("the file holds %q, %v", content, err)
	}
	if _, err := admin.Listen(t.Context(), admin.Options{Path: filepath.Join(file, "s")}); err == nil {
		t.Error("no error below a file")
	}
}

// TestLongPath: the address of a socket has 108 bytes, and roots may lie deep.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a", 100), strings.Repeat("b", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	if _, err := call(path, "count"); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("before the start: %v", err)
	}
	stop := serve(t, path, map[string]admin.Handler{"count": count})
	if got, err := call(path, "count", "x"); got != `{"arg":"x"}` || err != nil {
		t.Errorf("lines %s, %v", got, err)
	}
	if _, err := admin.Listen(t.Context(), admin.Options{Path: path}); err == nil {
		t.Error("a second server listens there")
	}
	stop()
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestSocketOfAnother: a server does not remove what another put at its path.
func TestSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stop := serve(t, path, nil)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	serve(t, path, map[string]admin.Handler{"count": count})
	stop()
	if _, err := call(path, "count"); err != nil {
		t.Error(err)
	}
}

// waiter is a verb that says so and waits for its context's end.
type waiter struct{ ended chan error }

func (w waiter) wait(ctx context.Context, _ []string, out func(any) error) error {
	_ = out("waiting")
	<-ctx.Done()
	w.ended <- ctx.Err()
	return ctx.Err()
}

// TestClientLeaves: what was asked for ends with who asked.
func TestClientLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	w := waiter{make(chan error, 1)}
	serve(t, path, map[string]admin.Handler{"wait": w.wait})
	enough := errors.New("enough")
	for name, leave := range map[string]func(context.CancelFunc) error{
		"by its context": func(cancel context.CancelFunc) error { cancel(); return nil },
		"by an error":    func(context.CancelFunc) error { return enough },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := admin.Call(ctx, path, "wait", nil, func(json.RawMessage) error { return leave(cancel) })
		cancel()
		if !errors.Is(err, context.Canceled) && !errors.Is(err, enough) {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-w.ended; err != context.Canceled {
			t.Errorf("%s: the command ended with %v", name, err)
		}
	}
}

// TestServerStops: so does what was asked for when the server ends.
func TestServerStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	w := waiter{make(chan error, 1)}
	stop := serve(t, path, map[string]admin.Handler{"wait": w.wait})
	silent, err := net.Dial("unix", path) // and who asks for nothing is in nobody's way
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	err = admin.Call(t.Context(), path, "wait", nil, func(json.RawMessage) error {
		go stop()
		return nil
	})
	if err == nil || err.Error() != "the server is stopping" {
		t.Errorf("the client got %v", err)
	}
}

// TestTooMany: clients are bounded in number.
func TestTooMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	w := waiter{make(chan error, 100)}
	serve(t, path, map[string]admin.Handler{"wait": w.wait, "count": count})
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan bool)
	ended := make(chan bool)
	for range 16 {
		go func() {
			_ = admin.Call(ctx, path, "wait", nil, func(json.RawMessage) error { waiting <- true; return nil })
			ended <- true
		}()
		<-waiting
	}
	if _, err := call(path, "count"); err == nil || !strings.Contains(err.Error(), "too many commands") {
		t.Errorf("the seventeenth: %v", err)
	}
	cancel()
	for range 16 {
		<-w.ended
		<-ended
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := call(path, "count")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestRequests: what is no request gets an error and nothing else.
func TestRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, map[string]admin.Handler{"count": count})
	for sent, want := range map[string]string{
		"\n":                              "the request is not understood",
		"GET / HTTP/1.1\r\n\r\n":          "the request is not understood",
		`{"verb":1}` + "\n":               "the request is not understood",
		`{"verb":"count"}`:                "the request was not received",
		"":                                "the request was not received",
		strings.Repeat("x", 1<<16) + "\n": "a request has at most 65536 bytes",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, sent)
		_ = c.(*net.UnixConn).CloseWrite()
		got, _ := io.ReadAll(c) // which may end in a reset, with input that nobody read
		lines := bytes.Split(bytes.TrimSpace(got), []byte("\n"))
		if len(lines) != 2 || string(lines[0]) != `{"hello":"berth"}` || !bytes.HasPrefix(lines[1], []byte(`{"end":true,"error":"`+want)) {
			t.Errorf("%.40q got %q", sent, got)
		}
		c.Close()
	}
	if _, err := call(path, "count", strings.Repeat("x", 1<<16)); err == nil || !strings.Contains(err.Error(), "at most 65536 bytes") {
		t.Errorf("a call that is too large: %v", err)
	}
}

// TestNoAnswer: a server that is there and says nothing sensible is not
// "no server".
func TestNoAnswer(t *testing.T) {
	for _, said := range []string{"", "{", "HTTP/1.1 400 Bad Request\r\n\r\n", `{"hello":"berth"}` + "\n"} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan bool)
		go func() {
			defer close(served)
			c, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, said)
			c.Close()
		}()
		_, err = call(path, "count")
		if err == nil || errors.Is(err, admin.ErrNoServer) || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%q: %v", said, err)
		}
		<-served
		ln.Close()
	}
}
