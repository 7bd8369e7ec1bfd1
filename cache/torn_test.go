package cache

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// logEnds returns where the entries of a log end.
func logEnds(t *testing.T, b []byte) (ends []int) {
	t.Helper()
	from := bytes.NewReader(b[logHeader:])
	r := &logReader{r: bufio.NewReader(from)}
	for {
		more, err := r.entry()
		check(t, err)
		if !more {
			return ends
		}
		ends = append(ends, len(b)-from.Len()-r.r.Buffered())
	}
}

// TestATornEntryIsDropped: of an entry whose process was killed while it wrote
// that nobody was told: the index goes on without it. Where the last one that
// somebody was told of is as little whole, the index is wiped.
func TestATornEntryIsDropped(t *testing.T) {
	const entries = 100
	live := filepath.Join(t.TempDir(), "live")
	x, _ := start(t, Options{Dir: live})
	fill(t, x, entries)
	// image is what would be left if the process were killed now.
	image := func(harm func(b []byte, ends []int)) *Index {
		dir := t.TempDir()
		check(t, os.CopyFS(dir, os.DirFS(live)))
		edit(t, the(t, dir, "*.mem"), func(b []byte) []byte { harm(b, logEnds(t, b)); return b })
		x, _ := start(t, Options{Dir: dir})
		return x
	}
	count := func(x *Index) string {
		n, err := x.Count(context.Background())
		return fmt.Sprintf("%d entries, wiped %d, %v", n, x.wipes, err)
	}
	for _, part := range []int{0, 1, 3, 4, 5, 20, 50} {
		got := count(image(func(b []byte, ends []int) {
			copy(b[ends[len(ends)-1]:], b[logHeader:][:part])
		}))
		if want := fmt.Sprintf("%d entries, wiped 0, <nil>", entries); got != want {
			t.Errorf("%d bytes of one more: %s, want %s", part, got, want)
		}
	}
	got := count(image(func(b []byte, ends []int) { b[ends[len(ends)-1]-1] ^= 1 }))
	if want := "0 entries, wiped 1, <nil>"; got != want {
		t.Errorf("the last one harmed: %s, want %s", got, want)
	}
}
