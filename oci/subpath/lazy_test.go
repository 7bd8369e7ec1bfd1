package subpath

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
)

// medium is what a Lazy store of a test is on.
type medium struct {
	mu      sync.Mutex
	id      any // nil: missing
	failing error
	opens   int
	news    []string
	open    map[*closable]bool
	clock   time.Time
}

type closable struct {
	oci.Store
	m *medium
}

func (c *closable) Close() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	delete(c.m.open, c)
	return nil
}

func (m *medium) set(id any, failing error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.failing = id, failing
}

func (m *medium) state() (opens, open int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opens, len(m.open)
}

func (m *medium) lazy(store oci.Store) *Lazy {
	m.open, m.clock = map[*closable]bool{}, time.Unix(1, 0)
	return NewLazy(LazyOptions{
		Name: "disk",
		Probe: func() (any, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.id == nil {
				return nil, errors.New("stat /secret/place: no such file or directory")
			}
			return m.id, nil
		},
		Open: func() (oci.Store, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.opens++; m.failing != nil {
				return nil, m.failing
			}
			c := &closable{store, m}
			m.open[c] = true
			return c, nil
		},
		Changed: func(err error) { m.news = append(m.news, fmt.Sprint(err == nil)) },
		Now:     func() time.Time { return m.clock },
	})
}

func TestLazyComesAndGoes(t *testing.T) {
	ctx := context.Background()
	m := &medium{}
	l := m.lazy(filled(t, "x"))
	load := func() error { return second3(l.LoadIndex(ctx, "x", "")) }

	err := load()
	wantErr(t, "missing", err, oci.ErrUnavailable)
	var shown *oci.Error
	if !errors.As(err, &shown) || !strings.Contains(shown.Message, `"disk"`) || strings.Contains(shown.Message, "/secret") {
		t.Errorf("message for the client: %v", shown)
	}
	if !strings.Contains(err.Error(), "/secret/place") {
		t.Errorf("for the log: %v", err)
	}

	m.set("first", nil)
	wantErr(t, "there", load(), nil)
	_, v, _ := l.LoadIndex(ctx, "x", "")
	wantErr(t, "still there", load(), nil)
	if opens, open := m.state(); opens != 1 || open != 1 {
		t.Errorf("%d opens, %d open", opens, open)
	}

	m.set("second", nil)
	content, _, err := l.LoadIndex(ctx, "x", v)
	if content == nil || err != nil {
		t.Errorf("the first medium's version passes for the second's: %v", err)
	}
	if opens, open := m.state(); opens != 2 || open != 1 {
		t.Errorf("%d opens, %d open", opens, open)
	}

	m.set(nil, nil)
	wantErr(t, "gone", load(), oci.ErrUnavailable)
	if opens, open := m.state(); opens != 2 || open != 0 {
		t.Errorf("%d opens, %d open", opens, open)
	}
	m.set("second", nil)
	wantErr(t, "back", load(), nil)
	if got := strings.Join(m.news, " "); got != "false true false true" {
		t.Errorf("news: %s", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, open := m.state(); open != 0 {
		t.Errorf("%d open", open)
	}
}

func TestLazyRetriesNowAndThen(t *testing.T) {
	m := &medium{}
	l := m.lazy(ocitest.NewMemory())
	m.set("id", errors.New("damaged"))
	for range 5 {
		wantErr(t, "damaged", l.Available(), oci.ErrUnavailable)
	}
	if opens, _ := m.state(); opens != 1 {
		t.Errorf("%d opens", opens)
	}
	m.set("id", nil)
	wantErr(t, "too early", l.Available(), oci.ErrUnavailable)
	m.clock = m.clock.Add(time.Second)
	wantErr(t, "later", l.Available(), nil)
}

func TestLazyClosesAfterTheLastOperation(t *testing.T) {
	ctx := context.Background()
	m := &medium{}
	l := m.lazy(filled(t, "x", "y"))
	m.set("id", nil)
	err := l.WalkRepos(ctx, "", func(oci.Repo) error {
		m.set("other", nil)
		wantErr(t, "new medium", l.Available(), nil)
		if opens, open := m.state(); opens != 2 || open != 2 {
			t.Errorf("%d opens, %d open", opens, open)
		}
		return errors.New("walk fails with its medium")
	})
	wantErr(t, "walk", err, oci.ErrUnavailable)
	if _, open := m.state(); open != 1 {
		t.Errorf("%d open", open)
	}
}

// TestLazyThatMakesItsMedium: the first opening creates the directory by which
// the medium is known from then on.
func TestLazyThatMakesItsMedium(t *testing.T) {
	made := false
	l := NewLazy(LazyOptions{
		Probe: func() (any, error) { return made, nil },
		Open:  func() (oci.Store, error) { made = true; return ocitest.NewMemory(), nil },
	})
	wantErr(t, "unknown", second3(l.LoadIndex(context.Background(), "x", "")), oci.ErrNameUnknown)
}
