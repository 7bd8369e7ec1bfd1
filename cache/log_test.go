package cache

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// lines is a log to look into.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) once(t *testing.T, what string) {
	t.Helper()
	if n := strings.Count(l.String(), what); n != 1 {
		t.Errorf("%q was logged %d times:\n%s", what, n, l)
	}
}
