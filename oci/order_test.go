package oci

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The order finds what a plain search finds, whatever is inserted and removed,
// and whatever texts have in common.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabets := []string{"ab", "v1.", "release-2026-11-", "sha256:0123456789abcdef", ""}
	for round := range 200 {
		begin := alphabets[round%len(alphabets)]
		text := func() string {
			s := begin[:r.IntN(len(begin)+1)]
			if r.IntN(4) > 0 {
				s = begin
			}
			return s + fmt.Sprint(r.IntN(40))
		}
		o := sorted(nil, textOfTag, byRank)
		var plain []*Entry
		for range 200 {
			if len(plain) > 0 && r.IntN(3) == 0 {
				at := r.IntN(len(plain))
				o.remove(plain[at])
				plain = slices.Delete(plain, at, at+1)
			} else {
				e := &Entry{Tag: Tag(text()), served: r.IntN(2) == 0}
				o.insert(e)
				plain = append(plain, e)
			}
			checkOrder(t, &o, plain, text())
		}
	}
}

func checkOrder(t *testing.T, o *order, plain []*Entry, s string) {
	t.Helper()
	want := 0
	for _, e := range plain {
		if string(e.Tag) == s {
			want++
		}
	}
	got := o.run(s)
	if len(got) != want || len(o.list) != len(plain) || len(o.keys) != len(plain) {
		t.Fatalf("%d entries of %q found among %d, want %d among %d", len(got), s, len(o.list), want, len(plain))
	}
	for i, e := range o.list {
		if i > 0 && strings.Compare(string(o.list[i-1].Tag), string(e.Tag)) > 0 {
			t.Fatalf("%q stands before %q", o.list[i-1].Tag, e.Tag)
		}
		if from := o.lower(string(e.Tag)); from > i {
			t.Fatalf("%q at %d was found at %d", e.Tag, i, from)
		}
	}
}
