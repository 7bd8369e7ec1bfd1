package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"berth/oci"
	"berth/s3lite"
)

// The parts of a copy belong to no session. Who makes one notes it first, so
// that they are found when he dies: not every server lists uploads in parts.

// copyNote is a copy in parts that is under way.
type copyNote struct {
	Version int `json:"version"`
	// Key is what is copied to, without the root.
	Key    string `json:"key"`
	Upload string `json:"upload"`
}

// maxCopyNote bounds a note, in bytes.
const maxCopyNote = 16 << 10

// noteCopy notes a copy; over removes the note.
func (s *Store) noteCopy(ctx context.Context, u s3lite.Upload) (over func(context.Context), err error) {
	text, err := json.Marshal(copyNote{Version: 1, Key: s.relative(u.Key), Upload: u.ID})
	if err != nil {
		return nil, err
	}
	key := s.keys.copies() + string(newID())
	if _, err := s.client.PutObject(ctx, key, s3lite.Bytes(text), s3lite.PutOptions{}); err != nil {
		return nil, asStored(err)
	}
	return func(ctx context.Context) {
		after, cancel := afterwards(ctx)
		defer cancel()
		// One that stays is removed with what is left over.
		if err := s.client.DeleteObject(after, key, ""); err != nil {
			s.opts.Log.Warn("the note of a copy could not be removed", "key", key, "error", err)
		}
	}, nil
}

// removeCopies ends copies that are too old to be under way.
func (r round) removeCopies(ctx context.Context) error {
	err := r.client.Walk(ctx, r.keys.copies(), "", func(o s3lite.Info) error {
		if r.now.Sub(o.Modified) < abandonedAfter {
			return nil
		}
		note, err := r.readCopy(ctx, o.Key)
		if err != nil || note.Upload == "" {
			return err
		}
		upload := s3lite.Upload{Key: r.keys.root + note.Key, ID: note.Upload}
		size, err := r.sizeOf(ctx, upload)
		if err == nil && !r.dry {
			err = r.client.AbortMultipartUpload(ctx, upload)
		}
		if err == nil && !r.dry {
			err = r.client.DeleteObject(ctx, o.Key, "")
		}
		if err != nil {
			return err
		}
		return r.told(fmt.Sprintf("parts of a copy to %s", note.Key), size)
	})
	return asStored(err)
}

// readCopy is the note at a key; the zero one where it is gone, or of another
// version.
func (s *Store) readCopy(ctx context.Context, key string) (note copyNote, err error) {
	object, err := s.client.GetObject(ctx, key, s3lite.GetOptions{})
	if err != nil {
		return note, ignoring(missing(err, oci.ErrBlobUnknown), oci.ErrBlobUnknown)
	}
	defer object.Body.Close()
	text, err := io.ReadAll(io.LimitReader(object.Body, maxCopyNote))
	if err != nil {
		return note, err
	}
	if json.Unmarshal(text, &note) != nil || note.Version != 1 {
		return copyNote{}, nil
	}
	return note, nil
}

// sizeOf is what the parts of an upload take, in bytes; none where it is over.
func (s *Store) sizeOf(ctx context.Context, u s3lite.Upload) (size int64, err error) {
	err = s.client.ListParts(ctx, u, 0, func(p s3lite.Part) error {
		size += p.Size
		return nil
	})
	return size, ignoring(err, s3lite.ErrNoSuchUpload)
}

// ignoring is the error unless it is of a kind.
func ignoring(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}
