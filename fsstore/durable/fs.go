package durable

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// FS is a file system below one root directory.
type FS interface {
	Files
	Names
	Medium
	// Close releases the root. Open files stay open.
	Close() error
}

// Files opens, inspects and lists.
type Files interface {
	// Open opens an existing file for reading.
	Open(path string) (File, error)
	// OpenWrite opens an existing regular file for reading and writing,
	// through no symbolic link.
	OpenWrite(path string) (File, error)
	// Create makes a file that must not exist, for reading and writing.
	Create(path string) (File, error)
	// Stat describes what path leads to, through symbolic links.
	Stat(path string) (Info, error)
	// Lstat describes path itself.
	Lstat(path string) (Info, error)
	// ReadDir calls fn for each entry of a directory, in no certain order,
	// until fn returns an error, which it returns.
	ReadDir(path string, fn func(name string, kind Kind) error) error
}

// Names changes directories. No change survives a power cut for certain
// before SyncDir of the directory or Sync of the medium.
type Names interface {
	// Mkdir makes one directory; its parent must exist.
	Mkdir(path string) error
	// Rename moves a file, over one that is there already.
	Rename(from, to string) error
	// Publish moves a file to a name that must be free: fs.ErrExist where it
	// is not, and then nothing has changed.
	Publish(from, to string) error
	// Link gives the file that from leads to a second name, which must be free.
	Link(from, to string) error
	// LinkFile gives an open file of the operating system, which may lie
	// outside of the root, a name in it, which must be free.
	LinkFile(f *os.File, to string) error
	// Remove removes a file's name.
	Remove(path string) error
	// RemoveDir removes an empty directory: syscall.ENOTEMPTY, or EEXIST, where
	// something is in it.
	RemoveDir(path string) error
	// SyncDir makes the entries of a directory durable (fsync).
	SyncDir(path string) error
}

// Medium is the file system as a whole.
type Medium interface {
	// Sync makes everything written so far durable (syncfs).
	Sync() error
	// Space tells what is left.
	Space() (Space, error)
	// Lock takes an exclusive lock on a file, which it creates, and writes
	// note into it. Where somebody else holds it, the error is a *LockedError.
	Lock(path, note string) (release func() error, err error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (Info, error)
	Truncate(size int64) error
	// Allocate reserves space for the first size bytes and makes the file so long.
	Allocate(size int64) error
	// SetModified sets the modification time; the file may be open for reading.
	SetModified(t time.Time) error
	// Sync makes the content durable, and what is needed to find it (fdatasync).
	Sync() error
	Windows
}

// Windows keeps the page cache small while a long file is written: both calls
// are hints for memory, neither makes anything durable. A failure of the
// medium that they meet is returned, since no later Sync may tell it again.
type Windows interface {
	// StartWriteback begins to write n bytes from off to the medium.
	StartWriteback(off, n int64) error
	// FinishWriteback waits for that and drops the pages.
	FinishWriteback(off, n int64) error
}

// OSFile is what a File may also be: one of the operating system, for
// sendfile(2). The File stays its owner.
type OSFile interface{ OS() *os.File }

// Info describes a file.
type Info struct {
	Device, Inode uint64
	Size          int64 // bytes
	Modified      int64 // mtime, nanoseconds since 1970
	Changed       int64 // ctime, nanoseconds since 1970: content, names or attributes
	Links         uint64
	Kind          Kind
}

// Kind is a file's type.
type Kind uint8

// The kinds that matter here.
const (
	Unknown Kind = iota // a directory entry whose type only Stat tells
	Regular
	Directory
	Symlink
	Other
)

// Space is the room on a medium, in bytes and inodes, for ordinary users.
type Space struct {
	Total, Free int64
	// Inodes is how many files can still be made; -1 where the file system
	// does not count them.
	Inodes int64
}

// LockedError tells that a root is in use.
type LockedError struct {
	Note string // what the holder wrote into the lock file
}

func (e *LockedError) Error() string { return "locked by " + e.Note }

// IsFull reports whether err says that the medium or a quota is exhausted.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsReadOnly reports whether err says that the medium takes no writes.
func IsReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// IsNotEmpty reports whether err says that a directory has entries.
func IsNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}

// IsMissing reports whether err says that path leads nowhere: a component is
// missing or is no directory.
func IsMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

// IsGone reports whether err says that the medium itself is away.
func IsGone(err error) bool {
	for _, gone := range []error{syscall.ENODEV, syscall.ENXIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ENOMEDIUM, syscall.ESHUTDOWN} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// IsElsewhere reports whether err says that a file cannot get to its new name,
// since that lies on another file system.
func IsElsewhere(err error) bool { return errors.Is(err, syscall.EXDEV) }

// CannotLink reports whether err says that a hard link is not possible there,
// so that a copy has to do.
func CannotLink(err error) bool {
	for _, no := range []error{syscall.EMLINK, syscall.EPERM, syscall.ENOTSUP, syscall.EXDEV, syscall.ENOSYS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
