package fsstore

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"berth/fsstore/durable"
)

// state is .berth/state.json: what a start has to know about the stop before.
// A root that was never written, or was closed cleanly, may have none.
type state struct {
	Version int `json:"version"`
	// Committing: a process that commits is at work. After an unclean stop
	// everything answered is durable, but more may be visible than is durable.
	Committing bool `json:"committing,omitempty"`
	// Dirty covers the modification time of every file that was written
	// without commit and is not settled.
	Dirty *span `json:"dirty,omitempty"`
	// Suspect has the Dirty of earlier unclean stops: content with a
	// modification time in one of them may be torn.
	Suspect []span `json:"suspect,omitempty"`
}

// span is a stretch of time, both ends included.
type span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (w span) contains(nanos int64) bool {
	return w.From.UnixNano() <= nanos && nanos <= w.To.UnixNano()
}

const (
	stateVersion = 1
	maxState     = 64 << 10
	maxSuspect   = 32 // spans kept apart; beyond that the nearest are merged
)

// everything is the span of a state that cannot be read.
var everything = span{From: time.Unix(0, 0).UTC(), To: time.Unix(0, math.MaxInt64).UTC()}

// readState reads the state of a root. One that cannot be understood makes
// everything suspect.
func readState(fsys durable.FS) (state, error) {
	content, _, err := durable.ReadFile(fsys, statePath, maxState)
	if durable.IsMissing(err) {
		return state{Version: stateVersion}, nil
	}
	if err != nil {
		return state{}, err
	}
	return parseState(content), nil
}

func parseState(content []byte) state {
	var st state
	if err := json.Unmarshal(content, &st); err != nil || st.Version != stateVersion || !st.sane() {
		return state{Version: stateVersion, Dirty: &everything}
	}
	return st
}

// sane refuses times that nanoseconds since 1970 cannot express.
func (st state) sane() bool {
	spans := st.Suspect
	if st.Dirty != nil {
		spans = append(slices.Clone(spans), *st.Dirty)
	}
	for _, w := range spans {
		if w.From.Year() < 1700 || w.To.Year() > 2262 || w.To.Before(w.From) {
			return false
		}
	}
	return true
}

func (st state) unclean() bool { return st.Committing || st.Dirty != nil }

// suspectsAfterStop is what a start has to suspect.
func (st state) suspectsAfterStop() []span {
	all := slices.Clone(st.Suspect)
	if st.Dirty != nil {
		all = append(all, *st.Dirty)
	}
	return mergeSpans(all, maxSuspect)
}

// mergeSpans sorts spans, joins those that overlap, and then the nearest until
// at most limit are left.
func mergeSpans(spans []span, limit int) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.From.Compare(b.From) })
	var merged []span
	for _, w := range spans {
		if last := len(merged) - 1; last >= 0 && !w.From.After(merged[last].To) {
			merged[last] = join(merged[last], w)
			continue
		}
		merged = append(merged, w)
	}
	for len(merged) > limit {
		nearest := 0
		for i := range len(merged) - 1 {
			if gap(merged, i) < gap(merged, nearest) {
				nearest = i
			}
		}
		merged[nearest] = join(merged[nearest], merged[nearest+1])
		merged = slices.Delete(merged, nearest+1, nearest+2)
	}
	return merged
}

// gap is how far span i is from the next one.
func gap(spans []span, i int) time.Duration { return spans[i+1].From.Sub(spans[i].To) }

// join is the least span that holds both.
func join(a, b span) span {
	if b.From.Before(a.From) {
		a.From = b.From
	}
	if b.To.After(a.To) {
		a.To = b.To
	}
	return a
}
