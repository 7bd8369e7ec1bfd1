package fsstore_test

import (
	"context"
	"slices"
	"sync"

	"berth/oci"
)

// hints is an index in memory that tells lies besides.
type hints struct {
	mu      sync.Mutex
	lies    []oci.Repo
	holders map[oci.Digest][]oci.Repo
	asked   int
	err     error // of every call
}

var _ oci.Locations = (*hints)(nil)

func newHints(lies ...oci.Repo) *hints {
	return &hints{lies: lies, holders: map[oci.Digest][]oci.Repo{}}
}

func (h *hints) Holders(_ context.Context, d oci.Digest, most int) ([]oci.Repo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	told := slices.Concat(h.holders[d], h.lies)
	if most > 0 && len(told) > most {
		told = told[len(told)-most:]
	}
	return told, h.err
}

func (h *hints) Add(_ context.Context, d oci.Digest, repos ...oci.Repo) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, repo := range repos {
		if !slices.Contains(h.holders[d], repo) {
			h.holders[d] = append(h.holders[d], repo)
		}
	}
	return h.err
}

func (h *hints) Remove(_ context.Context, d oci.Digest, repo oci.Repo) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holders[d] = slices.DeleteFunc(h.holders[d], func(r oci.Repo) bool { return r == repo })
	return h.err
}

func (h *hints) Count(context.Context) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.holders)), h.err
}
