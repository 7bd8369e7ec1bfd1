package scrub

import (
	"context"
	"errors"

	"berth/oci"
)

// Row is one line of the table that people read: an entry of a repository's
// index, or a repository that cannot be read.
type Row struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`    // the digest of an untagged entry
	Status     string `json:"status"` // ok, affected or healed
	Blob       string `json:"blob,omitempty"`
	Error      string `json:"error,omitempty"`
}

// The values of Row.Status.
const (
	StatusOK       = "ok"
	StatusAffected = "affected"
	StatusHealed   = "healed"
)

// Table tells what a round found by what people know: repositories and tags, as
// they are now. It calls fn for each row until fn returns an error, which it
// returns. It reads indexes and nothing else.
func Table(ctx context.Context, store Store, report Report, fn func(Row) error) error {
	byRepo := map[oci.Repo][]Problem{}
	for _, p := range report.Problems {
		byRepo[p.Repository] = append(byRepo[p.Repository], p)
	}
	err := store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		defer delete(byRepo, repo)
		return rows(ctx, store, repo, byRepo[repo], fn)
	})
	if err != nil {
		return err
	}
	for _, p := range report.Problems { // repositories that are not listed
		if byRepo[p.Repository] == nil || p.Blob != "" {
			continue
		}
		if err := fn(row(p, "-")); err != nil {
			return err
		}
	}
	return nil
}

// rows are those of one repository.
func rows(ctx context.Context, store Store, repo oci.Repo, problems []Problem, fn func(Row) error) error {
	byEntry := map[oci.Digest][]Problem{}
	for _, p := range problems {
		if p.Blob == "" {
			if err := fn(row(p, "-")); err != nil {
				return err
			}
		}
		for _, e := range p.Entries {
			byEntry[e] = append(byEntry[e], p)
		}
	}
	data, _, err := store.LoadIndex(ctx, repo, "")
	if errors.Is(err, oci.ErrNameUnknown) {
		return nil
	}
	if stops(ctx, err) {
		return err
	}
	index, parsed := oci.ParseIndex(data)
	if err != nil || parsed != nil {
		return nil // the problem says so
	}
	for e := range index.Entries {
		name := string(e.Tag)
		if name == "" {
			name = string(e.Digest)
		}
		if len(byEntry[e.Digest]) == 0 {
			if err := fn(Row{Repository: string(repo), Tag: name, Status: StatusOK}); err != nil {
				return err
			}
		}
		for _, p := range byEntry[e.Digest] {
			if err := fn(row(p, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func row(p Problem, tag string) Row {
	r := Row{Repository: string(p.Repository), Tag: tag, Status: StatusAffected, Blob: string(p.Blob), Error: string(p.Kind) + ": " + p.Error}
	switch p.Outcome {
	case OutcomeHealed:
		r.Status = StatusHealed
	case OutcomeQuarantined:
		if p.Kind != KindMissing {
			r.Error += "; it is in quarantine"
		}
	}
	return r
}
