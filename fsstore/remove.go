package fsstore

import (
	"context"
	"encoding/json"
	"path"
	"sync"

	"berth/fsstore/durable"
	"berth/oci"
)

// removal keeps the removal of a repository, and what comes into it, apart:
// each of its locks is held shared while a blob is published, and alone while a
// repository is removed.
type removal [64]sync.RWMutex

func (s *Store) removalLock(repo oci.Repo) *sync.RWMutex {
	return &s.removal[s.indexes.slot(repo)]
}

// DeleteRepo is oci.Repos.DeleteRepo:
//
//	[replace index.json by berth's own empty one]  where another tool made it
//	unlink(oci-layout)                       <- the repository is gone
//	[fsync(directory)]                       with commit
//	unlink(index.json), rmdir(blobs/<alg>), rmdir(blobs), rmdir(directory)
//	rmdir of directories above that are empty now
//	[fsync(the lowest directory that is left)]
//
// A directory that holds something else, such as another repository, stays.
func (s *Store) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	if s.readOnly {
		return oci.ErrReadOnly
	}
	if err := s.settleDoubt(repo); err != nil {
		return err
	}
	lock, mu := s.removalLock(repo), s.indexes.lock(repo)
	lock.Lock()
	defer lock.Unlock()
	mu.Lock()
	defer mu.Unlock()
	err := s.removable(ctx, repo, old)
	if err == nil {
		err = s.removeRepo(repo)
	}
	return s.fail("remove a repository", repo, err)
}

// removeRepo removes an empty repository; the caller holds its locks. Without
// oci-layout, berth's own empty index stands for nothing, and another one for
// somebody's damaged layout: a removal that is cut short leaves the first.
func (s *Store) removeRepo(repo oci.Repo) error {
	s.doubtIndex(repo, s.commit)
	err := s.fs.Remove(layoutPath(repo))
	s.layouts.forget(repo) // also when it failed: it may have happened
	if err == nil && s.commit {
		err = s.dirs.Sync(s.fs, repoDir(repo))
	}
	if err == nil {
		err = s.removeRest(repo)
	}
	if !s.commit {
		s.journal.loosen()
	} else if err == nil {
		err = s.syncGone(repo)
		s.doubtIndex(repo, err != nil)
	}
	return err
}

// removable fails unless a repository is as the caller saw it, and empty, and
// makes its index berth's own empty one.
func (s *Store) removable(ctx context.Context, repo oci.Repo, old oci.Version) error {
	state, err := s.readLayout(repo)
	if err != nil {
		return err
	}
	content, info, err := s.readIndexFile(repo)
	switch {
	case err != nil:
		return err
	case state != valid:
		return oci.ErrNameUnknown
	case !isVersion(info, old) || !isEmptyIndex(content):
		return oci.ErrConflict
	}
	if err := s.withoutBlobs(repo); err != nil {
		return err
	}
	err = s.WalkUploads(ctx, func(u oci.UploadInfo) error {
		if u.Repo == repo {
			return oci.ErrConflict
		}
		return nil
	})
	if err == nil && string(content) != emptyIndex {
		err = s.space.withReserve(func() error {
			_, err := s.swap(repo, info, []byte(emptyIndex))
			return err
		})
	}
	return err
}

// isEmptyIndex reports whether an index.json names nothing.
func isEmptyIndex(content []byte) bool {
	var index struct {
		Manifests *[]json.RawMessage `json:"manifests"`
	}
	return json.Unmarshal(content, &index) == nil && index.Manifests != nil && len(*index.Manifests) == 0
}

// withoutBlobs fails where something lies in the directories of a repository's
// blobs, whatever it is.
func (s *Store) withoutBlobs(repo oci.Repo) error {
	err := s.fs.ReadDir(repoDir(repo)+"/"+blobsName, func(name string, _ durable.Kind) error {
		if a := oci.Algorithm(name); a != oci.SHA256 && a != oci.SHA512 {
			return oci.ErrConflict
		}
		return s.fs.ReadDir(repoDir(repo)+"/"+blobsName+"/"+name, func(string, durable.Kind) error {
			return oci.ErrConflict
		})
	})
	if durable.IsMissing(err) {
		return nil
	}
	return err
}

// removeRest removes what is left of a repository that is not visible any more.
func (s *Store) removeRest(repo oci.Repo) error {
	for _, file := range []string{indexPath(repo), keptPath(repo)} {
		if err := s.fs.Remove(file); err != nil && !durable.IsMissing(err) {
			return err
		}
	}
	dir := repoDir(repo)
	dirs := []string{algorithmDir(repo, oci.SHA256), algorithmDir(repo, oci.SHA512), dir + "/" + blobsName}
	for ; dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		err := s.fs.RemoveDir(dir)
		switch {
		case err == nil || durable.IsMissing(err):
		case durable.IsNotEmpty(err):
			return nil // so are those above
		default:
			return err
		}
	}
	return nil
}

// syncGone makes the removal of a repository durable.
func (s *Store) syncGone(repo oci.Repo) error {
	for dir := repoDir(repo); ; dir = path.Dir(dir) {
		err := s.dirs.Sync(s.fs, dir)
		if !durable.IsMissing(err) || dir == "." {
			return err
		}
	}
}
