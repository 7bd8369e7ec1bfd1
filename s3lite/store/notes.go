package store

import (
	"context"
	"errors"
	"io"
	"time"

	"berth/oci"
	"berth/s3lite"
)

var _ oci.NoteKeeper = (*Store)(nil)

// noteTime is for how long a note is waited for.
const noteTime = time.Minute

// LoadNote is oci.NoteKeeper.LoadNote: one GET.
func (s *Store) LoadNote(name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	object, err := s.client.GetObject(ctx, s.keys.note(name), s3lite.GetOptions{})
	if errors.Is(err, s3lite.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, asStored(err)
	}
	defer object.Body.Close()
	if object.Length > limit {
		return nil, nil
	}
	content, err := io.ReadAll(object.Body)
	return content, asStored(err)
}

// SaveNote is oci.NoteKeeper.SaveNote: one PUT, the last one counts.
func (s *Store) SaveNote(name string, note []byte, sync bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := s.client.PutObject(ctx, s.keys.note(name), s3lite.Bytes(note), s3lite.PutOptions{})
	return asStored(err)
}
