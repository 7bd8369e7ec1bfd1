package registry

import (
	"context"
	"errors"

	"berth/oci"
)

// Page asks for part of a list.
type Page struct {
	Last string // begin after this entry; "" at the start; need not exist
	N    int    // at most so many; negative: no limit asked for
}

// The most that one answer lists: what is more has to be asked for again.
const (
	maxTags  = 100_000
	maxRepos = 10_000
)

func (p Page) limit(most int) int {
	if p.N < 0 {
		return most
	}
	return min(p.N, most)
}

// Tags lists a repository's tags in byte order (end-8). more tells whether
// tags after the last one returned exist. Errors: ErrNameUnknown.
func (r *Registry) Tags(ctx context.Context, repo oci.Repo, page Page) (tags []oci.Tag, more bool, err error) {
	s, err := r.load(ctx, repo)
	if err != nil {
		return nil, false, err
	}
	n := page.limit(maxTags)
	if n == 0 {
		return nil, false, nil
	}
	tags, more = s.index.Tags(oci.Tag(page.Last), n)
	return tags, more, nil
}

// Index is a repository's present index, for work in the background. Errors:
// ErrNameUnknown.
func (r *Registry) Index(ctx context.Context, repo oci.Repo) (*oci.Index, error) {
	s, err := r.load(ctx, repo)
	if err != nil {
		return nil, err
	}
	return s.index, nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// Catalog lists repositories in byte order of their names.
func (r *Registry) Catalog(ctx context.Context, page Page) (repos []oci.Repo, more bool, err error) {
	n := page.limit(maxRepos)
	if n == 0 {
		return nil, false, nil
	}
	err = r.store.WalkRepos(ctx, oci.Repo(page.Last), func(repo oci.Repo) error {
		if len(repos) == n {
			more = true
			return errEnough
		}
		repos = append(repos, repo)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, err
	}
	return repos, more, nil
}
