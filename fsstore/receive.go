package fsstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"berth/fsstore/durable"
	"berth/oci"
)

// brokenError says that a session's file may no longer hold what arrived.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// checkpointWindows is after how many windows the progress of a long body is
// recorded, so that a process that is killed does not lose all of it.
const checkpointWindows = 8

// receiveChunk is receive of a chunk; where it is the first one, and the
// beginning of a blob that the root holds, nothing of it is written.
func (s *Store) receiveChunk(ctx context.Context, one *session, r io.Reader) error {
	if r == nil || one.size.Load() > 0 || one.loan != nil {
		return s.receive(ctx, one, r)
	}
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	return s.receive(ctx, one, s.recognise(ctx, one, r, *buffer))
}

// receive appends what r yields. What had arrived before a failure is kept.
func (s *Store) receive(ctx context.Context, one *session, r io.Reader) error {
	if r == nil {
		return nil
	}
	if err := s.space.need(toWrite(one, r)); err != nil {
		return err
	}
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	var wide *[]byte
	if one.loan != nil {
		wide = s.strides.get()
		defer s.strides.put(wide)
	}
	for {
		piece := *buffer
		if one.loan != nil && wide != nil { // up to where the loan tells most cheaply
			piece = (*wide)[:stride-one.size.Load()%stride]
		}
		n, failed := fill(r, piece)
		if err := ctx.Err(); err != nil && failed == nil {
			failed = err
		}
		if one.cancelled.Load() {
			return oci.ErrUploadUnknown
		}
		if err := s.accept(one, piece[:n]); err != nil {
			return err
		}
		if failed == io.EOF {
			return nil
		}
		if failed != nil {
			return fmt.Errorf("receive a blob: %w", failed)
		}
	}
}

// toWrite is how many bytes are known to be written.
func toWrite(one *session, r io.Reader) int64 {
	if one.loan != nil {
		return 0
	}
	if known, ok := r.(oci.Remaining); ok {
		return max(known.Remaining(), 0)
	}
	return 0
}

// fill reads until p is full or r fails or ends.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var read int
		read, err = r.Read(p[n:])
		n += read
	}
	return n, err
}

// accept writes bytes at the session's end and hashes them, unless a loan has
// them.
func (s *Store) accept(one *session, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := s.journal.touch(); err != nil {
		return err
	}
	before := one.size.Load()
	if one.loan != nil {
		taken, err := s.takes(one, p)
		if err != nil {
			return &brokenError{err}
		}
		if taken {
			one.modified.Store(s.now().UnixNano())
			return s.checkpointLoan(one, before)
		}
		if err := s.repay(one); err != nil {
			return err
		}
	}
	n, err := one.file.WriteAt(p, before)
	one.absorb(p[:n])
	after := before + int64(n)
	one.modified.Store(s.now().UnixNano())
	s.space.spend(int64(n))
	if err != nil {
		return asBroken(err)
	}
	if after/s.window == before/s.window {
		return nil
	}
	if err := advanceWindows(one.file, s.window, before, after); err != nil {
		return &brokenError{err}
	}
	return s.checkpoint(one, after/s.window)
}

// checkpointLoan is checkpoint for bytes that were not written.
func (s *Store) checkpointLoan(one *session, before int64) error {
	every := s.window * checkpointWindows
	if one.size.Load()/every == before/every {
		return nil
	}
	if err := s.record(one); err != nil {
		return asBroken(err)
	}
	return nil
}

// checkpoint is called after each full window.
func (s *Store) checkpoint(one *session, window int64) error {
	if err := s.space.need(0); err != nil {
		return err
	}
	if s.commit && window%checkpointWindows != 0 {
		return nil
	}
	if err := s.record(one); err != nil {
		return asBroken(err)
	}
	return nil
}

// asBroken marks a failure of the medium, but for a full one: that loses
// nothing of what was written before.
func asBroken(err error) error {
	if durable.IsFull(err) || errors.Is(err, oci.ErrStorageFull) {
		return err
	}
	return &brokenError{err}
}

// repay writes into a session's file what a loan stands for, and gives the
// loan back. On failure the loan stays, so that nothing is lost.
func (s *Store) repay(one *session) error {
	l, size := one.loan, one.size.Load()
	if l == nil {
		return nil
	}
	if one.written || one.cancelled.Load() || size == 0 {
		s.endLoan(one)
		return nil
	}
	if err := s.usable(l); err != nil {
		return &brokenError{err} // what arrived was compared with bytes that are gone
	}
	if err := s.space.need(size); err != nil {
		return err
	}
	if err := s.copyLoan(one, l, size); err != nil {
		return asBroken(errors.Join(err, one.file.Truncate(0)))
	}
	one.synced = 0
	s.endLoan(one)
	return nil
}

// copyLoan copies the first size bytes of a loan to the session's file, and
// makes sure that they are what had arrived: the file may have been damaged.
func (s *Store) copyLoan(one *session, l *loan, size int64) error {
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	h := one.algorithm.Hash()
	for off := int64(0); off < size; {
		if err := s.journal.touch(); err != nil {
			return err
		}
		part := (*buffer)[:min(int64(len(*buffer)), size-off)]
		if _, err := l.f.ReadAt(part, off); err != nil && err != io.EOF {
			return err
		}
		n, err := one.file.WriteAt(part, off)
		if err == nil {
			err = advanceWindows(one.file, s.window, off, off+int64(n))
		}
		if err != nil {
			return err
		}
		h.Write(part[:n])
		s.space.spend(int64(n))
		off += int64(n)
	}
	if !bytes.Equal(h.Sum(nil), one.hash.Sum(nil)) {
		s.distrust(l.digest, l.info)
		return fmt.Errorf("the copy of %s that is stored has been damaged; push it again", l.digest)
	}
	return nil
}

// endLoan gives a session's loan back. Its name stays where the side file
// tells of it.
func (s *Store) endLoan(one *session) {
	l := one.loan
	if l != nil && one.lent && l.path == loanPath(one.path) {
		l.path = ""
	}
	s.giveBack(l)
	one.loan, one.written = nil, false
}
