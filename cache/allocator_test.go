package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"berth/oci"
)

// TestManyDigests holds everywhere but where the allocator is damaged, which
// strikes by the keys: so many random ones show it every time.
func TestManyDigests(t *testing.T) {
	if !allocatorSound() {
		t.Log("the allocator is not sound here; TestUnsoundAllocator has what must hold")
		return
	}
	const n = manyDigests
	dir := t.TempDir()
	x, stop := start(t, Options{Dir: dir})
	fill(t, x, n)
	stop()
	x, _ = start(t, Options{Dir: dir})
	for i := range n {
		want(t, x, dig(i), "library/app")
	}
	if got, err := x.Count(context.Background()); err != nil || got != n {
		t.Errorf("Count = %d, %v", got, err)
	}
	if x.wipes > 0 {
		t.Errorf("wiped %d times", x.wipes)
	}
}

// TestUnsoundAllocator runs on 32-bit builds without the patch: the index stays
// out of service, says so once, and touches nothing.
func TestUnsoundAllocator(t *testing.T) {
	if allocatorSound() {
		return
	}
	if strconv.IntSize != 32 {
		t.Fatal("the allocator is not sound on a platform of 64 bits")
	}
	dir := filepath.Join(t.TempDir(), "index")
	var log lines
	x, _ := start(t, Options{Dir: dir, Log: log.logger()})
	for range 3 {
		if _, err := x.Holders(context.Background(), dig(1), 0); err != oci.ErrNoHint {
			t.Errorf("Holders: %v", err)
		}
		if err := x.Add(context.Background(), dig(1), "a"); err != oci.ErrNoHint {
			t.Errorf("Add: %v", err)
		}
	}
	log.once(t, "scripts/badger32")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made its directory: %v", err)
	}
}
