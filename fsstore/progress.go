package fsstore

import (
	"context"
	"errors"
	"io"

	"berth/fsstore/durable"
	"berth/oci"
)

// resume opens a session's file where a process before, or this one, left it.
func (s *Store) resume(ctx context.Context, one *session) error {
	f, err := s.fs.OpenWrite(one.path)
	if err != nil {
		if durable.IsMissing(err) || s.readOnly {
			return oci.ErrUploadUnknown
		}
		return s.fail("open an upload", one.repo, err)
	}
	one.file = f
	info, err := f.Stat()
	if err == nil && (info.Kind != durable.Regular || info.Links != 1) {
		err = oci.ErrUploadUnknown // a power cut left the name of what is a blob now
	}
	if err == nil {
		err = s.restore(ctx, one, info)
	}
	return s.fail("open an upload", one.repo, err)
}

// restore brings a session to the last recorded progress, or to its beginning
// where there is none, or where its file does not hold it.
func (s *Store) restore(ctx context.Context, one *session, info durable.Info) error {
	p, err := readSide(s.fs, sidePath(one.path))
	if err != nil && !durable.IsMissing(err) && !errors.Is(err, errSlot) {
		return err
	}
	one.side = err == nil || errors.Is(err, errSlot)
	if err != nil || p.repo != one.repo {
		p = progress{algorithm: oci.SHA256}
	}
	one.sequence = p.sequence
	one.reset(p.algorithm)
	one.named = true // a crash may have left one that is not the content
	switch {
	case p.loan != "":
		err = s.reclaim(ctx, one, p)
	case p.offset > 0 && p.offset <= info.Size:
		err = s.adopt(ctx, one, p, one.file, info)
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	one.recorded = one.size.Load()
	one.modified.Store(info.Modified)
	if !one.lent {
		one.synced = one.recorded
	}
	if info.Size == one.synced {
		return nil
	}
	return one.file.Truncate(one.synced)
}

// reclaim takes over a recorded progress whose content is a loan. Where that
// is gone, the session begins anew.
func (s *Store) reclaim(ctx context.Context, one *session, p progress) error {
	l := &loan{path: loanPath(one.path), digest: p.loan, since: p.offset}
	var err error
	if l.f, err = s.fs.Open(l.path); err != nil {
		if durable.IsMissing(err) {
			return nil
		}
		return err
	}
	l.info, err = l.f.Stat()
	if err == nil && l.info.Kind == durable.Regular && l.info.Size >= p.offset && s.usable(l) == nil {
		err = s.adopt(ctx, one, p, l.f, l.info)
	}
	if err != nil || one.size.Load() == 0 {
		l.f.Close()
		return err
	}
	one.loan, one.lent = l, true
	return nil
}

// adopt takes over a recorded progress. Content that an unclean stop may have
// torn is hashed anew; where it is not what had arrived, the session begins
// anew.
func (s *Store) adopt(ctx context.Context, one *session, p progress, content io.ReaderAt, info durable.Info) error {
	err := unmarshalHash(one.hash, p.state)
	if err != nil || s.suspects.contains(info.Modified) {
		one.reset(p.algorithm)
		if err := s.hashFile(ctx, one.hash, content, p.offset); err != nil {
			return err
		}
		state, err := marshalHash(one.hash)
		if err != nil || string(state) != string(p.state) {
			one.reset(p.algorithm)
			return err
		}
	}
	one.size.Store(p.offset)
	return nil
}

// reset makes the session an empty one.
func (one *session) reset(a oci.Algorithm) {
	one.algorithm, one.hash = a, a.Hash()
	one.size.Store(0)
	one.marks = nil
}

// record keeps the session's progress across a restart:
//
//	[fdatasync(content)], write the slot, [fdatasync(side file)], [fsync(uploads)]
//
// Of a session whose content is a loan, that gets a name beside the session's
// before the slot is written.
func (s *Store) record(one *session) error {
	size := one.size.Load()
	l := one.lends()
	if one.side && one.recorded == size && one.lent == (l != nil) && (one.listed || !s.commit) {
		return nil
	}
	state, err := marshalHash(one.hash)
	if err != nil {
		return err
	}
	p := progress{sequence: one.sequence + 1, offset: size, algorithm: one.algorithm, state: state, repo: one.repo}
	if l != nil {
		p.loan = l.digest
		err = s.keepLoan(one, l)
	} else {
		err = s.syncContent(one)
	}
	if err != nil {
		return err
	}
	if _, err := writeSide(s.fs, sidePath(one.path), p, s.commit); err != nil {
		return err
	}
	one.sequence, one.recorded, one.side, one.lent = p.sequence, size, true, l != nil
	if l != nil { // the file's age is the session's
		_ = one.file.SetModified(one.age())
	} else {
		s.dropLoanFile(one)
	}
	if !s.commit || one.listed {
		return nil
	}
	if err := s.dirs.Sync(s.fs, uploadsDir); err != nil {
		return err
	}
	one.listed = true
	return nil
}

// lends is the loan that the session's content is, nil where its file is.
func (one *session) lends() *loan {
	if one.written || one.size.Load() == 0 {
		return nil
	}
	return one.loan
}

// keepLoan makes a loan last as long as its session:
//
//	[fdatasync(loan)], rename(tmp, <session>.loan)
func (s *Store) keepLoan(one *session, l *loan) error {
	if s.commit && !l.settled {
		if err := s.settleFile(l.f, l.info); err != nil {
			return err
		}
		l.settled = true
	}
	to := loanPath(one.path)
	if l.path == to {
		return nil
	}
	one.named, one.listed = true, false
	err := s.fs.Rename(l.path, to)
	if err != nil { // a call that failed may have been carried out
		if _, lost := s.fs.Lstat(l.path); !durable.IsMissing(lost) {
			return err
		}
	}
	l.path = to
	return err
}

// dropLoanFile removes a loan's name that is not the session's content.
func (s *Store) dropLoanFile(one *session) {
	if one.named && (one.loan == nil || one.loan.path != loanPath(one.path)) {
		err := s.fs.Remove(loanPath(one.path))
		one.named = err != nil && !durable.IsMissing(err) // one that stays is removed when the session ends
	}
}

// syncContent makes durable what has arrived, with commit.
func (s *Store) syncContent(one *session) error {
	size := one.size.Load()
	if !s.commit || one.synced == size {
		return nil
	}
	if err := one.file.Sync(); err != nil {
		return err
	}
	one.synced = size
	return nil
}
