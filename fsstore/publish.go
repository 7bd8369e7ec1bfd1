package fsstore

import (
	"errors"
	"fmt"
	"io/fs"

	"berth/fsstore/durable"
	"berth/oci"
)

// candidate is a complete, verified file that is to become a blob. With commit
// its content is durable.
type candidate struct {
	path string // in the private directory
	size int64
	// link leaves path as it is and gives the file a second name.
	link bool
}

// publish makes a candidate a blob of a repository:
//
//	[mkdir the directories]
//	rename(candidate, blobs/<alg>/<hex>)     <- the blob exists
//	[index.json, oci-layout]                 <- the repository exists
//	fsync(blobs/<alg>), [directories above]  with commit
//
// A blob that is there already with the same size stays, and the candidate is
// removed. On failure no name is left that was not there before.
func (s *Store) publish(repo oci.Repo, d oci.Digest, c candidate) error {
	lock := s.removalLock(repo)
	lock.RLock()
	defer lock.RUnlock()
	if err := s.writable(repo); err != nil {
		return err
	}
	key := blobKey{repo, d}
	s.pending.enter(key)
	defer s.pending.leave(key)
	existed, err := s.place(repo, d, c)
	if err != nil {
		return err
	}
	err = s.settleBlob(repo, d, existed)
	if err == nil {
		s.pending.trust(key)
		return nil
	}
	if existed {
		return err
	}
	if gone := s.fs.Remove(blobPath(repo, d)); gone != nil && !durable.IsMissing(gone) {
		s.pending.doubt(key)
	}
	return err
}

// place gives a candidate its final name, or finds the blob there.
func (s *Store) place(repo oci.Repo, d oci.Digest, c candidate) (existed bool, err error) {
	to := blobPath(repo, d)
	if c.link { // a rename tells it by itself
		if s.isThere(c, to) {
			return true, nil
		}
	}
	err = s.move(c, to)
	if durable.IsMissing(err) {
		s.chains.remove(chainKey{repo, d.Algorithm()})
		s.layouts.remove(repo) // somebody may have removed it
		if err := s.makeDirs(algorithmDir(repo, d.Algorithm())); err != nil {
			return false, err
		}
		err = s.move(c, to)
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, s.undoMove(c, to, err)
	}
	if s.isThere(c, to) {
		return true, s.drop(c)
	}
	return false, s.supplant(c, to)
}

// isThere reports whether a blob's file is what the candidate is, so that it
// can stay. One that may be torn is not: the candidate is whole.
func (s *Store) isThere(c candidate, to string) bool {
	present, err := s.fs.Stat(to)
	return err == nil && present.Kind == durable.Regular && present.Size == c.size && !s.suspects.doubts(present) && !s.quarantine.isCondemned(present)
}

func (s *Store) move(c candidate, to string) error {
	if c.link {
		return s.fs.Link(c.path, to)
	}
	return s.fs.Publish(c.path, to)
}

// undoMove undoes a move that failed and was done nevertheless. Nobody else
// gives the blob its name meanwhile, and it had none before: a rename that was
// done takes the candidate's name away, and before a link it was looked.
func (s *Store) undoMove(c candidate, to string, err error) error {
	if err == nil || durable.IsMissing(err) || c.link && durable.CannotLink(err) {
		return err
	}
	if _, lost := s.fs.Lstat(c.path); c.link || durable.IsMissing(lost) {
		_ = s.fs.Remove(to)
	}
	return err
}

// supplant replaces a file that has a blob's name and is not, or may not be, it.
func (s *Store) supplant(c candidate, to string) error {
	if c.link {
		if err := s.fs.Remove(to); err != nil && !durable.IsMissing(err) {
			return err
		}
		return s.fs.Link(c.path, to)
	}
	return s.fs.Rename(c.path, to)
}

func (s *Store) drop(c candidate) error {
	if c.link {
		return nil
	}
	if err := s.fs.Remove(c.path); err != nil && !durable.IsMissing(err) {
		return err
	}
	return nil
}

// settleBlob makes a placed blob's repository visible, and with commit both
// durable.
func (s *Store) settleBlob(repo oci.Repo, d oci.Digest, existed bool) error {
	if err := s.ensureLayout(repo); err != nil {
		return err
	}
	if !s.commit {
		return nil
	}
	if existed {
		return s.syncExisting(repo, d)
	}
	if key := (chainKey{repo, d.Algorithm()}); !s.chains.has(key) {
		return s.syncChain(key)
	}
	return s.dirs.Sync(s.fs, algorithmDir(repo, d.Algorithm()))
}

// ensureLayout makes a repository visible that has directories already.
func (s *Store) ensureLayout(repo oci.Repo) error {
	if s.layouts.has(repo) {
		return nil
	}
	mu := s.indexes.lock(repo)
	mu.Lock()
	defer mu.Unlock()
	state, err := s.layout(repo)
	switch {
	case err != nil || state == valid:
		return err
	case state == refused:
		return fmt.Errorf("repository %s has no valid oci-layout: %w", repo, oci.ErrNameUnknown)
	}
	return s.complete(repo)
}

// syncExisting makes a blob durable that was there already. What is older than
// this process was durable, or made so before its first write.
func (s *Store) syncExisting(repo oci.Repo, d oci.Digest) error {
	f, err := s.fs.Open(blobPath(repo, d))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Changed < s.opened-int64(markMargin) {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := s.syncChain(chainKey{repo, d.Algorithm()}); err != nil {
		return err
	}
	return s.dirs.Sync(s.fs, algorithmDir(repo, d.Algorithm()))
}
