package usage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/tasks/usage"
)

// file is a File in memory.
type file struct {
	content []byte
	saves   int
	err     error
}

func (f *file) Load() ([]byte, error) { return f.content, f.err }

func (f *file) Save(content []byte) error {
	f.saves++
	if f.err == nil {
		f.content = bytes.Clone(content)
	}
	return f.err
}

// clock is a time that only the test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time           { return c.Time }
func (c *clock) pass(d time.Duration)     { c.Time = c.Add(d) }
func newClock() *clock                    { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }
func byTag(t oci.Tag) oci.Reference       { return oci.Reference{Tag: t} }
func byDigest(d oci.Digest) oci.Reference { return oci.Reference{Digest: d} }

var (
	one = oci.SHA256.FromString("one")
	two = oci.SHA256.FromString("two")
)

func wantTimes(t *testing.T, got usage.Times, pushed, pulled time.Time) {
	t.Helper()
	if !got.Pushed.Equal(pushed) || !got.Pulled.Equal(pulled) {
		t.Fatalf("times are %v, want %v and %v", got, pushed, pulled)
	}
}

func TestTimes(t *testing.T) {
	c := newClock()
	m := usage.New(usage.Options{Now: c.now})
	wantTimes(t, m.Times("app", "v1", one), time.Time{}, time.Time{})
	pushed := c.Time
	m.Pushed("app", "v1")
	c.pass(time.Minute)
	wantTimes(t, m.Times("app", "v1", one), pushed, time.Time{})
	byName := c.Time
	m.Pulled("app", byTag("v1"))
	c.pass(time.Minute)
	wantTimes(t, m.Times("app", "v1", one), pushed, byName)
	m.Pulled("app", byDigest(one))
	wantTimes(t, m.Times("app", "v1", one), pushed, c.Time)
	wantTimes(t, m.Times("app", "v2", one), time.Time{}, c.Time)
	wantTimes(t, m.Times("app", "v1", two), pushed, byName)
	wantTimes(t, m.Times("ap", "pv1", two), time.Time{}, time.Time{})
	var none *usage.Memory
	wantTimes(t, none.Times("app", "v1", one), time.Time{}, time.Time{})
}

// TestClockNotSet: times before the device's clock was set are not known.
func TestClockNotSet(t *testing.T) {
	c := &clock{time.Unix(100, 0)}
	m := usage.New(usage.Options{Now: c.now})
	m.Pushed("app", "v1")
	m.Pulled("app", byTag("v1"))
	wantTimes(t, m.Times("app", "v1", one), time.Time{}, time.Time{})
	right := newClock().Time
	c.Time = right
	m.Pulled("app", byTag("v1"))
	m.Pushed("app", "v1")
	c.Time = time.Unix(200, 0)
	m.Pulled("app", byTag("v1"))
	wantTimes(t, m.Times("app", "v1", one), right, right)
	m.Pushed("app", "v1") // what was known was of another push
	wantTimes(t, m.Times("app", "v1", one), time.Time{}, right)
}

func TestMirrored(t *testing.T) {
	f := &file{}
	m := usage.New(usage.Options{File: f})
	m.Pushed("app", "v1")
	if m.IsMirrored("app", "v1", one) {
		t.Error("what was pushed counts as mirrored")
	}
	m.Mirrored("app", "v1", one)
	if !m.IsMirrored("app", "v1", one) || m.IsMirrored("app", "v1", two) || m.IsMirrored("app", "v2", one) {
		t.Error("the mark is not that of one tag and one content")
	}
	m.Flush()
	m.Pushed("app", "v1")
	if m.IsMirrored("app", "v1", one) {
		t.Error("a push leaves the mark")
	}
	// The push was not written any more: the mark says nothing of its content.
	m = usage.New(usage.Options{File: f})
	if m.IsMirrored("app", "v1", two) || !m.IsMirrored("app", "v1", one) {
		t.Error("the mark does not survive for its content alone")
	}
}

func TestRestart(t *testing.T) {
	c, f := newClock(), &file{}
	m := usage.New(usage.Options{Now: c.now, File: f})
	m.Flush()
	if f.saves != 0 {
		t.Fatal("it was written where nothing had changed")
	}
	m.Pushed("app", "v1")
	pushed := c.Time
	c.pass(time.Second)
	m.Pulled("app", byDigest(one))
	m.Flush()
	m.Flush()
	m = usage.New(usage.Options{Now: c.now, File: f})
	wantTimes(t, m.Times("app", "v1", one), pushed, c.Time)
	m.Flush()
	m.Pulled("app", byDigest(one)) // in the same millisecond: no change
	m.Flush()
	if f.saves != 1 {
		t.Fatalf("it was written %d times, want 1", f.saves)
	}
}

// TestRunWritesAtTheEnd: what changed is written when the process ends.
func TestRunWritesAtTheEnd(t *testing.T) {
	f := &file{}
	m := usage.New(usage.Options{File: f})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	m.Pushed("app", "v1")
	stop()
	if err := <-done; err != nil || f.saves != 1 {
		t.Fatalf("error %v, %d writings", err, f.saves)
	}
}

func TestBrokenFile(t *testing.T) {
	f := &file{}
	m := usage.New(usage.Options{File: f})
	for i := range 10 {
		m.Pushed("app", oci.Tag(fmt.Sprint("v", i)))
	}
	m.Flush()
	whole := f.content
	read := func(content []byte) (n int, said string) {
		var log bytes.Buffer
		f.content = content
		n = usage.New(usage.Options{File: f, Log: slog.New(slog.NewTextHandler(&log, nil))}).Len()
		return n, log.String()
	}
	if n, said := read(whole); n != 10 || said != "" {
		t.Fatalf("%d names are known; the log: %s", n, said)
	}
	for i := range whole {
		for name, content := range map[string][]byte{"cut": whole[:i], "changed": flipped(whole, i)} {
			if n, said := read(content); n != 0 || i > 0 && !strings.Contains(said, "WARN") {
				t.Fatalf("%s at %d: %d names are known; the log: %q", name, i, n, said)
			}
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x40
	return b
}

// TestFileFails: nothing is lost in memory, and it is written later.
func TestFileFails(t *testing.T) {
	f := &file{err: errors.New("no space")}
	var log bytes.Buffer
	m := usage.New(usage.Options{File: f, Log: slog.New(slog.NewTextHandler(&log, nil))})
	log.Reset()
	m.Pushed("app", "v1")
	m.Flush()
	m.Flush()
	if n := strings.Count(log.String(), "WARN"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	f.err = nil
	m.Flush()
	if f.content == nil {
		t.Error("it is not written when it could be")
	}
}

// TestBounded: what was used longest ago is forgotten.
func TestBounded(t *testing.T) {
	c, f := newClock(), &file{}
	const most = 1600
	m := usage.New(usage.Options{Now: c.now, Entries: most, File: f})
	for i := range 10 * most {
		c.pass(time.Second)
		m.Pushed("app", oci.Tag(fmt.Sprint("v", i)))
		if n := m.Len(); n > most {
			t.Fatalf("%d names are known", n)
		}
	}
	if m.Times("app", oci.Tag(fmt.Sprint("v", 10*most-1)), one).Pushed.IsZero() || m.Len() < most/2 {
		t.Error("what was used last is not known")
	}
	m.Flush()
	if n := usage.New(usage.Options{Entries: 160, File: f}).Len(); n > 160 || n < 80 {
		t.Errorf("%d names after a restart with room for 160", n)
	}
}

func TestPulledAllocatesNothing(t *testing.T) {
	c := newClock()
	m := usage.New(usage.Options{Now: c.now})
	m.Pulled("app/web", byTag("v1"))
	m.Pulled("app/web", byDigest(one))
	if n := testing.AllocsPerRun(100, func() {
		c.pass(time.Millisecond)
		m.Pulled("app/web", byTag("v1"))
		m.Pulled("app/web", byDigest(one))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPulled(b *testing.B) {
	m := usage.New(usage.Options{})
	for b.Loop() {
		m.Pulled("app/web", byTag("v1.2.3"))
	}
}

// FuzzFile: no file makes it fail, or gives it times that cannot be.
func FuzzFile(f *testing.F) {
	m := usage.New(usage.Options{File: &file{}})
	m.Pushed("app", "v1")
	kept := &file{}
	m = usage.New(usage.Options{File: kept})
	m.Pushed("app", "v1")
	m.Flush()
	f.Add(kept.content)
	f.Add([]byte("berthus1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m := usage.New(usage.Options{File: &file{content: content}})
		got := m.Times("app", "v1", one)
		if !got.Pushed.IsZero() && got.Pushed.Year() < 2020 {
			t.Fatalf("pushed at %v", got.Pushed)
		}
	})
}
