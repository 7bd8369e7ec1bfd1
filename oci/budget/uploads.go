package budget

import (
	"context"
	"errors"
	"io"

	"berth/oci"
)

// CreateUpload implements oci.Uploads: where nothing is free, no upload begins.
func (s *store) CreateUpload(ctx context.Context, repo oci.Repo, algorithm oci.Algorithm) (oci.UploadID, error) {
	if s.ledger.Covers(repo) {
		r, err := s.ledger.reserve(ctx, repo, exactly(-1))
		if err != nil {
			return "", err
		}
		defer r.settle(exactly(0))
	}
	return s.Store.CreateUpload(ctx, repo, algorithm)
}

// AppendUpload implements oci.Uploads.
func (s *store) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, body io.Reader) (int64, error) {
	if !s.ledger.Covers(repo) {
		return s.Store.AppendUpload(ctx, repo, id, at, body)
	}
	m, err := s.meter(ctx, repo, body)
	if err != nil {
		return s.sizeOf(ctx, repo, id), err
	}
	size, err := s.Store.AppendUpload(ctx, repo, id, at, m.body())
	read := m.read()
	if errors.Is(err, oci.ErrUploadUnknown) || errors.Is(err, oci.ErrRangeInvalid) {
		read = 0
	}
	m.room.settle(exactly(read))
	return size, err
}

// FinishUpload implements oci.Uploads.
func (s *store) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, body io.Reader) (int64, error) {
	if !s.ledger.Covers(repo) {
		return s.Store.FinishUpload(ctx, repo, id, d, at, body)
	}
	if s.holds(ctx, repo, d) {
		return s.finishHeld(ctx, repo, id, d, at, body)
	}
	m, err := s.meter(ctx, repo, body)
	if err != nil {
		return s.sizeOf(ctx, repo, id), err
	}
	size, err := s.Store.FinishUpload(ctx, repo, id, d, at, m.body())
	read := m.read()
	switch {
	case errors.Is(err, oci.ErrDigestInvalid), errors.Is(err, oci.ErrUploadUnknown), errors.Is(err, oci.ErrRangeInvalid):
		m.room.settle(exactly(0))
	case err != nil:
		m.room.settle(exactly(read)) // what had arrived is kept
	default:
		added := s.added(ctx, repo, d, size)
		m.room.settle(func(a *account) int64 { return added(a) - (size - read) })
	}
	return size, err
}

// finishHeld ends an upload of what is there already: it needs no room, and gives
// back what had arrived before.
func (s *store) finishHeld(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, body io.Reader) (int64, error) {
	before := s.sizeOf(ctx, repo, id)
	size, err := s.Store.FinishUpload(ctx, repo, id, d, at, body)
	if err == nil {
		s.ledger.change(repo, -before)
	}
	return size, err
}

// CancelUpload implements oci.Uploads.
func (s *store) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	size := int64(0)
	if s.ledger.Covers(repo) {
		size = s.sizeOf(ctx, repo, id)
	}
	err := s.Store.CancelUpload(ctx, repo, id)
	if err == nil && size > 0 {
		s.ledger.change(repo, -size)
	}
	return err
}

// sizeOf is what has arrived of an upload.
func (s *store) sizeOf(ctx context.Context, repo oci.Repo, id oci.UploadID) int64 {
	info, err := s.Store.StatUpload(ctx, repo, id)
	if err != nil {
		return 0
	}
	return info.Size
}

// meter is a body whose room is set aside: at once where its length is known,
// and as it arrives where not.
type meter struct {
	from  io.Reader
	known oci.Remaining // nil: the length is not known
	total int64         // that was known
	room  *reservation
	taken int64 // bytes read, where the length is not known
	ahead int64 // bytes set aside and not read yet
}

// meterStep is how much is set aside at a time for a body of unknown length.
const meterStep = 256 << 10

// meter sets room aside for a body, which may be nil. Errors: ErrStorageFull.
func (s *store) meter(ctx context.Context, repo oci.Repo, body io.Reader) (*meter, error) {
	m := &meter{from: body}
	need := int64(0)
	if body != nil {
		need = -1
		if k, ok := body.(oci.Remaining); ok && k.Remaining() >= 0 {
			m.known, m.total = k, k.Remaining()
			need = m.total
		}
	}
	var err error
	m.room, err = s.ledger.reserve(ctx, repo, exactly(need))
	return m, err
}

// body is what the store reads: the body itself where its length is known.
func (m *meter) body() io.Reader {
	if m.from == nil || m.known != nil {
		return m.from
	}
	return m
}

// read is how many bytes were read.
func (m *meter) read() int64 {
	if m.known != nil {
		return max(m.total-m.known.Remaining(), 0)
	}
	return m.taken
}

// Read reads on as long as there is room.
func (m *meter) Read(p []byte) (int, error) {
	if m.ahead == 0 {
		m.ahead = m.room.more(meterStep)
	}
	if m.ahead == 0 {
		return m.atEnd(p)
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.ahead)])
	m.ahead -= int64(n)
	m.taken += int64(n)
	return n, err
}

// atEnd fails where the body goes on although there is no room.
func (m *meter) atEnd(p []byte) (int, error) {
	n, err := m.from.Read(p[:min(len(p), 1)])
	if n > 0 {
		return 0, m.room.full()
	}
	return 0, err
}
