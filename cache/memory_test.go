package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"berth/oci"
)

const memoryEntries = 100_000

// memoryChild loads, or opens, an index of many entries, and prints what it
// costs in anonymous memory and what is left once it is closed.
func memoryChild(dir string) error {
	ctx := context.Background()
	debug.FreeOSMemory()
	report := func(what string) {
		fmt.Printf("%s %d %d\n", what, residentKiB("RssAnon"), residentKiB("VmRSS"))
	}
	report("before")
	x, stop := startIndex(Options{Dir: dir, Floor: 1, Idle: 300 * time.Millisecond})
	defer stop()
	n, err := x.Count(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		add := x.adder(ctx)
		for i := range memoryEntries {
			if err := add(dig(i), oci.Repo(fmt.Sprint("library/app", i%100))); err != nil {
				return err
			}
		}
		if err := x.Flush(ctx); err != nil {
			return err
		}
		report("loaded")
	} else {
		for i := range 1000 {
			if repos, err := x.Holders(ctx, dig(i*97%memoryEntries), 1); err != nil || len(repos) != 1 {
				return fmt.Errorf("entry %d: %v, %v", i, repos, err)
			}
		}
		report("open")
	}
	if err := untilClosed(dir); err != nil {
		return err
	}
	debug.FreeOSMemory()
	report("closed")
	return nil
}

func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector's own memory hides what is measured")
		return
	}
	dir := t.TempDir()
	device := []string{"GOMEMLIMIT=24MiB", "GOMAXPROCS=4"} // each processor more costs some
	load := figures(t, runChild(t, "memory", dir, device...))
	open := figures(t, runChild(t, "memory", dir, device...))
	t.Logf("anonymous KiB: before %d, after loading %d, open %d, closed %d",
		open["before"], load["loaded"], open["open"], open["closed"])
	if got := load["loaded"]; got > 32<<10 {
		t.Errorf("%d KiB of anonymous memory after loading", got)
	}
	if got := open["open"]; got > 14<<10 {
		t.Errorf("%d KiB of anonymous memory with the index open", got)
	}
	// What Go's runtime keeps for itself, 1 to 1.7 MiB, is not the index's, whose
	// least part would be another two.
	if before, after := open["before"], open["closed"]; after > before+2560 {
		t.Errorf("a closed index leaves %d KiB of anonymous memory, before there were %d", after, before)
	}
}

// figures reads what memoryChild printed: the anonymous memory at each point.
func figures(t *testing.T, out string) map[string]int {
	t.Helper()
	t.Log("\n" + out)
	m := make(map[string]int)
	for line := range strings.Lines(out) {
		var what string
		var anonymous, all int
		if _, err := fmt.Sscan(line, &what, &anonymous, &all); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		m[what] = anonymous
	}
	return m
}
