package cache

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/oci"
)

// loadChild adds entries for ever, and prints how many are written.
func loadChild(dir string) error {
	ctx := context.Background()
	x, _ := startIndex(Options{Dir: dir, Floor: 1, Group: time.Millisecond})
	n, err := x.Count(ctx)
	if err != nil {
		return err
	}
	add := x.adder(ctx)
	for i := int(n); ; i++ {
		if err := add(dig(i), "library/app"); err != nil {
			return err
		}
		if i%100 == 99 {
			if err := x.Flush(ctx); err != nil {
				return err
			}
			fmt.Println(i + 1)
		}
	}
}

// useChild uses an index as a server does, lets it be rebuilt where it is not
// complete, and prints how often it was wiped and walked for.
func useChild(dir string) error {
	ctx := context.Background()
	walks := make(chan int, 10)
	x, stop := startIndex(Options{Dir: dir, Floor: 1, Group: time.Millisecond,
		Rebuild: func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
			for i := range damageEntries {
				if err := add(dig(i), "library/app"); err != nil {
					return err
				}
			}
			walks <- 1
			return nil
		}})
	for i := range 10 {
		if _, err := x.Holders(ctx, dig(i*1000), 1); err != nil && err != oci.ErrNoHint {
			return fmt.Errorf("Holders: %w", err)
		}
		if err := x.Add(ctx, dig(-i), "library/new"); err != nil && err != oci.ErrNoHint {
			return fmt.Errorf("Add: %w", err)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if done, err := x.Complete(ctx); err == nil && done {
			break
		} else if time.Now().After(end) {
			return fmt.Errorf("it is not complete again: %v", err)
		}
	}
	for i := range damageEntries {
		if repos, err := x.Holders(ctx, dig(i), 0); err != nil || !slices.Contains(repos, "library/app") {
			return fmt.Errorf("entry %d: %v, %v", i, repos, err)
		}
	}
	stop()
	fmt.Printf("wiped %d walked %d\n", x.wipes, len(walks))
	return nil
}

// indexes made once: one that was closed, and one whose process was killed.
func closedIndex(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "closed")
	x, stop := start(t, Options{Dir: dir})
	fill(t, x, damageEntries)
	check(t, x.SetComplete(context.Background()))
	stop()
	return dir
}

func killedIndex(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "killed")
	x, stop := start(t, Options{Dir: dir})
	fill(t, x, 100)
	check(t, x.SetComplete(context.Background()))
	stop()
	killLoading(t, dir, damageEntries)
	return dir
}

// killLoading loads an index in another process, kills that once so many
// entries are written, and returns how many it said there were.
func killLoading(t *testing.T, dir string, enough int) (written int) {
	t.Helper()
	cmd := child(t, "load", dir)
	out, err := cmd.StdoutPipe()
	check(t, err)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &written); err != nil {
			t.Fatal(err)
		}
		if written >= enough && !killed {
			killed = true
			check(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); !killed {
		t.Fatalf("the process that loads ended by itself after %d entries: %v", written, err)
	}
	return written
}

// the returns the one file below dir that matches, the largest of several.
func the(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "db-*", pattern))
	check(t, err)
	var found string
	var most int64 = -1
	for _, name := range names {
		info, err := os.Stat(name)
		check(t, err)
		if info.Size() > most {
			found, most = name, info.Size()
		}
	}
	if found == "" {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return found
}

// edit changes the bytes of a file.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, change(b), 0o600))
}

func flip(at ...int) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, i := range at {
			b[i] ^= 0xff
		}
		return b
	}
}

func cut(part float64) func([]byte) []byte {
	return func(b []byte) []byte { return b[:int(float64(len(b))*part)] }
}

func garbage(b []byte) []byte {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func zeros(b []byte) []byte { clear(b); return b }

// harm is a way to damage an index that has to be found out.
type harm struct {
	name string
	do   func(t *testing.T, dir string)
}

func file(pattern string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) { edit(t, the(t, dir, pattern), change) }
}

func remove(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { check(t, os.Remove(the(t, dir, pattern))) }
}

// toClosed is what may befall an index that was closed.
var toClosed = []harm{
	{"manifest empty", file("MANIFEST", cut(0))},
	{"manifest of its header", file("MANIFEST", func(b []byte) []byte { return b[:16] })},
	{"manifest cut in the middle", file("MANIFEST", cut(0.5))},
	{"manifest short by a byte", file("MANIFEST", func(b []byte) []byte { return b[:len(b)-1] })},
	{"manifest flipped", file("MANIFEST", flip(26))},
	{"manifest of garbage", file("MANIFEST", garbage)},
	{"manifest missing", remove("MANIFEST")},
	{"table cut", file("*.sst", cut(0.5))},
	{"table short by a byte", file("*.sst", func(b []byte) []byte { return b[:len(b)-1] })},
	{"table empty", file("*.sst", cut(0))},
	{"table of garbage", file("*.sst", garbage)},
	{"table of zeros", file("*.sst", zeros)},
	{"table flipped in a block", file("*.sst", flip(5000))},
	{"table flipped in its last block and index", file("*.sst", func(b []byte) []byte { return flip(len(b)*9/10, len(b)-200)(b) })},
	{"table flipped in its footer", file("*.sst", func(b []byte) []byte { return flip(len(b) - 2)(b) })},
	{"table missing", remove("*.sst")},
	{"table too many", func(t *testing.T, dir string) {
		b, err := os.ReadFile(the(t, dir, "*.sst"))
		check(t, err)
		check(t, os.WriteFile(filepath.Join(filepath.Dir(the(t, dir, "MANIFEST")), "009999.sst"), b, 0o600))
	}},
	{"value log cut", file("*.vlog", cut(0.5))},
	{"value log of garbage", file("*.vlog", garbage)},
	{"key registry flipped", file("KEYREGISTRY", flip(20))},
	{"key registry missing", remove("KEYREGISTRY")},
	{"discard statistics cut", file("DISCARD", cut(0.1))},
	{"state file flipped", func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "state"), flip(12)) }},
	{"marker left behind", func(t *testing.T, dir string) {
		check(t, os.WriteFile(filepath.Join(dir, "probing"), []byte("1"), 0o600))
	}},
	{"an older copy", func(t *testing.T, dir string) {
		check(t, os.RemoveAll(filepath.Dir(the(t, dir, "MANIFEST"))))
		old := filepath.Join(t.TempDir(), "old")
		x, stop := start(t, Options{Dir: old})
		fill(t, x, 10)
		stop()
		check(t, os.CopyFS(filepath.Join(dir, "db-old"), os.DirFS(filepath.Dir(the(t, old, "MANIFEST")))))
	}},
	{"Badger's directory missing", func(t *testing.T, dir string) {
		check(t, os.RemoveAll(filepath.Dir(the(t, dir, "MANIFEST"))))
	}},
}

// toKilled is what may befall one whose process was killed.
var toKilled = []harm{
	{"log flipped at its begin", file("*.mem", flip(40))},
	{"log flipped in the middle", file("*.mem", flip(20_000))},
	{"log lengths flipped", file("*.mem", func(b []byte) []byte { copy(b[22:], "\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f"); return b })},
	{"log cut", file("*.mem", func(b []byte) []byte { return b[:2000] })},
	{"log cut within its header", file("*.mem", func(b []byte) []byte { return b[:11] })},
	{"log of garbage", file("*.mem", garbage)},
	{"log of zeros", file("*.mem", func(b []byte) []byte { clear(b[20:]); return b })},
	{"log missing", remove("*.mem")},
	{"log zeroed from the middle", file("*.mem", func(b []byte) []byte { clear(b[20_000:]); return b })},
}

func TestDamage(t *testing.T) {
	for _, base := range []struct {
		name  string
		make  func(*testing.T) string
		harms []harm
	}{{"closed", closedIndex, toClosed}, {"killed", killedIndex, toKilled}} {
		t.Run(base.name, func(t *testing.T) {
			whole := base.make(t)
			for i, h := range base.harms {
				if i%damageStep != 0 {
					continue
				}
				t.Run(h.name, func(t *testing.T) {
					dir := t.TempDir()
					check(t, os.CopyFS(dir, os.DirFS(whole)))
					h.do(t, dir)
					out := runChild(t, "use", dir)
					if !strings.Contains(out, "wiped 1 walked 1") {
						t.Errorf("it was not wiped and walked for once: %s", out)
					}
				})
			}
		})
	}
}

func TestAKilledProcessLosesNothingWritten(t *testing.T) {
	dir := t.TempDir()
	written := 0
	for range 5 {
		written = killLoading(t, dir, written+2000)
		x, stop := start(t, Options{Dir: dir})
		n, err := x.Count(context.Background())
		if err != nil || n < int64(written) {
			t.Fatalf("Count = %d, %v; %d were written", n, err, written)
		}
		for i := range written {
			want(t, x, dig(i), "library/app")
		}
		if x.wipes > 0 {
			t.Errorf("wiped %d times", x.wipes)
		}
		stop()
	}
}

func TestOpeningThatKillsIsGivenUp(t *testing.T) {
	dir := closedIndex(t)
	check(t, os.WriteFile(filepath.Join(dir, "probing"), []byte("3"), 0o600))
	var log lines
	x, _ := start(t, Options{Dir: dir, Log: log.logger()})
	for range 3 {
		if _, err := x.Holders(context.Background(), dig(1), 0); err != oci.ErrNoHint {
			t.Errorf("Holders: %v", err)
		}
	}
	log.once(t, "ended the process several times")
}
