package fsstore

import (
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
	for {
		n, failed := fill(r, *buffer)
		if err := ctx.Err(); err != nil && failed == nil {
			failed = err
		}
		if one.cancelled.Load() {
			return oci.ErrUploadUnknown
		}
		if err := s.accept(one, (*buffer)[:n]); err != nil {
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

// accept writes bytes at the session's end and hashes them.
func (s *Store) accept(one *session, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := s.journal.touch(); err != nil {
		return err
	}
	before := one.size.Load()
	if one.loan != nil {
		if s.equals(one.loan, before, p) {
			one.hash.Write(p)
			one.size.Store(before + int64(len(p)))
			one.modified.Store(s.now().UnixNano())
			return nil
		}
		if err := s.repay(one); err != nil {
			return err
		}
	}
	n, err := one.file.WriteAt(p, before)
	one.hash.Write(p[:n])
	after := before + int64(n)
	one.size.Store(after)
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
// loan back.
func (s *Store) repay(one *session) error {
	l, size := one.loan, one.size.Load()
	if l == nil {
		return nil
	}
	defer s.endLoan(one)
	if one.written || one.cancelled.Load() {
		return nil
	}
	if err := s.usable(l); err != nil {
		return &brokenError{err} // what arrived was compared with bytes that are gone
	}
	if err := s.space.need(size); err != nil {
		one.size.Store(0)
		one.reset(one.algorithm)
		return err
	}
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	for off := int64(0); off < size; {
		if err := s.journal.touch(); err != nil {
			return &brokenError{err}
		}
		part := (*buffer)[:min(int64(len(*buffer)), size-off)]
		if _, err := l.f.ReadAt(part, off); err != nil && err != io.EOF {
			return &brokenError{err}
		}
		n, err := one.file.WriteAt(part, off)
		if err == nil {
			err = advanceWindows(one.file, s.window, off, off+int64(n))
		}
		if err != nil {
			return &brokenError{err}
		}
		s.space.spend(int64(n))
		off += int64(n)
	}
	return nil
}

// endLoan gives a session's loan back.
func (s *Store) endLoan(one *session) {
	s.giveBack(one.loan)
	one.loan, one.written = nil, false
}
