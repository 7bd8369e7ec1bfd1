package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"berth/oci"
)

// told is an index of one answer.
type told struct {
	oci.Locations
	repos []oci.Repo
	err   error
}

func (t told) Holders(context.Context, oci.Digest, int) ([]oci.Repo, error) { return t.repos, t.err }

// The finder asks the roots that are open and gives their names in the
// registry.
func TestFinder(t *testing.T) {
	var f finder
	ask := func(want ...oci.Repo) {
		t.Helper()
		got, err := f.Holders(t.Context(), oci.SHA256.FromString("x"), 8)
		if want == nil && !errors.Is(err, oci.ErrNoHint) || want != nil && err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	ask()
	root, disk := f.add(""), f.add("disk/one/")
	ask()
	root.open(told{repos: []oci.Repo{"a", "b/c"}})
	ask("a", "b/c")
	disk.open(told{repos: []oci.Repo{"d"}})
	ask("disk/one/d", "a", "b/c")
	root.open(told{err: oci.ErrNoHint})
	ask("disk/one/d")
	disk.open(nil)
	ask()
	root.open(told{})
	if got, err := f.Holders(t.Context(), oci.SHA256.FromString("x"), 8); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
