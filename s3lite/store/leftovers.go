package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/oci"
	"berth/s3lite"
)

var _ oci.Leftovers = (*Store)(nil)

// abandonedAfter is after how long an upload in parts that no session tells of
// is taken for one whose process died: longer than any goes on.
const abandonedAfter = 48 * time.Hour

// RemoveLeftovers is oci.Leftovers.RemoveLeftovers: uploads in parts that a
// process which died had begun, what sessions left that are over, and shared
// content that no repository refers to any more. Many processes may do it at a
// time.
func (s *Store) RemoveLeftovers(ctx context.Context, dry bool, fn func(name string, size int64) error) error {
	if !dry {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, bool, func(string, int64) error) error{s.removeParts, s.removeData, s.sweep} {
		if err := step(ctx, dry, fn); err != nil {
			return err
		}
	}
	return nil
}

// removeParts ends uploads in parts that are old and belong to no session.
func (s *Store) removeParts(ctx context.Context, dry bool, fn func(string, int64) error) error {
	var old []s3lite.Upload
	err := s.client.ListMultipartUploads(ctx, s.keys.root, func(u s3lite.Upload) error {
		if s.opts.Now().Sub(u.Initiated) >= abandonedAfter {
			old = append(old, u)
		}
		return nil
	})
	if errors.Is(err, s3lite.ErrNotImplemented) {
		return nil
	}
	if err != nil || len(old) == 0 {
		return asStored(err)
	}
	named, err := s.namedUploads(ctx)
	if err != nil {
		return err
	}
	for _, u := range old {
		if slices.Contains(named, u.ID) {
			continue
		}
		var size int64
		err := s.client.ListParts(ctx, u, 0, func(p s3lite.Part) error {
			size += p.Size
			return nil
		})
		if err == nil && !dry {
			err = s.client.AbortMultipartUpload(ctx, u)
		}
		if err != nil && !errors.Is(err, s3lite.ErrNoSuchUpload) {
			return asStored(err)
		}
		if err := fn(fmt.Sprintf("parts of an upload to %s", s.relative(u.Key)), size); err != nil {
			return err
		}
	}
	return nil
}

// namedUploads are the uploads in parts that sessions tell of.
func (s *Store) namedUploads(ctx context.Context) (ids []string, err error) {
	err = s.client.Walk(ctx, s.keys.allSessions(), "", func(o s3lite.Info) error {
		repo, id, data := s.keys.parseSession(o.Key)
		if id == "" || data {
			return nil
		}
		w, err := s.load(ctx, sessionID{repo, id}, true)
		if errors.Is(err, oci.ErrUploadUnknown) {
			return nil
		}
		if err == nil && w.Upload != "" {
			ids = append(ids, w.Upload)
		}
		return err
	})
	return ids, asStored(err)
}

// removeData removes objects of sessions that are over.
func (s *Store) removeData(ctx context.Context, dry bool, fn func(string, int64) error) error {
	err := s.client.Walk(ctx, s.keys.allSessions(), "", func(o s3lite.Info) error {
		repo, id, data := s.keys.parseSession(o.Key)
		if !data || s.opts.Now().Sub(o.Modified) < abandonedAfter {
			return nil
		}
		_, err := s.StatUpload(ctx, repo, id)
		if !errors.Is(err, oci.ErrUploadUnknown) {
			return err
		}
		if !dry {
			if err := s.client.DeleteObject(ctx, o.Key, ""); err != nil {
				return err
			}
		}
		return fn(fmt.Sprintf("the content of upload %s", id), o.Size)
	})
	return asStored(err)
}
