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

// TestWhatAKillLeaves: of what a process was about to write when it was killed
// nobody was told: the index goes on without it. Where as little is left of what
// somebody was told of, the index is wiped.
func TestWhatAKillLeaves(t *testing.T) {
	const entries = 200
	live := filepath.Join(t.TempDir(), "live")
	x, stop := start(t, Options{Dir: live})
	fill(t, x, entries/2)
	stop() // which makes a table of them
	x, _ = start(t, Options{Dir: live})
	fill(t, x, entries)
	log := func(change func(b []byte, ends []int)) func(*testing.T, string) {
		return file("*.mem", func(b []byte) []byte {
			change(b, logEnds(t, b))
			return b
		})
	}
	torn := func(part int) func(*testing.T, string) {
		return log(func(b []byte, ends []int) { copy(b[ends[len(ends)-1]:], b[logHeader:][:part]) })
	}
	table := func(content func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(the(t, dir, "*.sst"))
			check(t, err)
			check(t, os.WriteFile(filepath.Join(filepath.Dir(the(t, dir, "MANIFEST")), "009999.sst"), content(b), 0o600))
		}
	}
	nothing := func(*testing.T, string) {}
	for _, c := range []struct {
		harm
		wiped bool
	}{
		{harm{"nothing", nothing}, false},
		{harm{"one byte of an entry", torn(1)}, false},
		{harm{"an entry without its lengths", torn(2)}, false},
		{harm{"an entry without a key", torn(5)}, false},
		{harm{"half an entry", torn(30)}, false},
		{harm{"a table before it is named", table(cut(1))}, false},
		{harm{"half a table", table(cut(0.5))}, false},
		{harm{"the last entry harmed", log(func(b []byte, ends []int) { b[ends[len(ends)-1]-1] ^= 1 })}, true},
		{harm{"a table not named any more", file("MANIFEST", func(b []byte) []byte { return b[:8] })}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.CopyFS(dir, os.DirFS(live))) // as it is left when its process is killed
			c.do(t, dir)
			x, _ := start(t, Options{Dir: dir})
			n, err := x.Count(context.Background())
			if got, want := fmt.Sprint(n, x.wipes, err), fmt.Sprint(entries, 0, nil); got != want && !c.wiped {
				t.Errorf("entries, wiped, error: %s; want %s", got, want)
			}
			if c.wiped && (n != 0 || x.wipes != 1 || err != nil) {
				t.Errorf("%d entries, wiped %d times, %v", n, x.wipes, err)
			}
		})
	}
}
