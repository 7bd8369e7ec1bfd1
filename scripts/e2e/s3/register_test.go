package s3

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// register is what is known of one tag by those who write it and read it: the
// order in which that began and ended, and so what a reader may see. Every value
// is written once, but for "", which is a tag that is not there.
type register struct {
	mu     sync.Mutex // guards all below
	clock  int
	writes []*attempt
	seen   []string // each value once, in the order in which they were seen first
}

// attempt is one to give a tag a value.
type attempt struct {
	value string
	begun int
	ended int // 0: not yet
	acked bool
}

// begin is called before a value is written.
func (r *register) begin(value string) *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	w := &attempt{value: value, begun: r.clock}
	r.writes = append(r.writes, w)
	return w
}

// end is called when there is an answer to it, or none will come.
func (r *register) end(w *attempt, acked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	w.ended, w.acked = r.clock, acked
}

// now is called before the value is read.
func (r *register) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

// check is called with what was read since then. It is wrong where nobody wrote
// it, or where it was written before something else was that was acknowledged
// before the reading began. What was not acknowledged may have been carried out,
// but not after what was begun later and acknowledged.
func (r *register) check(value string, since int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	possible := value == "" && !r.coveredBy(&attempt{}, since)
	for _, w := range r.writes {
		possible = possible || w.value == value && !r.coveredBy(w, since)
	}
	if !possible {
		return fmt.Errorf("%q was read, from %d on; written was %s", value, since, r.history())
	}
	return nil
}

// checkOrder is check for one who reads again and again, while nothing is
// written twice: what another value has come after does not come back.
func (r *register) checkOrder(value string, since int) error {
	if err := r.check(value, since); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch i := slices.Index(r.seen, value); {
	case i < 0:
		r.seen = append(r.seen, value)
	case i < len(r.seen)-1:
		return fmt.Errorf("%q was read again, after %q; written was %s", value, r.seen[i+1:], r.history())
	}
	return nil
}

// coveredBy tells whether something else was written after w, and acknowledged
// before a moment; r.mu is held.
func (r *register) coveredBy(w *attempt, since int) bool {
	if w.ended == 0 && w.begun > 0 {
		return false
	}
	return slices.ContainsFunc(r.writes, func(later *attempt) bool {
		return later.acked && later.ended < since && later.begun > w.ended
	})
}

// quiet tells whether nobody has written, or tried to, since a moment.
func (r *register) quiet(since int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.writes, func(w *attempt) bool { return w.ended == 0 || w.ended > since })
}

func (r *register) history() string {
	text := ""
	for _, w := range r.writes {
		text += fmt.Sprintf("\n\t%q from %d to %d, acknowledged: %t", w.value, w.begun, w.ended, w.acked)
	}
	return text
}

// What the storm relies on to notice something.
func TestRegister(t *testing.T) {
	r := &register{}
	sees := func(what, value string, since int, right bool) {
		t.Helper()
		if err := r.check(value, since); (err == nil) != right {
			t.Errorf("%s: %v", what, err)
		}
	}
	sees("nothing was written", "", r.now(), true)
	sees("nobody wrote it", "a", r.now(), false)
	early := r.now()
	a := r.begin("a")
	sees("it may be written already", "a", r.now(), true)
	sees("it may not be written yet", "", r.now(), true)
	r.end(a, true)
	sees("it is acknowledged", "", r.now(), false)
	sees("the reading began before", "", early, true)
	b := r.begin("b")
	r.end(b, false)
	sees("it failed, and may be there", "b", r.now(), true)
	sees("it failed, and may not be there", "a", r.now(), true)
	c := r.begin("c")
	d := r.begin("d")
	r.end(c, true)
	sees("it went back to what failed", "b", r.now(), false)
	sees("it went back", "a", r.now(), false)
	sees("of two at a time either is last", "c", r.now(), true)
	r.end(d, true)
	sees("of two at a time either is last", "c", r.now(), true)
	sees("of two at a time either is last", "d", r.now(), true)
	if err := r.checkOrder("c", r.now()); err != nil {
		t.Error(err)
	}
	if err := r.checkOrder("d", r.now()); err != nil {
		t.Error(err)
	}
	if r.checkOrder("c", r.now()) == nil {
		t.Error("c came back after d, and nothing is said")
	}
	gone := r.begin("")
	r.end(gone, true)
	sees("it was deleted", "", r.now(), true)
	sees("it was deleted, and is there", "d", r.now(), false)
	since := r.now()
	if !r.quiet(since) {
		t.Error("it is quiet")
	}
	if e := r.begin("e"); r.quiet(since) {
		t.Errorf("%v is being written", e)
	}
}
