package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/tasks/admin"
)

// serve runs a server at a path until the test, or the returned function, ends
// it.
func serve(t *testing.T, path string, verbs map[string]admin.Handler) (stop func()) {
	t.Helper()
	s, err := admin.Listen(t.Context(), admin.Options{Path: path, Verbs: verbs})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// count sends its arguments back, a line each.
func count(_ context.Context, args []string, out func(any) error) error {
	for _, a := range args {
		if err := out(map[string]string{"arg": a}); err != nil {
			return err
		}
	}
	return nil
}

// call returns the lines that a verb sends.
func call(path, verb string, args ...string) (string, error) {
	var lines []string
	err := admin.Call(context.Background(), path, verb, args, func(line json.RawMessage) error {
		lines = append(lines, string(line))
		return nil
	})
	return strings.Join(lines, " "), err
}

func TestCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stop := serve(t, path, map[string]admin.Handler{
		"count": count,
		"fail":  func(context.Context, []string, func(any) error) error { return errors.New("no luck") },
		"panic": func(context.Context, []string, func(any) error) error { panic("out of cheese") },
	})
	if got, err := call(path, "count", "a", "b\n"); got != `{"arg":"a"} {"arg":"b\n"}` || err != nil {
		t.Errorf("lines %s, %v", got, err)
	}
	for verb, want := range map[string]string{
		"fail":  "no luck",
		"panic": "the command panicked: out of cheese",
		"dance": `this server knows no command "dance"; it knows: count, fail, panic`,
	} {
		if _, err := call(path, verb); err == nil || err.Error() != want {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	stop()
	if _, err := call(path, "count"); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}
