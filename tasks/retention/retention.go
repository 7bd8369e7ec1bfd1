// Package retention removes tags that the policies of their repositories do not
// keep. It owns the policies and what they decide; the removal is an edit of the
// index like any other, and the content that nothing names any more is left to
// garbage collection.
//
// Invariants: a tag that no policy names is kept, and so is one that was pushed
// or pulled while the decision was made. Each removal is logged with the policy
// and the reason.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/usage"
)

// Store is what the job needs of a store.
type Store interface {
	oci.Repos
	StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error)
}

// Options of a Job. Those without a default are needed.
type Options struct {
	Registry *registry.Registry
	Store    Store                        // of the registry
	Sets     func(oci.Repo) *Set          // the policies that may apply to a repository; nil: none do
	Pinned   func(oci.Repo, oci.Tag) bool // tags that stay, whatever the policies say; nil: none
	Usage    *usage.Memory                // nil: the times of manifests stand for those of use
	Log      *slog.Logger                 // nil: discard
	Now      func() time.Time             // nil: time.Now
}

// Job applies the policies of one registry.
type Job struct{ opts Options }

// Report tells what a round did.
type Report struct {
	Repositories int64 `json:"repositories"` // that a policy applies to
	Tags         int64 `json:"tags"`         // in them
	Removed      int64 `json:"removed"`      // tags; with DryRun those that would have been
	Failed       int64 `json:"failed"`       // repositories that could not be looked into or changed
}

func (r Report) String() string {
	s := fmt.Sprintf("%d of %d tags removed in %d repositories", r.Removed, r.Tags, r.Repositories)
	if r.Failed > 0 {
		s += fmt.Sprintf(", %d repositories failed", r.Failed)
	}
	return s
}

// New makes a Job.
func New(opts Options) *Job {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Pinned == nil {
		opts.Pinned = func(oci.Repo, oci.Tag) bool { return false }
	}
	return &Job{opts: opts}
}

// Run is one round: it looks at each repository that a policy applies to, and
// removes the tags that are not kept. It fails only where ctx ends or the
// repositories cannot be listed.
func (j *Job) Run(ctx context.Context, round *tasks.Round) (Report, error) {
	var report Report
	err := j.opts.Store.WalkRepos(ctx, "", func(repo oci.Repo) error {
		set := j.opts.Sets(repo)
		policy := set.For(repo)
		if policy == nil || len(policy.KeepTags) == 0 {
			return ctx.Err()
		}
		if err := round.Step(ctx, 0); err != nil {
			return err
		}
		report.Repositories++
		round.Progress(report.Repositories, 0, "repositories")
		err := j.repository(ctx, repo, set, policy, &report)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, oci.ErrNameUnknown), errors.Is(err, oci.ErrReadOnly), errors.Is(err, oci.ErrUnavailable):
		case err != nil:
			report.Failed++
			j.opts.Log.Warn("retention cannot be applied to a repository", "repository", repo, "error", err)
		}
		return nil
	})
	round.Say(report.String())
	return report, err
}

// repository applies a policy to one repository.
func (j *Job) repository(ctx context.Context, repo oci.Repo, set *Set, policy *Policy, report *Report) error {
	index, err := j.opts.Registry.Index(ctx, repo)
	if err != nil {
		return err
	}
	tags, seen, err := j.tags(ctx, repo, index)
	if err != nil {
		return err
	}
	report.Tags += int64(len(tags))
	gone := map[oci.Digest]map[oci.Tag]Verdict{}
	for _, v := range policy.Decide(tags, set.Delay, j.opts.Now()) {
		if !v.Delete || j.opts.Pinned(repo, v.Name) {
			continue
		}
		if set.DryRun {
			report.Removed++
			j.say("a tag would be removed", repo, policy, v)
			continue
		}
		if gone[v.Digest] == nil {
			gone[v.Digest] = map[oci.Tag]Verdict{}
		}
		gone[v.Digest][v.Name] = v
	}
	for d, verdicts := range gone {
		x := registry.Expiry{Digest: d, Tags: slices.Sorted(maps.Keys(verdicts))}
		x.Still = func(t oci.Tag) bool { return j.opts.Usage.Times(repo, t, d) == seen[t] }
		removed, err := j.opts.Registry.Expire(ctx, repo, x)
		if err != nil {
			return err
		}
		for _, t := range removed {
			report.Removed++
			j.say("a tag was removed", repo, policy, verdicts[t])
		}
	}
	return nil
}

// tags are those of a repository with their times. Where a push was not noted,
// the time of the manifest stands for it, which is that push or an earlier one.
// seen is what was known of their use.
func (j *Job) tags(ctx context.Context, repo oci.Repo, index *oci.Index) (tags []Tag, seen map[oci.Tag]usage.Times, err error) {
	seen = map[oci.Tag]usage.Times{}
	for e := range index.Entries {
		if e.Tag == "" || e.Digest == "" || index.Tagged(e.Tag) != e {
			continue
		}
		t := j.opts.Usage.Times(repo, e.Tag, e.Digest)
		seen[e.Tag] = t
		if t.Pushed.IsZero() {
			info, err := j.opts.Store.StatBlob(ctx, repo, e.Digest)
			if err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
				return nil, nil, err
			}
			t.Pushed = info.Modified
		}
		tags = append(tags, Tag{Name: e.Tag, Digest: e.Digest, Pushed: t.Pushed, Pulled: t.Pulled})
	}
	return tags, seen, nil
}

func (j *Job) say(what string, repo oci.Repo, policy *Policy, v Verdict) {
	j.opts.Log.Info("retention: "+what, "repository", repo, "tag", v.Name, "digest", v.Digest,
		"policy", policy.Name, "reason", v.Reason, "pushed", v.Pushed, "pulled", v.Pulled)
}
