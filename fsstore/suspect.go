package fsstore

import (
	"context"
	"fmt"
	"hash"
	"io"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// suspects knows which files an unclean stop may have torn.
type suspects struct {
	windows []span // never changes while the store is open

	turn  chan struct{} // holds one while a file is examined: one at a time
	known *recent[fileID]
}

// fileID names one state of a file.
type fileID struct {
	device, inode uint64
	modified      int64
}

func idOf(info durable.Info) fileID { return fileID{info.Device, info.Inode, info.Modified} }

// contains reports whether a modification time is suspect.
func (su *suspects) contains(modified int64) bool {
	for _, w := range su.windows {
		if w.contains(modified) {
			return true
		}
	}
	return false
}

// doubts reports whether a file has to be examined before it is served.
func (su *suspects) doubts(info durable.Info) bool {
	return len(su.windows) > 0 && su.contains(info.Modified) && !su.known.has(idOf(info))
}

// before is the latest time before modified that is not suspect.
func (su *suspects) before(modified int64) int64 {
	for i := len(su.windows) - 1; i >= 0; i-- {
		if w := su.windows[i]; w.contains(modified) {
			modified = w.From.UnixNano() - int64(markMargin)
		}
	}
	return modified
}

// vouch notes that this process wrote a file completely.
func (su *suspects) vouch(f durable.File) error {
	if len(su.windows) == 0 {
		return nil
	}
	info, err := f.Stat()
	if err == nil && su.contains(info.Modified) {
		su.known.add(idOf(info))
	}
	return err
}

// examine reads a blob that may be torn. One that matches its digest gets a
// modification time before the suspect ones, once its content is durable, so
// that it is never examined again. Another one is removed, so that it can be
// pushed again: ErrBlobUnknown.
func (s *Store) examine(ctx context.Context, repo oci.Repo, d oci.Digest, f durable.File) error {
	select {
	case s.suspects.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.suspects.turn }()
	info, err := f.Stat()
	if err != nil || !s.suspects.doubts(info) {
		return err
	}
	h := d.Algorithm().Hash()
	if err := s.hashFile(ctx, h, f, info.Size); err != nil {
		return err
	}
	if fmt.Sprintf("%x", h.Sum(nil)) == d.Encoded() {
		return s.clear(f, info)
	}
	s.log.Warn("an unclean stop had torn a blob: it has to be pushed again", "repository", repo, "digest", d)
	if !s.readOnly {
		if err := s.fs.Remove(blobPath(repo, d)); err != nil && !durable.IsMissing(err) {
			return err
		}
	}
	return oci.ErrBlobUnknown
}

// clear takes a file that was found whole out of suspicion.
func (s *Store) clear(f durable.File, info durable.Info) error {
	s.suspects.known.add(idOf(info))
	if s.readOnly {
		return nil
	}
	if err := s.journal.settleLeft(); err != nil {
		return err
	}
	// A medium that refuses only costs another look after the next start.
	_ = f.SetModified(time.Unix(0, s.suspects.before(info.Modified)))
	return nil
}

// hashFile adds a file's first size bytes to h.
func (s *Store) hashFile(ctx context.Context, h hash.Hash, f io.ReaderAt, size int64) error {
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt((*buffer)[:min(int64(len(*buffer)), size-off)], off)
		h.Write((*buffer)[:n])
		off += int64(n)
		if err != nil && (err != io.EOF || off < size) {
			return err
		}
	}
	return nil
}
