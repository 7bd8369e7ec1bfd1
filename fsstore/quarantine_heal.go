package fsstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// QuarantineReason is oci.Quarantiner.QuarantineReason.
func (s *Store) QuarantineReason(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	if !s.quarantine.has(d) {
		return "", nil
	}
	r, err := s.loadRecord(d)
	if err != nil {
		return "", s.fail("read a record of the quarantine", repo, err)
	}
	if !slices.Contains(r.Repositories, repo) {
		return "", nil
	}
	return fmt.Sprintf("%s (%s)", r.Reason, r.At.Format(time.RFC3339)), nil
}

// arrived is called when a repository has got a blob. As a rule it costs one
// look at a number.
func (s *Store) arrived(ctx context.Context, repo oci.Repo, d oci.Digest) {
	if s.quarantine.has(d) {
		s.heal(ctx, repo, d)
	}
}

// heal gives a blob that one repository holds to all that lost it, and returns
// those that got it. The record goes when nobody is left that needs it; what
// fails is tried again when the blob arrives again, and after the next start.
// from "" only looks who still needs it.
func (s *Store) heal(ctx context.Context, from oci.Repo, d oci.Digest) (healed []oci.Repo) {
	ctx = context.WithoutCancel(ctx)
	s.quarantine.turn.Lock()
	defer s.quarantine.turn.Unlock()
	if !s.quarantine.has(d) {
		return nil
	}
	r, err := s.loadRecord(d)
	var left []oci.Repo
	for _, repo := range r.Repositories {
		state, err := s.layout(repo)
		if err == nil && state == absent {
			continue // it is not there any more
		}
		got := false
		if state == valid {
			got, err = s.healOne(ctx, from, repo, d)
		} else if err == nil {
			err = oci.ErrNameUnknown // until somebody mends it
		}
		if err != nil {
			left = append(left, repo)
		}
		if got {
			healed = append(healed, repo)
		}
	}
	if err == nil && len(left) == 0 {
		err = s.dropRecord(d)
	} else if err == nil && len(left) < len(r.Repositories) {
		r.Repositories = left
		err = s.saveRecord(d, r)
	}
	if err != nil {
		s.log.Warn("the record of a damaged blob cannot be kept up", "digest", d, "error", err)
	}
	if len(healed) > 0 {
		s.log.Info("a blob that was damaged is whole again", "digest", d, "repositories", healed, "left", len(left))
	}
	return healed
}

// healOne gives a blob to one repository that lost it, durably, whatever is
// asked of other writes: nobody will push it there again. got tells that it
// lacked the blob.
func (s *Store) healOne(ctx context.Context, from, repo oci.Repo, d oci.Digest) (got bool, err error) {
	info, err := s.fs.Stat(blobPath(repo, d))
	if err != nil || info.Kind != durable.Regular || s.quarantine.isCondemned(info) {
		if from == "" {
			return false, oci.ErrBlobUnknown
		}
		if err := s.linkBlob(ctx, from, repo, d); err != nil {
			s.log.Warn("a blob that was damaged cannot be put back", "repository", repo, "digest", d, "error", err)
			return false, err
		}
		got = true
	}
	if s.commit {
		return got, nil
	}
	f, err := s.fs.Open(blobPath(repo, d))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = s.syncChain(chainKey{repo, d.Algorithm()})
	}
	if err == nil {
		err = s.dirs.Sync(s.fs, algorithmDir(repo, d.Algorithm()))
	}
	return got, err
}

// copiesTried is how many copies are read in search of one that is right.
const copiesTried = 8

// soundCopy reads the copies of repositories until it finds one that is right.
func (s *Store) soundCopy(ctx context.Context, d oci.Digest, repos []oci.Repo) oci.Repo {
	for _, repo := range repos[:min(len(repos), copiesTried)] {
		f, err := s.fs.Open(blobPath(repo, d))
		if err != nil {
			continue
		}
		info, err := f.Stat()
		right := false
		if err == nil && info.Kind == durable.Regular && !s.quarantine.isCondemned(info) {
			right, err = s.readsRight(ctx, d, f, info.Size)
		}
		if right && err == nil {
			err = s.vouch(&loan{f: f, info: info, digest: d})
		}
		f.Close()
		if right && err == nil {
			return repo
		}
	}
	return ""
}

const (
	// damagedMost and damagedAge bound what is kept of damaged files, the
	// newest first, to look at. None is kept while space is short.
	damagedMost  = 64 << 20
	damagedAge   = 7 * 24 * time.Hour
	trimInterval = time.Hour
)

// trimQuarantine removes damaged files that are too many or too old. Their
// records stay.
func (s *Store) trimQuarantine() {
	if s.readOnly || s.quarantine.lost.Load() == 0 {
		return
	}
	s.quarantine.turn.Lock()
	defer s.quarantine.turn.Unlock()
	type kept struct {
		path string
		info durable.Info
	}
	var files []kept
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		// What cannot be listed is looked at the next time.
		_ = s.fs.ReadDir(damagedDir(a), func(name string, _ durable.Kind) error {
			path := damagedDir(a) + "/" + name
			if strings.HasSuffix(name, recordSuffix) {
				return nil
			}
			info, err := s.fs.Lstat(path)
			if err == nil && info.Kind != durable.Directory && !s.quarantine.isCondemned(info) {
				files = append(files, kept{path, info})
			}
			return nil
		})
	}
	slices.SortFunc(files, func(a, b kept) int { return int(min(max(b.info.Changed-a.info.Changed, -1), 1)) })
	short, total, now := s.space.need(0) != nil, int64(0), s.now().UnixNano()
	for _, f := range files {
		total += f.info.Size
		if !short && total <= damagedMost && now-f.info.Changed < int64(damagedAge) {
			continue
		}
		if err := s.fs.Remove(f.path); err != nil && !durable.IsMissing(err) {
			s.log.Warn("a damaged file cannot be removed", "path", f.path, "error", err)
		}
	}
}
