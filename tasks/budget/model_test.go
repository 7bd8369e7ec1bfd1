package budget

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/oci"
)

// unitOf is a unit that was used at a minute and needs blobs, one byte of whose
// keys each is ten times its number.
func unitOf(name string, minute int, needs ...uint64) unit {
	return unit{repo: oci.Repo(name), used: time.Unix(int64(minute)*60, 0), needs: needs}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name   string
		held   []uint64 // by what stays
		units  []unit
		target int64
		want   string
		left   int64
	}{
		{"below the target", nil, []unit{unitOf("a", 1, 1), unitOf("b", 2, 2)}, 30, "", 30},
		{"the oldest first", nil, []unit{unitOf("new", 9, 1), unitOf("old", 1, 2), unitOf("mid", 5, 3)}, 40, "old:20", 40},
		{"until the target", nil, []unit{unitOf("new", 9, 1), unitOf("old", 1, 2), unitOf("mid", 5, 3)}, 39, "old:20 mid:30", 10},
		{"shared with what stays", []uint64{3}, []unit{unitOf("a", 1, 1, 3), unitOf("b", 2, 2, 3)}, 0, "a:10 b:20", 30},
		{"shared with one another", nil, []unit{unitOf("a", 1, 1, 5), unitOf("b", 2, 2, 5)}, 0, "a:10 b:70", 0},
		{"twins", nil, []unit{unitOf("a", 1, 4), unitOf("b", 2, 4), unitOf("c", 3, 1)}, 10, "a:0 b:40", 10},
		{"never used", nil, []unit{unitOf("a", 1, 1), {repo: "zero", needs: []uint64{2}}}, 10, "zero:20", 10},
		{"equal times", nil, []unit{unitOf("b", 1, 1), unitOf("a", 1, 2)}, 10, "a:20", 10},
		{"nothing may go", []uint64{1, 2}, nil, 5, "", 30},
		{"no target can be met", []uint64{9}, []unit{unitOf("a", 1, 1)}, -5, "a:10", 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel()
			for _, key := range c.held {
				m.hold(key, int64(key)*10)
			}
			for _, u := range c.units {
				for _, key := range u.needs {
					m.hold(key, int64(key)*10)
				}
				m.add(u)
			}
			var got []string
			for _, choice := range m.plan(c.target) {
				got = append(got, fmt.Sprintf("%s:%d", choice.repo, choice.frees))
			}
			if s := strings.Join(got, " "); s != c.want || m.live() != c.left {
				t.Errorf("%q go and %d bytes stay, want %q and %d", s, m.live(), c.want, c.left)
			}
		})
	}
}

// TestBoundedUnits: of many, those that were used longest ago are remembered.
func TestBoundedUnits(t *testing.T) {
	m := newModel()
	m.mostKeys = 100
	for i := range 1000 {
		minute := (i*7919)%1000 + 1
		m.hold(uint64(i), 1)
		m.add(unitOf(fmt.Sprint(minute), minute, uint64(i)))
		if m.keys > m.mostKeys || len(m.units) != m.keys {
			t.Fatalf("%d keys of %d units", m.keys, len(m.units))
		}
	}
	gone := m.plan(990)
	if len(gone) != 10 {
		t.Fatalf("%d go", len(gone))
	}
	for i, c := range gone {
		if want := oci.Repo(fmt.Sprint(i + 1)); c.repo != want {
			t.Errorf("%s goes, want %s", c.repo, want)
		}
	}
}

// TestSample: of very many blobs the model has a part, and says about the same.
func TestSample(t *testing.T) {
	m := newModel()
	m.mostBlobs = 2000
	const n = 50_000
	for i := range uint64(n) {
		m.hold(i, 100)
		m.add(unitOf("a", int(i), i))
	}
	if len(m.blobs) > m.mostBlobs || m.sample == 0 {
		t.Fatalf("%d blobs, one of 2^%d", len(m.blobs), m.sample)
	}
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%s is %d, want about %d", what, got, want)
		}
	}
	near("what stays", m.live(), n*100)
	gone := m.plan(n * 50)
	near("the number of those that go", int64(len(gone)), n/2)
	frees := int64(0)
	for _, c := range gone {
		frees += c.frees
	}
	near("what that frees", frees, n*50)
}
