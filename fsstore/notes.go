package fsstore

import (
	"errors"
	"io/fs"
	"strings"

	"berth/fsstore/durable"
	"berth/oci"
)

var _ oci.NoteKeeper = (*Store)(nil)

// Notes are small files in the store's own directory that parts of the process
// keep across restarts: each is replaced as a whole, and may be lost.

// dedupeNote has the progress of the dedupe job.
const dedupeNote = "dedupe.json"

// LoadNote returns what SaveNote kept under a name, nil where there is nothing
// or more than limit bytes.
func (s *Store) LoadNote(name string, limit int64) ([]byte, error) {
	content, _, err := durable.ReadFile(s.fs, privateDir+"/"+name, limit)
	if durable.IsMissing(err) {
		return nil, nil
	}
	return content, err
}

// SaveNote keeps content under a name, a file's name that nothing else in the
// private directory has, or one in a directory of its own: by a temporary file
// and a rename, with sync durably. Errors: ErrReadOnly, ErrStorageFull.
func (s *Store) SaveNote(name string, content []byte, sync bool) error {
	if s.readOnly {
		return oci.ErrReadOnly
	}
	err := durable.WriteFile(s.fs, s.tmpPath(), privateDir+"/"+name, content, sync)
	if dir, _, inDir := strings.Cut(name, "/"); inDir && durable.IsMissing(err) {
		if err = s.fs.Mkdir(privateDir + "/" + dir); err == nil || errors.Is(err, fs.ErrExist) {
			err = durable.WriteFile(s.fs, s.tmpPath(), privateDir+"/"+name, content, sync)
		}
	}
	if durable.IsFull(err) {
		return s.space.full(int64(len(content)))
	}
	return err
}
