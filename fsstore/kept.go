package fsstore

import (
	"errors"
	"io/fs"

	"berth/oci"
)

// hasKept reports whether the repository's last durable index is kept, or it
// has none, and notes that its index is about to be replaced.
func (j *journal) hasKept(repo oci.Repo) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, kept := j.kept[repo]; !kept {
		return false
	}
	j.kept[repo] = keptBusy
	return true
}

// setKept notes that hasKept is true from now on.
func (j *journal) setKept(repo oci.Repo) {
	j.mu.Lock()
	j.kept[repo] = keptBusy
	j.mu.Unlock()
}

// replaced notes that the index was replaced, so that what is kept stays until
// the next settling but one.
func (j *journal) replaced(repo oci.Repo) {
	j.mu.Lock()
	if _, kept := j.kept[repo]; kept {
		j.kept[repo] = j.round
	}
	j.mu.Unlock()
}

// keepIndex keeps a repository's index before its first replacement since it
// was settled, for the case that a power cut tears the new one:
//
//	link(index.json, .berth/kept/<repository>), fsync(.berth/kept)
//
// It reports false where that cannot be done; the new index must then be
// durable before it is renamed into place.
func (s *Store) keepIndex(repo oci.Repo) bool {
	if s.journal.hasKept(repo) {
		return true
	}
	kept := keptPath(repo)
	err := s.fs.Link(indexPath(repo), kept)
	if errors.Is(err, fs.ErrExist) { // of an earlier burst; what it keeps is older
		if err = s.fs.Remove(kept); err == nil {
			err = s.fs.Link(indexPath(repo), kept)
		}
	}
	if err == nil {
		err = s.dirs.Sync(s.fs, keptDir)
	}
	if err != nil {
		return false
	}
	s.journal.setKept(repo)
	return true
}
