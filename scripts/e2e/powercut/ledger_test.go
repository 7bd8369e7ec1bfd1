package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// shelf is a registry that serves what it is told to.
type shelf struct {
	mu    sync.Mutex // guards paths
	paths map[string][]byte
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if body, ok := s.paths[r.URL.Path]; ok {
		_, _ = w.Write(body)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

func (s *shelf) put(repo, tag string, n fixture.Node) {
	s.paths[wire.ManifestPath(repo, tag)] = n.Content
	for _, part := range n.All() {
		path := wire.BlobPath(repo, part.Desc.Digest)
		if part.IsManifest() {
			path = wire.ManifestPath(repo, part.Desc.Digest.String())
		}
		s.paths[path] = part.Content
	}
}

// A ledger that finds nothing would hide everything: each loss is told.
func TestLedger(t *testing.T) {
	first, second := fixture.SimpleImage("first"), fixture.SimpleImage("second")
	layer := wire.BlobPath("r", first.Children[1].Desc.Digest)
	push := func(l *ledger, n *fixture.Node) {
		l.begin(0, "r", "t", n)
		l.acknowledge("r", "t", n)
	}
	nothing := func(*shelf) {}
	for name, c := range map[string]struct {
		loose   bool // without commit
		do      func(l *ledger)
		there   func(s *shelf)
		want    string
		missing int
	}{
		"whole":                 {do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.put("r", "t", first) }},
		"lost":                  {do: func(l *ledger) { push(l, &first) }, there: nothing, want: "LOST"},
		"lost layer":            {do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.put("r", "t", first); delete(s.paths, layer) }, want: "LOST"},
		"torn layer":            {do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.put("r", "t", first); s.paths[layer] = make([]byte, 9) }, want: "WRONG"},
		"not acknowledged":      {do: func(l *ledger) { l.begin(0, "r", "t", &first) }, there: nothing},
		"there all the same":    {do: func(l *ledger) { l.begin(0, "r", "t", &first) }, there: func(s *shelf) { s.put("r", "t", first) }},
		"moved":                 {do: func(l *ledger) { push(l, &first); push(l, &second) }, there: func(s *shelf) { s.put("r", "t", second) }},
		"moved back":            {do: func(l *ledger) { push(l, &first); push(l, &second) }, there: func(s *shelf) { s.put("r", "t", first) }, want: "WRONG"},
		"about to move":         {do: func(l *ledger) { push(l, &first); l.begin(0, "r", "t", &second) }, there: func(s *shelf) { s.put("r", "t", first) }},
		"came back":             {do: func(l *ledger) { push(l, &first); push(l, nil) }, there: func(s *shelf) { s.put("r", "t", first) }, want: "WRONG"},
		"deleted":               {do: func(l *ledger) { push(l, &first); push(l, nil) }, there: nothing},
		"loose: lost":           {loose: true, do: func(l *ledger) { push(l, &first) }, there: nothing, missing: 1},
		"loose: moved back":     {loose: true, do: func(l *ledger) { push(l, &first); push(l, &second) }, there: func(s *shelf) { s.put("r", "t", first) }},
		"loose: no layer":       {loose: true, do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.put("r", "t", first); delete(s.paths, layer) }, missing: 1},
		"loose: torn layer":     {loose: true, do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.put("r", "t", first); s.paths[layer] = make([]byte, 9) }, want: "WRONG"},
		"loose: torn, untagged": {loose: true, do: func(l *ledger) { push(l, &first) }, there: func(s *shelf) { s.paths[layer] = make([]byte, 9) }, want: "WRONG", missing: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{paths: map[string][]byte{}}
			server := httptest.NewServer(s)
			defer server.Close()
			l := newLedger(!c.loose)
			c.do(l)
			c.there(s)
			found, err := l.check(wire.New(t, server.URL))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("the ledger says %v, want %q", err, c.want)
			}
			if found.Missing != c.missing {
				t.Errorf("%d are missing, want %d", found.Missing, c.missing)
			}
		})
	}
}

// An upload that lost what was acknowledged is told of, too.
func TestUploadLost(t *testing.T) {
	n := fixture.Raw("application/octet-stream", []byte("content"))
	server := httptest.NewServer(&shelf{paths: map[string][]byte{}})
	defer server.Close()
	c := wire.New(t, server.URL)
	for name, u := range map[string]*upload{
		"session":  {durable: true, node: &n, location: "/gone", told: pieceSize},
		"finished": {durable: true, finished: &n},
	} {
		if err := u.check(c); err == nil || !strings.HasPrefix(err.Error(), "LOST") {
			t.Errorf("%s: %v", name, err)
		}
	}
	loose := &upload{node: &n, location: "/gone", told: pieceSize, finished: &n}
	if err := loose.check(c); err != nil || loose.node != nil {
		t.Errorf("without commit: %v", err)
	}
}
