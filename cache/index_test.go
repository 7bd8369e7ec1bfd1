package cache

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"berth/oci"
)

// start runs an index until the test ends, or until stop is called.
func start(t testing.TB, opt Options) (x *Index, stop func()) {
	t.Helper()
	if opt.Free == nil {
		opt.Free = func() int64 { return 1 << 40 }
	}
	if opt.Group == 0 {
		opt.Group = time.Millisecond
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	opt.openWait, opt.stuckAfter = patience, patience
	x = New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	until(t, "Run to begin", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.stage != stopped
	})
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return x, stop
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func dig(i int) oci.Digest { return digest.FromString(fmt.Sprint("blob ", i)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want compares an entry.
func want(t testing.TB, x *Index, d oci.Digest, repos ...oci.Repo) {
	t.Helper()
	got, err := x.Holders(context.Background(), d, 0)
	if err != nil || !slices.Equal(got, repos) {
		t.Fatalf("Holders(%s) = %v, %v; want %v", d, got, err, repos)
	}
}

// fill adds entries 0 to n-1 and waits until they are written.
func fill(t testing.TB, x *Index, n int) {
	t.Helper()
	add := x.adder(context.Background())
	for i := range n {
		check(t, add(dig(i), "library/app"))
	}
	check(t, x.Flush(context.Background()))
}

func TestNotesAreSeenAtOnceAndAfterARestart(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	x, stop := start(t, Options{Dir: dir, Group: time.Hour})
	check(t, x.Add(ctx, dig(1), "a", "b"))
	check(t, x.Add(ctx, dig(1), "b", "c"))
	check(t, x.Add(ctx, dig(2), "a"))
	check(t, x.Remove(ctx, dig(2), "a"))
	check(t, x.Remove(ctx, dig(3), "a"))
	want(t, x, dig(1), "a", "b", "c")
	want(t, x, dig(2))
	if got, err := x.Holders(ctx, dig(1), 2); err != nil || !slices.Equal(got, []oci.Repo{"b", "c"}) {
		t.Errorf("two of the holders: %v, %v", got, err)
	}
	check(t, x.Flush(ctx))
	if n, err := x.Count(ctx); err != nil || n != 1 {
		t.Errorf("Count = %d, %v; want 1", n, err)
	}
	check(t, x.Remove(ctx, dig(1), "b"))
	stop()

	x, _ = start(t, Options{Dir: dir})
	want(t, x, dig(1), "a", "c")
	check(t, x.Remove(ctx, dig(1), "a"))
	check(t, x.Remove(ctx, dig(1), "c"))
	check(t, x.Flush(ctx))
	if n, err := x.Count(ctx); err != nil || n != 0 {
		t.Errorf("Count = %d, %v; want 0", n, err)
	}
	if x.wipes != 0 {
		t.Errorf("the index was wiped %d times", x.wipes)
	}
}

func TestEqualBytesOfTwoAlgorithmsAreTwoEntries(t *testing.T) {
	ctx := context.Background()
	x, _ := start(t, Options{Dir: t.TempDir()})
	long := sha512.Sum512([]byte("content"))
	d512 := digest.NewDigestFromBytes(digest.SHA512, long[:])
	d256 := digest.NewDigestFromBytes(digest.SHA256, long[:sha256.Size])
	check(t, x.Add(ctx, d512, "five"))
	check(t, x.Add(ctx, d256, "two"))
	for range 2 {
		want(t, x, d512, "five")
		want(t, x, d256, "two")
		check(t, x.Flush(ctx))
	}
}

func TestAFullEntryTakesNoMore(t *testing.T) {
	ctx := context.Background()
	x, _ := start(t, Options{Dir: t.TempDir()})
	var names []oci.Repo
	for i := range keepHolders + 3 {
		names = append(names, oci.Repo(fmt.Sprint("repo", i)))
	}
	check(t, x.Add(ctx, dig(1), names...))
	check(t, x.Flush(ctx))
	want(t, x, dig(1), names[:keepHolders]...)
	check(t, x.Remove(ctx, dig(1), names[0]))
	check(t, x.Add(ctx, dig(1), names[keepHolders]))
	check(t, x.Flush(ctx))
	want(t, x, dig(1), names[1:keepHolders+1]...)
}

func TestNothingIsTouchedBeforeItIsWanted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	_, stop := start(t, Options{Dir: dir, Rebuild: func(context.Context, func(oci.Digest, oci.Repo) error) error {
		t.Error("rebuilt before it was wanted")
		return nil
	}})
	stop()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory exists: %v", err)
	}
}

func TestNoHintWithoutRun(t *testing.T) {
	ctx := context.Background()
	x := New(Options{Dir: t.TempDir()})
	if _, err := x.Holders(ctx, dig(1), 0); err != oci.ErrNoHint {
		t.Errorf("Holders: %v", err)
	}
	if err := x.Add(ctx, dig(1), "a"); err != oci.ErrNoHint {
		t.Errorf("Add: %v", err)
	}
}

func TestClosesWhenIdleAndOpensAgain(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	x, _ := start(t, Options{Dir: dir, Idle: 5 * time.Millisecond})
	for i := range 3 {
		check(t, x.Add(ctx, dig(i), "a"))
		check(t, x.Flush(ctx))
		until(t, "the index to close", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.stage == closed
		})
	}
	want(t, x, dig(0), "a")
	want(t, x, dig(2), "a")
	if x.wipes != 0 {
		t.Errorf("wiped %d times", x.wipes)
	}
}

// TestAUserKeepsItOpen: who comes just before it is closed for want of use still
// has it, and who comes after that waits.
func TestAUserKeepsItOpen(t *testing.T) {
	w := &writer{Index: New(Options{Dir: t.TempDir()})}
	w.stage = ready
	leave := w.hold()
	if w.retire() || w.stage != ready {
		t.Error("it is closed while somebody uses it")
	}
	leave()
	if !w.retire() || w.stage != closed {
		t.Error("it stays open though nobody uses it")
	}
}

func TestASecondOneIsRefused(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	var log lines
	first, stop := start(t, Options{Dir: dir})
	check(t, first.Add(ctx, dig(1), "a"))
	check(t, first.Flush(ctx))
	second, stopSecond := start(t, Options{Dir: dir, Log: log.logger()})
	for range 3 {
		if _, err := second.Holders(ctx, dig(1), 0); err != oci.ErrNoHint {
			t.Errorf("Holders of the second: %v", err)
		}
	}
	log.once(t, "another process has it open")
	stopSecond()
	want(t, first, dig(1), "a")
	stop()
	third, _ := start(t, Options{Dir: dir})
	want(t, third, dig(1), "a")
}

func TestResetForgetsEverything(t *testing.T) {
	ctx := context.Background()
	x, _ := start(t, Options{Dir: t.TempDir()})
	check(t, x.Reset(ctx)) // while it is closed
	check(t, x.Add(ctx, dig(1), "a"))
	check(t, x.SetComplete(ctx))
	if done, err := x.Complete(ctx); err != nil || !done {
		t.Errorf("Complete = %v, %v", done, err)
	}
	check(t, x.Reset(ctx))
	want(t, x, dig(1))
	if done, err := x.Complete(ctx); err != nil || done {
		t.Errorf("Complete after Reset = %v, %v", done, err)
	}
	if n, err := x.Count(ctx); err != nil || n != 0 {
		t.Errorf("Count = %d, %v", n, err)
	}
}

func TestANewIndexIsRebuiltOnce(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	var walks atomic.Int32
	rebuild := func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
		walks.Add(1)
		for i := range 3 * queueLimit {
			if err := add(dig(i), "walked"); err != nil {
				return err
			}
		}
		return nil
	}
	x, stop := start(t, Options{Dir: dir, Rebuild: rebuild})
	check(t, x.Add(ctx, dig(0), "noted"))
	until(t, "the rebuild", func() bool { done, err := x.Complete(ctx); return err == nil && done })
	want(t, x, dig(3*queueLimit-1), "walked")
	if n, err := x.Count(ctx); err != nil || n != 3*queueLimit {
		t.Errorf("Count = %d, %v", n, err)
	}
	stop()
	x, _ = start(t, Options{Dir: dir, Rebuild: rebuild})
	want(t, x, dig(1), "walked")
	if done, err := x.Complete(ctx); err != nil || !done {
		t.Errorf("Complete after a restart = %v, %v", done, err)
	}
	if n := walks.Load(); n != 1 {
		t.Errorf("%d walks", n)
	}
}

func TestARebuildEndsWithRun(t *testing.T) {
	begun := make(chan struct{})
	x, stop := start(t, Options{Dir: t.TempDir(), Rebuild: func(ctx context.Context, _ func(oci.Digest, oci.Repo) error) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}})
	check(t, x.Add(context.Background(), dig(1), "a"))
	<-begun
	stop()
}

func TestTooLittleSpace(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	var free atomic.Int64
	var walks atomic.Int32
	var log lines
	free.Store(1 << 40)
	x, _ := start(t, Options{Dir: dir, Free: free.Load, Floor: 1 << 20, Log: log.logger(),
		Rebuild: func(context.Context, func(oci.Digest, oci.Repo) error) error { walks.Add(1); return nil }})
	check(t, x.Add(ctx, dig(1), "a"))
	check(t, x.Flush(ctx))
	until(t, "the first rebuild", func() bool { done, _ := x.Complete(ctx); return done })

	free.Store(1 << 19)
	x.Add(ctx, dig(2), "a") // dropped
	until(t, "writing to stop", func() bool { return x.Add(ctx, dig(3), "a") == oci.ErrNoHint })
	want(t, x, dig(1), "a")
	want(t, x, dig(3))
	log.once(t, "too little disk space")

	free.Store(1 << 40)
	x.poke()
	until(t, "the rebuild of what was dropped", func() bool { done, _ := x.Complete(ctx); return done && walks.Load() == 2 })
	check(t, x.Add(ctx, dig(3), "a"))
	want(t, x, dig(3), "a")
}

func TestConcurrentUse(t *testing.T) {
	ctx := context.Background()
	x, _ := start(t, Options{Dir: t.TempDir(), Idle: time.Millisecond})
	const users = 8
	var wg sync.WaitGroup
	for g := range users {
		wg.Go(func() {
			repo := oci.Repo(fmt.Sprint("repo", g))
			for i := range queueLimit / 2 / users { // so that all notes have room in the queue
				d := dig(i % 50)
				if err := x.Add(ctx, d, repo); err != nil {
					t.Errorf("Add: %v", err)
				}
				got, err := x.Holders(ctx, d, 0)
				if err != nil || !slices.Contains(got, repo) {
					t.Errorf("Holders after Add: %v, %v", got, err)
				}
				if err := x.Remove(ctx, d, repo); err != nil {
					t.Errorf("Remove: %v", err)
				}
				if got, err := x.Holders(ctx, d, 0); err != nil || slices.Contains(got, repo) {
					t.Errorf("Holders after Remove: %v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	check(t, x.Flush(ctx))
	if n, err := x.Count(ctx); err != nil || n != 0 {
		t.Errorf("Count = %d, %v", n, err)
	}
}
