package config

import (
	"strings"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	for s, want := range map[string][2]time.Duration{
		"":              {0, 0},
		"01:00-05:00":   {time.Hour, 5 * time.Hour},
		"0:30 - 24:00":  {30 * time.Minute, 24 * time.Hour},
		"22:15-04:05":   {22*time.Hour + 15*time.Minute, 4*time.Hour + 5*time.Minute},
		" 23:59-00:00 ": {24*time.Hour - time.Minute, 0},
	} {
		c := mustLoad(t, "a.toml", "[tasks]\nwindow = \""+s+"\"")
		if from, to := c.Tasks.WindowTimes(); [2]time.Duration{from, to} != want {
			t.Errorf("%q is from %s to %s", s, from, to)
		}
	}
	for _, s := range []string{"1-5", "01:00", "01:00-", "-05:00", "01:00-25:00", "01:60-05:00", "24:00-05:00", "24:00-24:01",
		"01:00-05:0", "a:00-05:00", "+1:00-05:00", "01:00-05:00-06:00", "05:00-05:00", "300:00-01:00", "0x1:00-02:00"} {
		if _, problems := load(t, "a.toml", "[tasks]\nwindow = \""+s+"\""); !strings.Contains(problems, "tasks.window: want two times") {
			t.Errorf("%q: problems %q", s, problems)
		}
	}
}

func TestWorkers(t *testing.T) {
	for content, want := range map[string]int{
		"":                          1,
		"[tasks]\nworkers = 3":      3,
		"[scheduler]\nNumWorkers=4": 4,
		"[tasks]\nworkers = 2\n[scheduler]\nnumWorkers = 2": 2,
	} {
		if got := mustLoad(t, "a.toml", content).Tasks.WorkerCount(); got != want {
			t.Errorf("%q: %d workers", content, got)
		}
	}
	_, problems := load(t, "a.toml", "[tasks]\nworkers = 1\n[scheduler]\nnumWorkers = 2")
	if !strings.Contains(problems, "scheduler.numWorkers: tasks.workers, which is the same, has another value") {
		t.Errorf("problems %q", problems)
	}
}
