package creds

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/s3lite/s3test"
)

// places are all the places where credentials may be, in a test's hands.
type places struct {
	env   map[string]string
	home  string
	clock *s3test.Clock
	log   bytes.Buffer // all that is logged

	mu       sync.Mutex
	requests []string
	serve    http.HandlerFunc
}

// to sends every request to one server, and keeps the host that it was for.
type to struct {
	target string
	next   http.RoundTripper
}

func (t to) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	u, err := url.Parse(t.target)
	if err != nil {
		return nil, err
	}
	out.Header.Set("Asked-Host", r.URL.Scheme+"://"+r.URL.Host)
	out.URL.Scheme, out.URL.Host = u.Scheme, u.Host
	return t.next.RoundTrip(out)
}

// nowhere is a set of places in which nothing is.
func nowhere(t *testing.T) *places {
	t.Helper()
	return &places{env: map[string]string{}, home: t.TempDir(), clock: s3test.NewClock(), serve: http.NotFound}
}

// look makes a cache that looks into the places as they are.
func (p *places) look(t *testing.T) *Cache {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests = append(p.requests, r.Method+" "+r.Header.Get("Asked-Host")+r.URL.Path)
		w.Header().Set("Date", p.clock.Now().Format(http.TimeFormat))
		p.serve(w, r)
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	there := to{server.URL, transport}
	cache, err := Default(Options{
		Getenv: func(name string) string { return p.env[name] }, Home: p.home, Region: "eu-west-1", Near: there, Far: there, Clock: p.clock,
		Log: slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// put writes a file below the home.
func (p *places) put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// temporaryJSON is what endpoints on a machine answer.
func temporaryJSON(key string, expires time.Time) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":"very-secret","Token":"the-token","Expiration":%q}`, key, expires.UTC().Format(time.RFC3339))
}

// gets fails unless the credentials have this key; it returns them as text.
func gets(t *testing.T, c *Cache, key, secret, token string) {
	t.Helper()
	got, err := c.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != key || got.SecretKey.Reveal() != secret || got.SessionToken.Reveal() != token {
		t.Errorf("credentials are %s/%s/%s, want %s/%s/%s", got.AccessKeyID, got.SecretKey.Reveal(), got.SessionToken.Reveal(), key, secret, token)
	}
	if text := fmt.Sprintf("%v %+v", got, struct{ c any }{got}); strings.Contains(text, secret) {
		t.Errorf("secret shows in %s", text)
	}
}
