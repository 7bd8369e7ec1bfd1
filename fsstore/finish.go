package fsstore

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

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
//	link(holder, tmp); pread...; publish(tmp); unlink the session's file, close
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
		one.loan = s.borrow(ctx, one.repo, d, knownSize(r))
	}
	defer func() { s.endLoan(one) }()
	if err := s.receive(ctx, one, r); err != nil {
		return s.keepProgress(one, errors.Join(err, s.repay(one)))
	}
	sum, err := s.sum(ctx, one, d.Algorithm())
	if err != nil {
		return s.keepProgress(one, err)
	}
	if got := hex.EncodeToString(sum); got != d.Encoded() {
		s.endLoan(one)
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

// sum is the digest of what has arrived, read from the file where the session
// hashes by another algorithm.
func (s *Store) sum(ctx context.Context, one *session, a oci.Algorithm) ([]byte, error) {
	if a == one.algorithm {
		return one.hash.Sum(nil), nil
	}
	h := a.Hash()
	if err := s.hashFile(ctx, h, one.file, one.size.Load()); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// rewind is a session's progress before a call.
type rewind struct {
	size      int64
	algorithm oci.Algorithm
	state     []byte // of the hash; nil when size is 0
}

func (one *session) mark() (rewind, error) {
	before := rewind{size: one.size.Load(), algorithm: one.algorithm}
	if before.size == 0 {
		return before, nil
	}
	var err error
	before.state, err = marshalHash(one.hash)
	return before, err
}

// mismatch brings the session back to before the call.
func (s *Store) mismatch(one *session, before rewind, d oci.Digest, got string) error {
	size := one.size.Load()
	err := one.file.Truncate(before.size)
	one.reset(before.algorithm)
	if err == nil && before.size > 0 {
		err = unmarshalHash(one.hash, before.state)
	}
	one.size.Store(before.size)
	one.synced = min(one.synced, before.size)
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
		return s.unpublished(one, errors.Join(err, s.repay(one)))
	}
	if c.path != one.path {
		_ = s.fs.Remove(one.path) // one that stays is an upload that is never finished
	}
	if one.side {
		_ = s.fs.Remove(sidePath(one.path)) // one that stays is removed after the next start
	}
	s.uploads.mu.Lock()
	if s.uploads.open[one.id] == one {
		delete(s.uploads.open, one.id)
	}
	s.uploads.mu.Unlock()
	s.note(ctx, one.repo, d)
	return nil
}

// candidateOf is what is to become the blob of a session that is complete.
func (s *Store) candidateOf(ctx context.Context, one *session, d oci.Digest, size int64) (candidate, error) {
	if one.loan == nil {
		one.loan = s.borrowChecked(ctx, one.repo, d, size)
		one.written = one.loan != nil
	}
	if l := one.loan; l != nil && l.info.Size == size && s.vouch(l) == nil {
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
// file is still there, so that the client can ask again.
func (s *Store) unpublished(one *session, err error) error {
	if _, lost := s.fs.Lstat(one.path); durable.IsMissing(lost) {
		s.endUpload(one)
		return err
	}
	return s.keepProgress(one, err)
}
