package fsstore

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"berth/fsstore/durable"
	"berth/oci"
)

// FinishUpload is oci.Uploads.FinishUpload:
//
//	pwrite..., [fdatasync]; publish; [unlink the side file], close
//
// Where the root holds the blob already, the body is compared with that as it
// arrives, and nothing of it is written:
//
//	link(holder, tmp); [pread...]; publish(tmp); unlink the session's file, close
func (s *Store) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	size, err := s.finishUpload(ctx, repo, id, d, at, r)
	if err == nil {
		s.arrived(ctx, repo, d)
	}
	return size, err
}

func (s *Store) finishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	var size int64
	err := s.withUpload(ctx, repo, id, at, func(one *session) error {
		err := s.finish(ctx, one, d, r)
		size = one.size.Load()
		return err
	})
	return size, s.fail("finish an upload", repo, err)
}

func (s *Store) finish(ctx context.Context, one *session, d oci.Digest, r io.Reader) error {
	if err := s.writable(one.repo); err != nil {
		return err
	}
	before, err := one.mark()
	if err != nil {
		return err
	}
	if before.size == 0 && one.algorithm != d.Algorithm() {
		one.reset(d.Algorithm()) // nothing was hashed yet
	}
	if before.size == 0 && r != nil {
		s.endLoan(one)
		one.loan = s.borrow(ctx, one.repo, d, knownSize(r))
	}
	if err := s.receive(ctx, one, r); err != nil {
		return s.keepProgress(one, err)
	}
	sum, err := s.sum(ctx, one, d.Algorithm())
	if err != nil {
		return s.keepProgress(one, err)
	}
	if got := hex.EncodeToString(sum); got != d.Encoded() {
		return s.mismatch(one, before, d, got)
	}
	return s.publishUpload(ctx, one, d)
}

// knownSize is a body's length, -1 where it is not known.
func knownSize(r io.Reader) int64 {
	if known, ok := r.(oci.Remaining); ok {
		return known.Remaining()
	}
	return -1
}

// sum is the digest of what has arrived, read anew where the session hashes by
// another algorithm.
func (s *Store) sum(ctx context.Context, one *session, a oci.Algorithm) ([]byte, error) {
	if a == one.algorithm {
		return one.hash.Sum(nil), nil
	}
	content := one.file
	if l := one.lends(); l != nil {
		content = l.f
	}
	h := a.Hash()
	if err := s.hashFile(ctx, h, content, one.size.Load()); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// mismatch brings the session back to before the call.
func (s *Store) mismatch(one *session, before point, d oci.Digest, got string) error {
	size := one.size.Load()
	if before.size == 0 {
		s.endLoan(one)
	}
	var err error
	if one.loan == nil {
		err = one.file.Truncate(before.size)
	}
	one.synced = min(one.synced, before.size)
	err = errors.Join(err, one.rewind(before))
	if err == nil && one.recorded > before.size { // a checkpoint ran ahead
		err = s.record(one)
	}
	if err != nil {
		return s.keepProgress(one, &brokenError{err})
	}
	return oci.Errorf(oci.ErrDigestInvalid, "the %d bytes that arrived have digest %s:%s, announced was %s", size, d.Algorithm(), got, d)
}

// publishUpload makes a session's content the blob: a link to the copy that is
// there already, or else the session's file.
func (s *Store) publishUpload(ctx context.Context, one *session, d oci.Digest) error {
	defer s.enterDigest(d)()
	size := one.size.Load()
	c, err := s.candidateOf(ctx, one, d, size)
	if err != nil {
		return s.keepProgress(one, err)
	}
	if err := s.publish(one.repo, d, c); err != nil {
		if one.cancelled.Load() {
			return oci.ErrUploadUnknown
		}
		return s.unpublished(one, err)
	}
	s.published(one, d, c)
	s.uploads.mu.Lock()
	if s.uploads.open[one.id] == one {
		delete(s.uploads.open, one.id)
	}
	s.uploads.mu.Unlock()
	s.note(ctx, one.repo, d)
	return nil
}

// published removes the names that a session has no more need of; its file's
// comes first.
func (s *Store) published(one *session, d oci.Digest, c candidate) {
	if c.path != one.path {
		_ = s.fs.Remove(one.path) // one that stays is an upload that is never finished
	}
	if one.side {
		_ = s.fs.Remove(sidePath(one.path)) // one that stays is removed after the next start
	}
	if l := one.loan; l != nil && c.path == l.path {
		l.path = "" // it is the blob's now
	}
	if one.named {
		_ = s.fs.Remove(loanPath(one.path)) // like the side file
	}
	one.lent = false
	if s.dedupe.on && one.algorithm == d.Algorithm() {
		s.dedupe.marks.add(oci.Digest(strings.Clone(string(d))), one.marks)
	}
}

// candidateOf is what is to become the blob of a session that is complete.
func (s *Store) candidateOf(ctx context.Context, one *session, d oci.Digest, size int64) (candidate, error) {
	if one.loan == nil {
		one.loan = s.borrowChecked(ctx, one.repo, d, size)
		one.written = one.loan != nil
	}
	if l := one.loan; l != nil && l.digest == d && l.info.Size == size && s.prove(ctx, l) == nil {
		return candidate{path: l.path, size: size}, nil
	}
	if err := s.repay(one); err != nil {
		return candidate{}, err
	}
	if err := s.completeContent(one, size); err != nil {
		return candidate{}, &brokenError{err}
	}
	if s.dedupe.on {
		info, err := one.file.Stat()
		if err != nil {
			return candidate{}, err
		}
		s.trust(d, info)
	}
	return candidate{path: one.path, size: size}, nil
}

// completeContent makes a complete file durable with commit, or sees to it
// that little of it waits in memory.
func (s *Store) completeContent(one *session, size int64) error {
	if err := s.syncContent(one); err != nil {
		return err
	}
	if err := s.suspects.vouch(one.file); err != nil {
		return err
	}
	if s.commit || size < leastWriteback {
		return nil
	}
	return endWindows(one.file, s.window, size)
}

// unpublished keeps the session of a blob that could not be published, if its
// content still has a name, or gets one, so that the client can ask again.
func (s *Store) unpublished(one *session, err error) error {
	if one.loan != nil && s.isLost(one.loan.path) {
		err = errors.Join(err, s.repay(one))
	}
	if l := one.lends(); s.isLost(one.path) || l != nil && s.isLost(l.path) {
		s.endUpload(one)
		return err
	}
	return s.keepProgress(one, err)
}

func (s *Store) isLost(path string) bool {
	_, err := s.fs.Lstat(path)
	return durable.IsMissing(err)
}
