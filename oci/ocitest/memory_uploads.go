package ocitest

import (
	"bytes"
	"context"
	"io"
	"time"

	"berth/oci"
)

// upload is a session. Between begin and end its content belongs to the call
// that writes.
type upload struct {
	repo     oci.Repo
	content  []byte
	modified time.Time
	freed    chan struct{} // closed when the call that writes to it ends; nil: none does
}

func (u *upload) info(id oci.UploadID) oci.UploadInfo {
	return oci.UploadInfo{ID: id, Repo: u.repo, Size: int64(len(u.content)), Modified: u.modified}
}

// session finds a session; m.mu is held.
func (m *Memory) session(repo oci.Repo, id oci.UploadID) (*upload, error) {
	u := m.uploads[id]
	if u == nil || u.repo != repo {
		return nil, oci.ErrUploadUnknown
	}
	return u, nil
}

// CreateUpload implements oci.Uploads.
func (m *Memory) CreateUpload(ctx context.Context, repo oci.Repo, a oci.Algorithm) (oci.UploadID, error) {
	if _, err := oci.ParseAlgorithm(string(a)); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := newID()
	m.uploads[id] = &upload{repo: repo, modified: m.Now()}
	return id, nil
}

// StatUpload implements oci.Uploads.
func (m *Memory) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.session(repo, id)
	if err != nil {
		return oci.UploadInfo{}, err
	}
	return u.info(id), nil
}

// AppendUpload implements oci.Uploads.
func (m *Memory) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (int64, error) {
	u, err := m.begin(ctx, repo, id, at)
	if err != nil {
		return 0, err
	}
	defer m.end(u)
	err = m.receive(u, r)
	return int64(len(u.content)), err
}

// FinishUpload implements oci.Uploads.
func (m *Memory) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	u, err := m.begin(ctx, repo, id, at)
	if err != nil {
		return 0, err
	}
	defer m.end(u)
	before := len(u.content)
	if err := m.receive(u, r); err != nil {
		return int64(len(u.content)), err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[id] != u {
		return 0, oci.ErrUploadUnknown // cancelled meanwhile
	}
	if size := len(u.content); d.Algorithm().FromBytes(u.content) != d {
		u.content = u.content[:before]
		return int64(before), oci.Errorf(oci.ErrDigestInvalid, "the %d bytes uploaded are not %s", size, d)
	}
	m.put(repo, d, bytes.Clone(u.content))
	delete(m.uploads, id)
	return int64(len(u.content)), nil
}

// begin makes the caller the only one to write to a session.
func (m *Memory) begin(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64) (*upload, error) {
	ctx, cancel := context.WithTimeout(ctx, oci.UploadPatience)
	defer cancel()
	for {
		u, freed, err := m.tryBegin(repo, id, at)
		if freed == nil {
			return u, err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, oci.Errorf(oci.ErrRangeInvalid, "another call writes to the upload")
		}
	}
}

// tryBegin is begin without waiting.
func (m *Memory) tryBegin(repo oci.Repo, id oci.UploadID, at int64) (u *upload, freed <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err = m.session(repo, id)
	if err != nil {
		return nil, nil, err
	}
	if u.freed != nil {
		return nil, u.freed, nil
	}
	if at != oci.AtEnd && at != int64(len(u.content)) {
		return nil, nil, oci.Errorf(oci.ErrRangeInvalid, "the upload is at %d, and %d was given", len(u.content), at)
	}
	u.freed = make(chan struct{})
	return u, nil, nil
}

func (m *Memory) end(u *upload) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(u.freed)
	u.freed = nil
}

// receive appends what r yields.
func (m *Memory) receive(u *upload, r io.Reader) error {
	if r == nil {
		return nil
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		m.mu.Lock()
		u.content = append(u.content, buf[:n]...)
		u.modified = m.Now()
		m.mu.Unlock()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// CancelUpload implements oci.Uploads.
func (m *Memory) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.session(repo, id); err != nil {
		return err
	}
	delete(m.uploads, id)
	return nil
}

// WalkUploads implements oci.Uploads.
func (m *Memory) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	m.mu.Lock()
	var all []oci.UploadInfo
	for id, u := range m.uploads {
		all = append(all, u.info(id))
	}
	m.mu.Unlock()
	for _, info := range all {
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}
