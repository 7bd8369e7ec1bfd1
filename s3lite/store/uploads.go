package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"berth/oci"
	"berth/s3lite"
)

// CreateUpload is oci.Uploads.CreateUpload: one PUT.
func (s *Store) CreateUpload(ctx context.Context, repo oci.Repo, algorithm oci.Algorithm) (oci.UploadID, error) {
	if _, err := oci.ParseAlgorithm(string(algorithm)); err != nil {
		return "", err
	}
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	name := sessionID{repo, newID()}
	w := &session{record: record{Version: 1, Algorithm: algorithm}}
	empty := &buffer{memory: &s.memory}
	defer empty.free()
	return name.id, s.save(ctx, name, w, empty, 0)
}

func newID() oci.UploadID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return oci.UploadID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

// StatUpload is oci.Uploads.StatUpload: one HEAD.
func (s *Store) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	info, err := s.client.HeadObject(ctx, s.keys.session(repo, id), s3lite.GetOptions{})
	if err != nil {
		return oci.UploadInfo{}, missing(err, oci.ErrUploadUnknown)
	}
	size, err := strconv.ParseInt(info.Metadata[metaOffset], 10, 64)
	if err != nil || size < 0 {
		return oci.UploadInfo{}, fmt.Errorf("%w: %s is no upload session", oci.ErrUnavailable, info.Key)
	}
	return oci.UploadInfo{ID: id, Repo: repo, Size: size, Modified: info.Modified}, nil
}

// AppendUpload is oci.Uploads.AppendUpload. What does not fill a part is kept
// with the session.
func (s *Store) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (int64, error) {
	w, err := s.begin(ctx, sessionID{repo, id}, at, false)
	if err != nil {
		return 0, err
	}
	defer w.end(ctx)
	before := w.offset()
	return w.keep(ctx, before, w.receive(ctx, r))
}

// errStore marks failures that are the bucket's, not the reader's.
type errStore struct{ error }

func (e errStore) Unwrap() error { return e.error }

// keep writes down what has arrived, also where the reader has failed, and
// returns how much there is.
func (w *writer) keep(ctx context.Context, before int64, err error) (int64, error) {
	if stored, ok := errors.AsType[errStore](err); ok {
		return before, w.overtaken(ctx, stored.error)
	}
	if w.offset() == before {
		return before, err
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	if saveErr := w.save(after); saveErr != nil {
		return before, w.overtaken(after, saveErr)
	}
	return w.offset(), err
}

// CancelUpload is oci.Uploads.CancelUpload. A request that writes to the
// session meanwhile finds it gone.
func (s *Store) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	name := sessionID{repo, id}
	w, err := s.load(ctx, name, true)
	if err != nil {
		return err
	}
	return s.drop(ctx, name, w, true)
}

// drop removes all of a session, the object that makes it known last. alive says
// that there may be what tells of long bodies: else RemoveLeftovers finds it.
func (s *Store) drop(ctx context.Context, name sessionID, w *session, alive bool) error {
	s.sessions.drop(name)
	if w.Upload != "" {
		upload := s3lite.Upload{Key: s.keys.root + w.Key, ID: w.Upload}
		if err := s.client.AbortMultipartUpload(ctx, upload); err != nil {
			return asStored(err)
		}
		if err := s.client.DeleteObject(ctx, s.keys.data(name.repo, name.id), ""); err != nil {
			return asStored(err)
		}
	}
	if alive {
		if err := s.client.DeleteObject(ctx, s.keys.alive(name.repo, name.id), ""); err != nil {
			return asStored(err)
		}
	}
	return asStored(s.client.DeleteObject(ctx, s.keys.session(name.repo, name.id), ""))
}

// WalkUploads is oci.Uploads.WalkUploads: a list, and a HEAD for each session.
func (s *Store) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	var last oci.UploadInfo // told of when it is known whether it has a sign of life
	tell := func() error {
		info := last
		last = oci.UploadInfo{}
		if info.ID == "" {
			return nil
		}
		return fn(info)
	}
	o := s3lite.ListOptions{Prefix: s.keys.allSessions()}
	for more := true; more; more = o.Token != "" {
		page, err := s.client.ListObjects(ctx, o)
		if err != nil {
			return asStored(err)
		}
		o.Token = page.Next
		for _, object := range page.Objects {
			repo, id, suffix := s.keys.parseSession(object.Key)
			switch {
			case id == "":
			case suffix == aliveSuffix && id == last.ID && repo == last.Repo:
				if object.Modified.After(last.Modified) {
					last.Modified = object.Modified
				}
			case suffix == "":
				if err := tell(); err != nil {
					return err
				}
				if last, err = s.StatUpload(ctx, repo, id); err != nil && !errors.Is(err, oci.ErrUploadUnknown) {
					return err
				}
			}
		}
	}
	return tell()
}

// relative is a key without the root.
func (s *Store) relative(key string) string { return strings.TrimPrefix(key, s.keys.root) }
