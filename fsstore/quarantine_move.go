package fsstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// takeAway moves a damaged file to quarantine, with all its names. It returns
// the repositories that lost it. Errors: ErrBlobUnknown where none did.
func (s *Store) takeAway(ctx context.Context, file durable.Info, r record) ([]oci.Repo, error) {
	s.quarantine.turn.Lock()
	defer s.quarantine.turn.Unlock()
	d := r.Digest
	before, err := s.loadRecord(d)
	if err != nil {
		return nil, err
	}
	r.Version, r.Size, r.At = recordVersion, file.Size, s.now().UTC().Truncate(time.Second)
	names := r.Repositories
	r.Repositories = union(names, before.Repositories)
	if err := s.saveRecord(d, r); err != nil {
		return nil, err
	}
	s.quarantine.add(d)
	s.quarantine.condemn(file)
	s.dedupe.trusted.remove(s.trustKey(d, file))
	lost, err := s.takeNames(ctx, d, file, names)
	if err == nil && len(lost) > 0 {
		lost, err = s.takeRest(ctx, file, r, lost)
	}
	if err != nil {
		return nil, err // it stays condemned
	}
	s.pardonIfAlone(d, file)
	if len(lost) > 0 {
		return lost, nil
	}
	if len(before.Repositories) == 0 {
		err = s.dropRecord(d)
	} else {
		err = s.saveRecord(d, before)
	}
	return nil, cmp.Or(err, oci.ErrBlobUnknown)
}

// takeRest takes the names away that were given to a damaged file while others
// were taken, by a mount.
func (s *Store) takeRest(ctx context.Context, file durable.Info, r record, lost []oci.Repo) ([]oci.Repo, error) {
	for range 3 {
		if in, err := s.fs.Lstat(damagedPath(r.Digest)); err != nil || in.Links <= 1 {
			return lost, nil
		}
		found, err := s.namesOf(ctx, "", r.Digest)
		if err != nil {
			return nil, err
		}
		more := slices.DeleteFunc(found, func(n named) bool { return !sameFile(n.info, file) })
		if len(more) == 0 {
			return lost, nil // loans, which nobody will use
		}
		var repos []oci.Repo
		for _, n := range more {
			repos = append(repos, n.repo)
		}
		r.Repositories = union(r.Repositories, repos)
		if err := s.saveRecord(r.Digest, r); err != nil {
			return nil, err
		}
		taken, err := s.takeNames(ctx, r.Digest, file, repos)
		if err != nil {
			return nil, err
		}
		lost = union(lost, taken)
	}
	return lost, nil
}

func union(a, b []oci.Repo) []oci.Repo {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// takeNames takes a damaged file away from repositories: one of its names is
// moved to quarantine, unless it has one there. It returns those that lost it.
func (s *Store) takeNames(ctx context.Context, d oci.Digest, file durable.Info, repos []oci.Repo) (lost []oci.Repo, err error) {
	for _, repo := range repos {
		taken, failed := s.takeName(repo, d, file)
		if taken {
			lost = append(lost, repo)
			s.forgetHolder(ctx, repo, d)
			failed = s.dirs.Sync(s.fs, algorithmDir(repo, d.Algorithm()))
		}
		err = errors.Join(err, failed)
	}
	if len(lost) > 0 {
		err = errors.Join(err, s.fs.SyncDir(damagedDir(d.Algorithm())))
	}
	return lost, err
}

// takeName takes one name away, if it still leads to the file.
func (s *Store) takeName(repo oci.Repo, d oci.Digest, file durable.Info) (taken bool, err error) {
	key, from, to := blobKey{repo, d}, blobPath(repo, d), damagedPath(d)
	s.pending.enter(key)
	defer s.pending.leave(key)
	info, err := s.fs.Stat(from)
	if durable.IsMissing(err) || err == nil && !sameFile(info, file) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	there, err := s.fs.Lstat(to)
	if err != nil && !durable.IsMissing(err) {
		return false, err
	}
	if durable.IsMissing(err) || !sameFile(there, file) {
		err = s.fs.Rename(from, to)
		if err == nil {
			return true, nil
		}
		if !durable.IsElsewhere(err) && !durable.IsFull(err) {
			return false, err
		}
	}
	err = s.fs.Remove(from) // to keep it matters less than to be rid of it
	return err == nil, err
}

// pardonIfAlone ends the watch for a damaged file that has no name any more
// but the one in quarantine.
func (s *Store) pardonIfAlone(d oci.Digest, file durable.Info) {
	in, err := s.fs.Lstat(damagedPath(d))
	if durable.IsMissing(err) || err == nil && (!sameFile(in, file) || in.Links <= 1) {
		s.quarantine.pardon(file)
	}
}

// resumeQuarantine ends what an earlier process left unfinished: names of
// damaged files that were not taken away, and repositories that were not given
// what had come again.
func (s *Store) resumeQuarantine(ctx context.Context) {
	for _, d := range s.quarantine.all() {
		if err := s.resumeRecord(ctx, d); err != nil {
			s.log.Warn("cannot go on with a blob in quarantine", "digest", d, "error", err)
		}
	}
	s.trimQuarantine()
}

func (s *Store) resumeRecord(ctx context.Context, d oci.Digest) error {
	r, err := s.loadRecord(d)
	if err != nil {
		return err
	}
	file, err := s.fs.Lstat(damagedPath(d))
	if err != nil && !durable.IsMissing(err) {
		return err
	}
	condemned := err == nil && s.quarantine.isCondemned(file)
	names, err := s.namesOf(context.WithoutCancel(ctx), "", d)
	if err != nil {
		return err
	}
	if condemned {
		if err := s.takeLeft(ctx, d, file, union(r.Repositories, names.of(file))); err != nil {
			return err
		}
	}
	s.heal(ctx, s.soundCopy(ctx, d, names.others(file)), d)
	return nil
}

// takeLeft takes names away that an earlier process should have.
func (s *Store) takeLeft(ctx context.Context, d oci.Digest, file durable.Info, repos []oci.Repo) error {
	if err := s.journal.begin(); err != nil {
		return err
	}
	defer s.journal.end()
	s.quarantine.turn.Lock()
	defer s.quarantine.turn.Unlock()
	if _, err := s.takeNames(ctx, d, file, repos); err != nil {
		return err
	}
	s.pardonIfAlone(d, file)
	return nil
}
