package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoadDoesEveryOperationOnce(t *testing.T) {
	content := bytes.Repeat([]byte("berth"), 100_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	var seen [50]atomic.Int64
	done, err := Load{Addr: server.Listener.Addr().String(), Clients: 4, Ops: len(seen), Op: func(c *Conn, n int) error {
		seen[n].Add(1)
		a, err := c.Do(Head("GET", "/", -1))
		if err != nil {
			return err
		}
		if a.Length != int64(len(content)) {
			t.Errorf("length %d, want %d", a.Length, len(content))
		}
		return a.Want(200, "GET")
	}}.Run()
	if err != nil {
		t.Fatal(err)
	}
	if done.Ops != len(seen) || len(done.Ends) != len(seen) {
		t.Errorf("%d operations, %d ends; want %d", done.Ops, len(done.Ends), len(seen))
	}
	for n := range seen {
		if got := seen[n].Load(); got != 1 {
			t.Errorf("operation %d was done %d times", n, got)
		}
	}
}

func TestLoadTellsTheFirstFailure(t *testing.T) {
	want := errors.New("no")
	_, err := Load{Clients: 2, Ops: 10, Op: func(*Conn, int) error { return want }}.Run()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestDropTellsAShortBody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, "too little")
	}))
	defer server.Close()
	c := New(server.Listener.Addr().String())
	defer c.Close()
	if _, err := c.Do(Head("GET", "/", -1)); err == nil {
		t.Error("a body cut short was taken for whole")
	}
}

func TestSourceBlobsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range NewSource(1000, 7).Take(20) {
		content := bytes.Join(b.Parts, nil)
		sum := sha256.Sum256(content)
		if b.Digest != "sha256:"+hex.EncodeToString(sum[:]) || int64(len(content)) != b.Size || b.Size != 1000 {
			t.Errorf("blob of %d bytes says it has %d and digest %s", len(content), b.Size, b.Digest)
		}
		if seen[b.Digest] {
			t.Errorf("%s came twice", b.Digest)
		}
		seen[b.Digest] = true
	}
}

func TestManifestsOfAnImageHaveOneLength(t *testing.T) {
	i := SmallImage()
	a, b := i.Manifest(0), i.Manifest(1999)
	if len(a) != len(b) || bytes.Equal(a, b) {
		t.Errorf("manifests %q and %q", a, b)
	}
}
