package fsstore

import (
	"fmt"
	"testing"
	"time"

	"berth/fsstore/simfs"
	"berth/oci"
)

func FuzzSlot(f *testing.F) {
	good, err := encodeSlot(progress{sequence: 3, offset: 17, algorithm: oci.SHA256, state: make([]byte, 108), repo: "a/b"})
	if err != nil {
		f.Fatal(err)
	}
	lent, err := encodeSlot(progress{sequence: 4, offset: 18, algorithm: oci.SHA256, state: make([]byte, 108), repo: "a/b", loan: oci.SHA512.FromString("")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lent)
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte(sideMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeSlot(b)
		if err != nil {
			return
		}
		again, err := encodeSlot(p)
		if err != nil {
			return // longer than any that is written
		}
		if string(again) != string(b[:len(again)]) {
			t.Errorf("%q became %q", b, again)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"dirty":{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:02:00Z"}}`))
	f.Add([]byte(`{"version":1,"suspect":[{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		spans := parseState(b).suspectsAfterStop()
		for i, w := range spans {
			if w.To.Before(w.From) || i > 0 && !spans[i-1].To.Before(w.From) {
				t.Errorf("%v", spans)
			}
		}
		if len(spans) > maxSuspect {
			t.Errorf("%d spans", len(spans))
		}
	})
}

func FuzzLayout(f *testing.F) {
	f.Add([]byte(layoutContent))
	f.Add([]byte(`{"imageLayoutVersion":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if version, ok := parseLayout(b); !ok && version != "" {
			t.Error(version)
		}
	})
}

func TestMergeSpans(t *testing.T) {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(from, to int) span {
		return span{base.Add(time.Duration(from) * time.Minute), base.Add(time.Duration(to) * time.Minute)}
	}
	got := mergeSpans([]span{at(50, 60), at(0, 2), at(1, 5), at(7, 9), at(100, 101)}, 3)
	want := []span{at(0, 9), at(50, 60), at(100, 101)}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
		}
	}
}

// TestBefore leaves all suspect spans, also where they touch.
func TestBefore(t *testing.T) {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	su := suspects{windows: []span{
		{base, base.Add(time.Minute)},
		{base.Add(time.Minute + time.Second), base.Add(time.Hour)},
	}}
	if got := su.before(base.Add(30 * time.Minute).UnixNano()); su.contains(got) || got >= base.UnixNano() {
		t.Errorf("%v", time.Unix(0, got).UTC())
	}
}

func TestComponent(t *testing.T) {
	for dir, want := range map[string]string{
		"a": "a", "_blobs": "blobs", "_index.json": "index.json", "blobs": "", "index.json": "", "oci-layout": "",
		".berth": "", "A": "", "a b": "", "_a": "", "": "", "a/b": "", "..": "",
	} {
		if got := component(dir); got != want {
			t.Errorf("%q: %q, want %q", dir, got, want)
		}
		if want != "" && repoDir(oci.Repo(want)) != dir {
			t.Errorf("%q leads to %q", want, repoDir(oci.Repo(want)))
		}
	}
}

// TestKeptWhileReplaced: what is kept of an index stays when a settling comes
// in the middle of a replacement, which it may not have covered.
func TestKeptWhileReplaced(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { at = at.Add(time.Millisecond); return at }
	files := simfs.New(now)
	s, err := Open(Options{FS: files, Now: now, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.SwapIndex(t.Context(), "a", "", []byte(emptyIndex))
	if err == nil {
		err = s.journal.settle()
	}
	if err == nil {
		_, err = s.SwapIndex(t.Context(), "a", version, []byte(`{}`))
	}
	if err != nil {
		t.Fatal(err)
	}
	kept := func() bool { _, err := files.Stat(keptPath("a")); return err == nil }
	if !s.journal.hasKept("a") || !kept() { // a replacement begins
		t.Fatal("nothing is kept")
	}
	if err := s.journal.settle(); err != nil || !kept() {
		t.Errorf("settled in the middle: kept %v, %v", kept(), err)
	}
	s.journal.replaced("a")
	if _, err := s.SwapIndex(t.Context(), "b", "", []byte(emptyIndex)); err != nil {
		t.Fatal(err)
	}
	if err := s.journal.settle(); err != nil || kept() {
		t.Errorf("settled afterwards: kept %v, %v", kept(), err)
	}
}

// TestWanted bounds what is remembered, in number and in time.
func TestWanted(t *testing.T) {
	var w wanted
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	digest := func(n int) oci.Digest { return oci.SHA256.FromString(fmt.Sprint(n)) }
	for n := range wantedKept + 10 {
		w.add("a", digest(n), at)
		w.add("a", digest(n), at)
	}
	got := w.of("a", at)
	if len(w.last) != wantedKept || len(got) != wantedTried || got[0] != digest(wantedKept+9) || got[1] != digest(wantedKept+8) {
		t.Errorf("%d kept, %v", len(w.last), got)
	}
	if got := append(w.of("b", at), w.of("a", at.Add(wantedFor))...); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

// TestMarks forgets the oldest blobs.
func TestMarks(t *testing.T) {
	var m marks
	digest := func(n int) oci.Digest { return oci.SHA256.FromString(fmt.Sprint(n)) }
	for n := range 6 {
		m.add(digest(n), make([]mark, marksPerBlob))
		m.add(digest(n), make([]mark, 1))
	}
	for n := range 6 {
		if has := m.of(digest(n)) != nil; has != (n >= 2) {
			t.Errorf("%d: %v", n, has)
		}
	}
	if m.count != marksInAll || len(m.order) != 4 {
		t.Errorf("%d marks, %d blobs", m.count, len(m.order))
	}
}
