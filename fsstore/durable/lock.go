package durable

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"
)

// Lock is Medium.Lock: open, flock, then truncate and write the note. The lock
// ends with the process, the note stays and means nothing without the lock.
func (r *Root) Lock(path, note string) (func() error, error) {
	fd, err := openAt(r.fd, path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	f := &rootFile{fd: fd, path: path}
	err = retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		defer f.Close()
		return nil, &LockedError{Note: readNote(f)}
	}
	if err == nil {
		err = writeNote(f, note)
	}
	if err != nil {
		f.Close()
		return nil, pathError("flock", path, err)
	}
	return f.Close, nil
}

func readNote(f File) string {
	note := make([]byte, 128)
	n, err := f.ReadAt(note, 0)
	if err != nil && err != io.EOF || n == 0 {
		return "another process"
	}
	return string(bytes.TrimSpace(note[:n]))
}

// writeNote may fail on a full medium: the lock holds without it.
func writeNote(f File, note string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(note), 0); err != nil && !IsFull(err) {
		return err
	}
	return nil
}
