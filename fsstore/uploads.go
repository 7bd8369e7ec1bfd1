package fsstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// newUploadID makes a random UUID (version 4).
func newUploadID() oci.UploadID {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return oci.UploadID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

// CreateUpload is oci.Uploads.CreateUpload: open(O_CREAT), [write the side
// file], [fsync(uploads)].
func (s *Store) CreateUpload(ctx context.Context, repo oci.Repo, algorithm oci.Algorithm) (oci.UploadID, error) {
	if s.readOnly {
		return "", oci.ErrReadOnly
	}
	if err := s.space.need(0); err != nil {
		return "", s.fail("begin an upload", repo, err)
	}
	if s.commit {
		if err := s.journal.begin(); err != nil {
			return "", s.fail("begin an upload", repo, err)
		}
		defer s.journal.end()
	}
	one := newSession(repo, newUploadID())
	close(one.ready)
	one.busy = true
	one.modified.Store(s.now().UnixNano())
	one.reset(algorithm)
	if err := s.beginUpload(one); err != nil {
		s.removeUpload(one)
		s.shut(one)
		return "", s.fail("begin an upload", repo, err)
	}
	s.uploads.mu.Lock()
	s.uploads.open[one.id] = one
	s.uploads.mu.Unlock()
	s.release(one)
	return one.id, nil
}

func (s *Store) beginUpload(one *session) (err error) {
	one.file, err = s.fs.Create(one.path)
	if durable.IsMissing(err) {
		if err = s.makeDirs(uploadsDir); err == nil {
			one.file, err = s.fs.Create(one.path)
		}
	}
	switch {
	case err != nil:
		return err
	case one.algorithm != oci.SHA256 || hasLongName(one.repo):
		return s.record(one)
	case s.commit:
		return s.dirs.Sync(s.fs, uploadsDir)
	}
	return nil
}

// removeUpload removes a session's files.
func (s *Store) removeUpload(one *session) {
	_ = s.fs.Remove(one.path)
	_ = s.fs.Remove(sidePath(one.path))
	if one.named {
		_ = s.fs.Remove(loanPath(one.path))
	}
}

// StatUpload is oci.Uploads.StatUpload.
func (s *Store) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	u := &s.uploads
	u.mu.Lock()
	one := u.open[id]
	u.mu.Unlock()
	if one == nil {
		claimed, busy, err := s.tryClaim(ctx, repo, id)
		if busy != nil {
			return s.StatUpload(ctx, repo, id)
		}
		if err != nil {
			return oci.UploadInfo{}, err
		}
		s.release(claimed)
		one = claimed
	}
	if one.repo != repo {
		return oci.UploadInfo{}, oci.ErrUploadUnknown
	}
	select {
	case <-one.ready:
	case <-ctx.Done():
		return oci.UploadInfo{}, ctx.Err()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if one.failed != nil {
		return oci.UploadInfo{}, one.failed
	}
	return oci.UploadInfo{ID: id, Repo: repo, Size: one.size.Load(), Modified: one.age()}, nil
}

// AppendUpload is oci.Uploads.AppendUpload.
func (s *Store) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (int64, error) {
	var size int64
	err := s.withUpload(ctx, repo, id, at, func(one *session) error {
		err := s.receiveChunk(ctx, one, r)
		err = s.keepProgress(one, err)
		size = one.size.Load()
		return err
	})
	return size, s.fail("write an upload", repo, err)
}

// withUpload runs an operation that writes to a session.
func (s *Store) withUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, write func(*session) error) error {
	if s.readOnly {
		return oci.ErrReadOnly
	}
	one, err := s.claim(ctx, repo, id)
	if err != nil {
		return err
	}
	defer s.release(one)
	if size := one.size.Load(); at != oci.AtEnd && at != size {
		return oci.Errorf(oci.ErrRangeInvalid, "the upload has %d bytes, so the next one is not at %d", size, at)
	}
	if err := s.journal.begin(); err != nil {
		return err
	}
	defer s.journal.end()
	return write(one)
}

// keepProgress records what has arrived, also where receiving it failed. A
// session whose content may be damaged is removed.
func (s *Store) keepProgress(one *session, err error) error {
	var broken *brokenError
	if err == nil || !errors.As(err, &broken) {
		if failed := s.record(one); failed != nil {
			err = errors.Join(err, failed)
			if !durable.IsFull(failed) {
				broken = &brokenError{failed}
			}
		}
	}
	if one.cancelled.Load() {
		return oci.ErrUploadUnknown
	}
	if broken != nil {
		s.endUpload(one)
	}
	return err
}

// endUpload removes a session that the caller has claimed.
func (s *Store) endUpload(one *session) {
	s.removeUpload(one)
	s.uploads.mu.Lock()
	if s.uploads.open[one.id] == one {
		delete(s.uploads.open, one.id)
	}
	s.uploads.mu.Unlock()
}

// CancelUpload is oci.Uploads.CancelUpload. A request that is writing to the
// session fails at its next byte.
func (s *Store) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	if s.readOnly {
		return oci.ErrReadOnly
	}
	u := &s.uploads
	u.mu.Lock()
	one := u.open[id]
	if one != nil && one.repo != repo {
		u.mu.Unlock()
		return oci.ErrUploadUnknown
	}
	idle := one != nil && !one.busy
	if one != nil {
		one.cancelled.Store(true)
		one.wake()
		delete(u.open, id)
	}
	u.mu.Unlock()
	if idle {
		s.shut(one)
	}
	err := s.fs.Remove(uploadPath(repo, id))
	_ = s.fs.Remove(sidePath(uploadPath(repo, id)))
	_ = s.fs.Remove(loanPath(uploadPath(repo, id)))
	if durable.IsMissing(err) {
		return oci.ErrUploadUnknown
	}
	return s.fail("cancel an upload", repo, err)
}

// WalkUploads is oci.Uploads.WalkUploads.
func (s *Store) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	err := s.fs.ReadDir(uploadsDir, func(name string, _ durable.Kind) error {
		id, repo, ok := parseUploadName(name)
		if !ok {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		path := uploadsDir + "/" + name
		info, err := s.fs.Lstat(path)
		if err == nil && repo == "" {
			repo, err = s.sideRepo(path)
		}
		if durable.IsMissing(err) || errors.Is(err, errSlot) {
			return nil // it has ended, or begins just now
		}
		if err != nil {
			return fmt.Errorf("look at an upload: %w", err)
		}
		size := info.Size
		if size == 0 { // it may be a loan
			if p, err := readSide(s.fs, sidePath(uploadsDir+"/"+name)); err == nil && p.loan != "" {
				size = p.offset
			}
		}
		return fn(oci.UploadInfo{ID: id, Repo: repo, Size: size, Modified: time.Unix(0, info.Modified)})
	})
	if durable.IsMissing(err) {
		return nil
	}
	return err
}

// sideRepo is the repository that the side file of an upload tells.
func (s *Store) sideRepo(upload string) (oci.Repo, error) {
	p, err := readSide(s.fs, sidePath(upload))
	return p.repo, err
}

// orphanedSides are the side files and the loans of uploads that are gone, and
// uploads of which nobody can tell the repository, since a start was cut short.
func (s *Store) orphanedSides() []string {
	var orphans []string
	_ = s.fs.ReadDir(uploadsDir, func(name string, _ durable.Kind) error {
		content, side := strings.CutSuffix(name, sideSuffix)
		if !side {
			content, side = strings.CutSuffix(name, loanSuffix)
		}
		if !side {
			if _, repo, ok := parseUploadName(name); ok && repo == "" {
				path := uploadsDir + "/" + name
				if _, err := s.sideRepo(path); durable.IsMissing(err) || errors.Is(err, errSlot) {
					orphans = append(orphans, path)
				}
			}
			return nil
		}
		if _, err := s.fs.Lstat(uploadsDir + "/" + content); durable.IsMissing(err) {
			orphans = append(orphans, uploadsDir+"/"+name)
		}
		return nil
	})
	return orphans
}
