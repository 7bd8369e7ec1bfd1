package fsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

var _ oci.Copies = (*Store)(nil)

// WalkCopies is oci.Copies.WalkCopies: a readdir, and a stat for each blob.
// What a symbolic link leads to is left out, since it is not the root's.
func (s *Store) WalkCopies(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.Copy) error) error {
	return s.eachBlob(ctx, repo, s.fs.Lstat, func(d oci.Digest, info durable.Info) error {
		return fn(d, oci.Copy{Size: info.Size, Device: info.Device, Inode: info.Inode, Links: info.Links})
	})
}

// BlobsChanged is oci.Copies.BlobsChanged, by the times of the directories. A
// layout that was moved here whole has its own directory's, and one that came
// with a directory above it has that one's.
func (s *Store) BlobsChanged(ctx context.Context, repo oci.Repo) (time.Time, error) {
	last := int64(0)
	own := repoDir(repo)
	dirs := []string{own, own + "/" + blobsName, algorithmDir(repo, oci.SHA256), algorithmDir(repo, oci.SHA512)}
	for slash := strings.LastIndexByte(own, '/'); slash > 0; slash = strings.LastIndexByte(own[:slash], '/') {
		dirs = append(dirs, own[:slash])
	}
	for _, dir := range dirs {
		info, err := s.fs.Stat(dir)
		if err != nil && !durable.IsMissing(err) {
			return time.Time{}, s.fail("look at the blobs", repo, err)
		}
		last = max(last, info.Changed)
	}
	return time.Unix(0, last), nil
}

// Relink is oci.Copies.Relink:
//
//	link(from's blob, tmp), open(tmp), fstat
//	[pread..., to check the content], [fdatasync]
//	rename(tmp, to's blob)                   <- the copy is given up
//	[fsync(directory)]                       with commit
//
// Whoever deletes or pushes to's blob meanwhile does so before the rename or
// after it.
func (s *Store) Relink(ctx context.Context, d oci.Digest, from, to oci.Repo) (int64, error) {
	if s.readOnly {
		return 0, oci.ErrReadOnly
	}
	if !s.dedupe.on || s.dedupe.refused.Load() {
		return 0, errors.ErrUnsupported
	}
	if err := s.journal.begin(); err != nil {
		return 0, s.fail("link a blob", to, err)
	}
	defer s.journal.end()
	source, err := s.holderInfo(ctx, from, d)
	if err != nil {
		return 0, s.blobError("link a blob", from, err)
	}
	target, err := s.holderInfo(ctx, to, d)
	if err != nil || sameFile(source, target) {
		return 0, s.blobError("link a blob", to, err)
	}
	l, err := s.lend(d, func(tmp string) error { return s.fs.Link(blobPath(from, d), tmp) })
	if durable.CannotLink(err) {
		s.cannotLink(err)
		return 0, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if err != nil {
		return 0, s.blobError("link a blob", to, err)
	}
	defer s.giveBack(l)
	known := s.trusts(d, l.info)
	if err := s.verify(ctx, l); err != nil {
		return 0, s.fail("link a blob", from, err)
	}
	if l.info.Size != target.Size {
		return 0, oci.Errorf(oci.ErrSizeInvalid, "blob %s has %d bytes, and %d in %s", d, l.info.Size, target.Size, to)
	}
	// What the target's copy was acknowledged for, the other now stands for.
	if !known || !s.commit {
		if err := l.f.Sync(); err != nil {
			return 0, s.fail("link a blob", from, err)
		}
		s.trust(d, l.info)
	}
	freed, err := s.replaceCopy(to, d, l)
	if err == nil {
		s.note(ctx, from, d)
		s.note(ctx, to, d)
	}
	return freed, s.blobError("link a blob", to, err)
}

func sameFile(a, b durable.Info) bool { return a.Device == b.Device && a.Inode == b.Inode }

// replaceCopy renames a loan over a repository's own copy.
func (s *Store) replaceCopy(to oci.Repo, d oci.Digest, l *loan) (freed int64, err error) {
	key := blobKey{to, d}
	s.pending.enter(key)
	defer s.pending.leave(key)
	present, err := s.fs.Lstat(blobPath(to, d))
	switch {
	case err != nil:
		return 0, err
	case present.Kind != durable.Regular || present.Size != l.info.Size:
		return 0, oci.ErrBlobUnknown
	case sameFile(present, l.info):
		return 0, nil
	case s.usable(l) != nil:
		return 0, oci.ErrBlobUnknown
	}
	if err := s.fs.Rename(l.path, blobPath(to, d)); err != nil {
		return 0, err
	}
	if present.Links == 1 {
		freed = present.Size
	}
	if !s.commit {
		return freed, nil
	}
	return freed, s.dirs.Sync(s.fs, algorithmDir(to, d.Algorithm()))
}

// maxProgress bounds what is read of a job's progress, in bytes.
const maxProgress = 64 << 10

// LoadProgress is oci.Copies.LoadProgress.
func (s *Store) LoadProgress() ([]byte, error) { return s.LoadNote(dedupeNote, maxProgress) }

// SaveProgress is oci.Copies.SaveProgress.
func (s *Store) SaveProgress(progress []byte) error { return s.SaveNote(dedupeNote, progress, false) }
