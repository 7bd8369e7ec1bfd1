package oci

import (
	"encoding/binary"
	"slices"
	"strings"
)

// order is entries sorted by a text of theirs, and then so that among equals
// the one that counts comes first.
//
// A search compares numbers that lie side by side, not texts all over the
// memory: beside each entry stand the eight bytes of its text that come after
// what all texts begin with ("sha256:", "v1.").
type order struct {
	text    func(*Entry) string
	compare func(a, b *Entry) int // of entries whose texts are equal
	list    []*Entry
	skip    int      // bytes that all texts have in common, or fewer
	keys    []uint64 // of list
}

// sorted makes an order of a list, which it keeps.
func sorted(list []*Entry, text func(*Entry) string, compare func(a, b *Entry) int) order {
	o := order{text: text, compare: compare, list: list}
	slices.SortStableFunc(list, func(a, b *Entry) int {
		if c := strings.Compare(text(a), text(b)); c != 0 {
			return c
		}
		return compare(a, b)
	})
	o.rekey()
	return o
}

// rekey takes as much as possible as common to all texts.
func (o *order) rekey() {
	o.skip = 0
	if n := len(o.list); n > 1 {
		o.skip = common(o.text(o.list[0]), o.text(o.list[n-1]))
	}
	o.keys = slices.Grow(o.keys[:0], len(o.list)+1)
	for _, e := range o.list {
		o.keys = append(o.keys, key(o.text(e)[o.skip:]))
	}
}

// key is the first eight bytes of s as a number that sorts like them.
func key(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}

// common is how many bytes two texts begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// find returns where the entries with a text begin and end.
func (o *order) find(s string) (from, to int) {
	from = o.lower(s)
	to = from
	for to < len(o.list) && o.text(o.list[to]) == s {
		to++
	}
	return from, to
}

// run returns the entries with a text. The slice is shared.
func (o *order) run(s string) []*Entry {
	from, to := o.find(s)
	return o.list[from:to:to]
}

// lower is where the first text stands that is not before s.
func (o *order) lower(s string) int {
	if len(o.list) == 0 {
		return 0
	}
	begin := o.text(o.list[0])[:o.skip]
	if len(s) < o.skip || s[:o.skip] != begin {
		if s <= begin {
			return 0
		}
		return len(o.list)
	}
	k := key(s[o.skip:])
	at, found := slices.BinarySearch(o.keys, k)
	if !found || o.text(o.list[at]) == s {
		return at
	}
	to := at + 1
	for step := 1; to < len(o.keys) && o.keys[to] == k; step *= 2 {
		to = min(to+step, len(o.keys))
	}
	in, _ := slices.BinarySearchFunc(o.list[at:to], s, func(e *Entry, s string) int {
		return strings.Compare(o.text(e), s)
	})
	return at + in
}

// clone is a copy with room for one more.
func (o order) clone() order {
	o.list = append(make([]*Entry, 0, len(o.list)+1), o.list...)
	o.keys = append(make([]uint64, 0, len(o.keys)+1), o.keys...)
	return o
}

// insert puts an entry behind its equals.
func (o *order) insert(e *Entry) {
	s := o.text(e)
	at, to := o.find(s)
	for at < to && o.compare(o.list[at], e) <= 0 {
		at++
	}
	o.list = slices.Insert(o.list, at, e)
	n := len(o.list)
	if n&(n-1) == 0 || len(s) < o.skip || common(s, o.text(o.list[(at+1)%n])) < o.skip {
		o.rekey()
		return
	}
	o.keys = slices.Insert(o.keys, at, key(s[o.skip:]))
}

// remove takes an entry out, which must be there.
func (o *order) remove(e *Entry) {
	at := o.lower(o.text(e))
	for o.list[at] != e {
		at++
	}
	o.list = slices.Delete(o.list, at, at+1)
	o.keys = slices.Delete(o.keys, at, at+1)
}
