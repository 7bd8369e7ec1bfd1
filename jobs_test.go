package main

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"berth/config"
	"berth/tasks"
)

// TestJobsOfRoots: the jobs of a root come and go with it.
func TestJobsOfRoots(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	u := newUpkeep(config.Default(), nil, log)
	names := func() (all []string) {
		for _, st := range u.List() {
			all = append(all, st.Name)
		}
		return all
	}
	roots := map[string]*localRoot{}
	for name, root := range map[string]config.Root{
		"":      {Dedupe: true},
		"/usb":  {Dedupe: true},
		"/read": {Dedupe: true, ReadOnly: true},
		"/off":  {},
	} {
		root.RootDirectory = t.TempDir()
		l, err := openLocal(name, root, log, u)
		if err != nil {
			t.Fatal(err)
		}
		roots[name] = l
	}
	if got, want := names(), []string{"dedupe", "dedupe /usb"}; !slices.Equal(dedupes(got), want) {
		t.Errorf("jobs %v, want %v", got, want)
	}
	failed := errors.New("failed")
	seen := 0
	err := u.each(t.Context(), func(o *openRoot) error {
		seen++
		if o.name == "/usb" {
			return failed
		}
		return nil
	})
	if seen != len(roots) || !errors.Is(err, failed) {
		t.Errorf("each saw %d roots, and failed with %v", seen, err)
	}
	if err := roots["/usb"].Close(); err != nil {
		t.Error(err)
	}
	if got, want := names(), []string{"dedupe"}; !slices.Equal(dedupes(got), want) {
		t.Errorf("jobs after a root has gone: %v, want %v", got, want)
	}
	for _, l := range roots {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := names(); len(got) != 0 {
		t.Errorf("jobs left: %v", got)
	}
}

// dedupes leaves out other jobs.
func dedupes(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return len(n) < 6 || n[:6] != "dedupe" })
}

// TestTaskLimits: what the configuration says is what the scheduler keeps to.
func TestTaskLimits(t *testing.T) {
	got := taskLimits(config.Tasks{IORate: 1 << 20, Pressure: 30, Window: "22:00-04:30"})
	want := tasks.Limits{Rate: 1 << 20, Pressure: 30, Window: tasks.Window{From: 22 * 3600e9, To: 4.5 * 3600e9}}
	if got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
}
