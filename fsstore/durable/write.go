package durable

import (
	"path"
	"sync"
)

// WriteFile replaces the file at path by one with the given content:
//
//	open(tmp, O_CREAT|O_EXCL), pwrite, [fdatasync], close,
//	rename(tmp, path)                 <- commit point
//	[fsync(directory of path)]
//
// The bracketed calls happen with sync. Readers see the old content or the
// new. On failure tmp is removed; where the failure came after the commit
// point, the new content is in place but may not survive a power cut.
func WriteFile(fsys FS, tmp, to string, content []byte, sync bool) error {
	if err := WriteTemp(fsys, tmp, content, sync); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, to); err != nil {
		_ = fsys.Remove(tmp)
		return err
	}
	if !sync {
		return nil
	}
	return fsys.SyncDir(path.Dir(to))
}

// WriteTemp makes a new file: open(O_CREAT|O_EXCL), pwrite, [fdatasync],
// close. On failure nothing is left of it.
func WriteTemp(fsys FS, tmp string, content []byte, sync bool) error {
	f, err := fsys.Create(tmp)
	if err != nil {
		_ = fsys.Remove(tmp) // a call that failed may have been carried out
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = fsys.Remove(tmp)
	}
	return err
}

// ReadFile reads a whole file of at most limit bytes, and its description at
// that moment. A longer file gives its description and no content.
func ReadFile(fsys FS, path string, limit int64) ([]byte, Info, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size > limit {
		return nil, info, err
	}
	content := make([]byte, info.Size)
	n, err := f.ReadAt(content, 0)
	if int64(n) == info.Size {
		err = nil
	}
	return content[:n], info, err
}

// DirSyncer makes directory entries durable, and lets those who ask for the
// same directory while an fsync of it runs share the next one. The zero value
// is ready.
type DirSyncer struct {
	mu   sync.Mutex // guards dirs and what it holds, but for flight
	dirs map[string]*syncedDir
}

type syncedDir struct {
	flight sync.Mutex // held while an fsync of the directory runs
	users  int        // calls of Sync that use this entry
	next   *dirSync   // what a call joins that comes now
}

// dirSync is one fsync: whoever joins before it starts is served by it.
type dirSync struct {
	done bool // guarded by flight, as is err
	err  error
}

// Sync makes all entries durable that dir has when Sync is called.
func (s *DirSyncer) Sync(fsys FS, dir string) error {
	entry, mine := s.join(dir)
	defer s.leave(dir, entry)
	entry.flight.Lock()
	defer entry.flight.Unlock()
	if mine.done {
		return mine.err
	}
	s.mu.Lock()
	entry.next = nil // who comes from here on may have changed the directory too late
	s.mu.Unlock()
	mine.err, mine.done = fsys.SyncDir(dir), true
	return mine.err
}

func (s *DirSyncer) join(dir string) (*syncedDir, *dirSync) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs == nil {
		s.dirs = make(map[string]*syncedDir)
	}
	entry := s.dirs[dir]
	if entry == nil {
		entry = new(syncedDir)
		s.dirs[dir] = entry
	}
	entry.users++
	if entry.next == nil {
		entry.next = new(dirSync)
	}
	return entry, entry.next
}

func (s *DirSyncer) leave(dir string, entry *syncedDir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.users--; entry.users == 0 {
		delete(s.dirs, dir)
	}
}

// Waiting is how many calls of Sync for a directory have not returned.
func (s *DirSyncer) Waiting(dir string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.dirs[dir]; entry != nil {
		return entry.users
	}
	return 0
}
