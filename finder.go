package main

import (
	"context"
	"slices"
	"sync/atomic"

	"berth/oci"
)

// finder asks the dedupe indexes of all roots which repositories may hold a
// blob, and calls them by the names that they have in the registry. What it
// says is a hint, like theirs.
type finder struct{ roots []*foundIn }

// foundIn is one root: index is that of its present opening, nil while there is
// none.
type foundIn struct {
	prefix string // of the names there, "usb/"; "": the root directory
	index  atomic.Pointer[oci.Locations]
}

// add makes room for a root. All are added before the first question.
func (f *finder) add(prefix string) *foundIn {
	one := &foundIn{prefix: prefix}
	f.roots = append(f.roots, one)
	return one
}

// open notes the index of a root that was opened; nil: it has none.
func (f *foundIn) open(index oci.Locations) {
	if index == nil {
		f.index.Store(nil)
		return
	}
	f.index.Store(&index)
}

// Holders is oci.Locations.Holders, of up to most repositories in each root;
// those of the one that was added first come last.
func (f *finder) Holders(ctx context.Context, d oci.Digest, most int) ([]oci.Repo, error) {
	var all []oci.Repo
	failed := error(oci.ErrNoHint)
	for _, root := range slices.Backward(f.roots) {
		index := root.index.Load()
		if index == nil {
			continue
		}
		repos, err := (*index).Holders(ctx, d, most)
		if err != nil {
			continue // closed, or not to be asked now
		}
		failed = nil
		for _, repo := range repos {
			all = append(all, oci.Repo(root.prefix)+repo)
		}
	}
	return all, failed
}
