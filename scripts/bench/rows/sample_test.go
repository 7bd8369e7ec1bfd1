package rows

import (
	"strings"
	"testing"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

func rates(all ...int) []sample {
	var samples []sample
	for _, r := range all {
		samples = append(samples, sample{Done: client.Done{Ops: r, Elapsed: time.Second}})
	}
	return samples
}

func TestRatioPairsNeighbours(t *testing.T) {
	// The machine slowed down by ten after the first round.
	s := series{peer.Berth: rates(1000, 200, 300), peer.Docker: rates(500, 100, 100)}
	l := s.against(s.line("w", "m", rate, report.PerSecond), peer.Docker, rate, "≥ 2", atLeast(2))
	if l.Ratio != "2.00×" || l.Verdict != report.Pass || !strings.HasPrefix(l.Berth, "300/s") {
		t.Errorf("line %+v", l)
	}
	if l = s.against(l, peer.Docker, rate, "≥ 2.1", atLeast(2.1)); l.Verdict != report.Miss {
		t.Errorf("verdict %q", l.Verdict)
	}
}

func TestNoVerdictWithoutBerth(t *testing.T) {
	s := series{peer.Docker: rates(500)}
	if l := s.against(s.line("w", "m", rate, report.PerSecond), peer.Docker, rate, "", atLeast(2)); l.Verdict != report.Info || l.Berth != "" {
		t.Errorf("line %+v", l)
	}
}

func TestLastToFirst(t *testing.T) {
	var even, slowing []time.Duration
	at := time.Duration(0)
	for n := range manyTags {
		even = append(even, time.Duration(n+1)*time.Millisecond)
		at += time.Duration(n+1) * time.Microsecond
		slowing = append(slowing, at)
	}
	for _, c := range []struct {
		ends []time.Duration
		want report.Verdict
	}{{even, report.Pass}, {slowing, report.Miss}} {
		s := series{peer.Berth: {{Done: client.Done{Ends: c.ends}}}}
		if l := lastToFirst(s); l.Verdict != c.want {
			t.Errorf("line %+v, want %q", l, c.want)
		}
	}
}

func TestEveryTagHasItsTurn(t *testing.T) {
	seen := map[int]bool{}
	for n := range manyTags {
		seen[n*stride%manyTags] = true
	}
	if len(seen) != manyTags {
		t.Errorf("%d of %d tags have their turn", len(seen), manyTags)
	}
}
