package creds

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"berth/s3lite/s3test"
	"berth/s3lite/sigv4"
)

// counter is a source whose credentials are numbered.
type counter struct {
	clock *s3test.Clock
	life  time.Duration

	mu    sync.Mutex
	n     int
	err   error
	block chan struct{} // closed, or each call waits
	begun chan struct{}
}

func (c *counter) Name() string { return "a counter" }

func (c *counter) Retrieve(context.Context) (sigv4.Credentials, error) {
	c.mu.Lock()
	c.n++
	n, err, block := c.n, c.err, c.block
	c.mu.Unlock()
	if block != nil {
		c.begun <- struct{}{}
		<-block
	}
	if err != nil {
		return sigv4.Credentials{}, err
	}
	found := credentials(fmt.Sprint("key-", n), "very-secret", "token", "a counter")
	if c.life > 0 {
		found.Expires = c.clock.Now().Add(c.life)
	}
	return found, nil
}

func key(t *testing.T, c *Cache) string {
	t.Helper()
	got, err := c.Get(context.Background())
	if err != nil {
		return "error"
	}
	return got.AccessKeyID
}

func TestCacheRenews(t *testing.T) {
	source := &counter{clock: s3test.NewClock(), life: time.Hour}
	c := NewCache(source, source.clock, nil)
	for _, step := range []struct {
		advance time.Duration
		err     error
		want    string
	}{
		{0, nil, "key-1"}, {54 * time.Minute, nil, "key-1"}, {2 * time.Minute, nil, "key-2"},
		{56 * time.Minute, errors.New("no"), "key-2"}, // tried, and those at hand go on
		{time.Second, nil, "key-2"},                   // not tried again at once
		{time.Minute, nil, "key-4"},
		{56 * time.Minute, errors.New("no"), "key-4"},
		{4 * time.Minute, errors.New("no"), "error"}, // too close to their end
		{0, nil, "key-7"},
	} {
		source.clock.Advance(step.advance)
		source.err = step.err
		if got := key(t, c); got != step.want {
			t.Fatalf("after %+v: %s", step, got)
		}
	}
}

func TestCacheRefused(t *testing.T) {
	source := &counter{clock: s3test.NewClock()}
	c := NewCache(source, source.clock, nil)
	old, err := c.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	source.clock.Advance(1000 * time.Hour)
	if got := key(t, c); got != "key-1" {
		t.Errorf("keys without an end became %s", got)
	}
	c.Refused(old)
	if got := key(t, c); got != "key-2" {
		t.Errorf("refused keys became %s", got)
	}
	c.Refused(old) // by a request that was late
	if got := key(t, c); got != "key-2" {
		t.Errorf("good keys became %s", got)
	}
}

// TestCacheSingleFlight: one goroutine asks; others wait where there is
// nothing, and go on where there is something.
func TestCacheSingleFlight(t *testing.T) {
	source := &counter{clock: s3test.NewClock(), life: time.Hour, block: make(chan struct{}), begun: make(chan struct{}, 1)}
	c := NewCache(source, source.clock, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := key(t, c); got != "key-1" {
				t.Errorf("got %s", got)
			}
		})
	}
	<-source.begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was given up: %v", err)
	}
	close(source.block)
	wg.Wait()

	source.clock.Advance(57 * time.Minute)
	source.mu.Lock()
	source.block = make(chan struct{})
	block := source.block
	source.mu.Unlock()
	wg.Go(func() {
		if got := key(t, c); got != "key-2" {
			t.Errorf("the renewal got %s", got)
		}
	})
	<-source.begun
	if got := key(t, c); got != "key-1" {
		t.Errorf("beside a renewal: %s", got)
	}
	close(block)
	wg.Wait()
	if source.n != 2 {
		t.Errorf("source was asked %d times", source.n)
	}
}
