package report

import (
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	lines := []Line{
		{Work: "pull", Measure: "CPU", Berth: "1", Target: "≤ 1", Verdict: Pass},
		{Work: "pull", Measure: "rate", Berth: "2", Target: "≥ 3", Verdict: Miss},
	}
	var b strings.Builder
	Markdown(&b, lines)
	got := strings.Split(b.String(), "\n")
	if len(got) != 5 || !strings.HasPrefix(got[2], "| pull | CPU ") || !strings.HasPrefix(got[3], "|      | rate") {
		t.Errorf("table:\n%s", b.String())
	}
	if Missed(lines) != 1 {
		t.Errorf("%d missed, want 1", Missed(lines))
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{PerSecond(12.34), "12.3/s"},
		{PerSecond(1234567), "1,234,567/s"},
		{MiB(1.5 * (1 << 20)), "1.5 MiB"},
		{Milliseconds(0.00312), "3.12 ms"},
		{Milliseconds(0.0123), "12.3 ms"},
		{Spread("5", 0.001), "5"},
		{Spread("5", 0.04), "5 ±4 %"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
