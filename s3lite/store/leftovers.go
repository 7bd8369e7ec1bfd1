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
// content that no repository refers to any more. It gives content that is there
// again to those who lost it. Many processes may do it at a
// time.
func (s *Store) RemoveLeftovers(ctx context.Context, dry bool, fn func(name string, size int64) error) error {
	if !dry {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	now, err := s.StoreTime(ctx)
	if err != nil {
		return err
	}
	r := round{s, now, dry, fn}
	for _, step := range []func(context.Context) error{r.heal, r.removeCopies, r.removeParts, r.removeData, r.sweep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// round is one look for what nobody needs any more.
type round struct {
	*Store
	now  time.Time // by the bucket's clock, which dates what lies there
	dry  bool
	told func(name string, size int64) error
}

// removeParts ends uploads in parts that are old and belong to no session. These
// are few, since sessions and notes name nearly all: those of which a process did
// not learn, or which it had no time to write down. Servers that do not list
// them, or not to everybody, keep them.
func (r round) removeParts(ctx context.Context) error {
	var old []s3lite.Upload
	err := r.client.ListMultipartUploads(ctx, r.keys.root, func(u s3lite.Upload) error {
		if r.now.Sub(u.Initiated) >= abandonedAfter {
			old = append(old, u)
		}
		return nil
	})
	if errors.Is(err, s3lite.ErrNotImplemented) || errors.Is(err, s3lite.ErrAccessDenied) {
		return nil
	}
	if err != nil || len(old) == 0 {
		return asStored(err)
	}
	named, err := r.namedUploads(ctx)
	if err != nil {
		return err
	}
	for _, u := range old {
		if slices.Contains(named, u.ID) {
			continue
		}
		size, err := r.sizeOf(ctx, u)
		if err == nil && !r.dry {
			err = r.client.AbortMultipartUpload(ctx, u)
		}
		if err != nil {
			return asStored(err)
		}
		if err := r.told(fmt.Sprintf("parts of an upload to %s", r.relative(u.Key)), size); err != nil {
			return err
		}
	}
	return nil
}

// namedUploads are the uploads in parts that sessions tell of, and notes of
// copies.
func (s *Store) namedUploads(ctx context.Context) (ids []string, err error) {
	err = s.client.Walk(ctx, s.keys.allSessions(), "", func(o s3lite.Info) error {
		repo, id, suffix := s.keys.parseSession(o.Key)
		if id == "" || suffix != "" {
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
	if err == nil {
		err = s.client.Walk(ctx, s.keys.copies(), "", func(o s3lite.Info) error {
			note, err := s.readCopy(ctx, o.Key)
			ids = append(ids, note.Upload)
			return err
		})
	}
	return ids, asStored(err)
}

// removeData removes objects of sessions that are over.
func (r round) removeData(ctx context.Context) error {
	err := r.client.Walk(ctx, r.keys.allSessions(), "", func(o s3lite.Info) error {
		repo, id, suffix := r.keys.parseSession(o.Key)
		if suffix == "" || r.now.Sub(o.Modified) < abandonedAfter {
			return nil
		}
		_, err := r.StatUpload(ctx, repo, id)
		if !errors.Is(err, oci.ErrUploadUnknown) {
			return err
		}
		return r.forget(ctx, fmt.Sprintf("what upload %s has left", id), o)
	})
	return asStored(err)
}
