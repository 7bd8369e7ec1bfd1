package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rootFile is a File by its descriptor. It becomes an *os.File only when
// sendfile needs one, since making that costs a call.
type rootFile struct {
	fd   int
	path string

	once sync.Once // guards os
	os   *os.File
}

var (
	_ File   = (*rootFile)(nil)
	_ OSFile = (*rootFile)(nil)
)

func (f *rootFile) OS() *os.File {
	f.once.Do(func() { f.os = os.NewFile(uintptr(f.fd), f.path) })
	return f.os
}

// Close closes the descriptor, once.
func (f *rootFile) Close() error {
	f.once.Do(func() {})
	if f.os != nil {
		return f.os.Close()
	}
	if f.fd < 0 {
		return pathError("close", f.path, fs.ErrClosed)
	}
	fd := f.fd
	f.fd = -1
	return pathError("close", f.path, unix.Close(fd))
}

func (f *rootFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, pathError("read", f.path, err)
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *rootFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, pathError("write", f.path, err)
		case n == 0:
			return done, pathError("write", f.path, io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

func (f *rootFile) Stat() (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return Info{}, pathError("stat", f.path, err)
	}
	return infoOf(&st), nil
}

func (f *rootFile) Truncate(size int64) error {
	return pathError("truncate", f.path, retry(func() error { return unix.Ftruncate(f.fd, size) }))
}

// Allocate reserves blocks by fallocate, or by writing zeros where the file
// system has no such call.
func (f *rootFile) Allocate(size int64) error {
	err := retry(func() error { return unix.Fallocate(f.fd, 0, 0, size) })
	if err != unix.EOPNOTSUPP && err != unix.ENOSYS {
		return pathError("fallocate", f.path, err)
	}
	zeros := make([]byte, 64<<10)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off); err != nil {
			return err
		}
	}
	return nil
}

func (f *rootFile) SetModified(t time.Time) error {
	modified, err := unix.TimeToTimespec(t)
	if err != nil {
		return pathError("utimens", f.path, err)
	}
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	return pathError("utimens", f.path, retry(func() error { return futimens(f.fd, &times) }))
}

// futimens is utimensat without a path, which kernels before 5.8 have too.
func futimens(fd int, times *[2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (f *rootFile) Sync() error {
	return pathError("fdatasync", f.path, retry(func() error { return unix.Fdatasync(f.fd) }))
}

func (f *rootFile) StartWriteback(off, n int64) error {
	return f.syncRange(off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func (f *rootFile) FinishWriteback(off, n int64) error {
	const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := f.syncRange(off, n, wait); err != nil {
		return err
	}
	_ = unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED) // a hint, nothing is lost where it is not taken
	return nil
}

// syncRange keeps silent where the file system has no such call.
func (f *rootFile) syncRange(off, n int64, flags int) error {
	err := retry(func() error { return unix.SyncFileRange(f.fd, off, n, flags) })
	if errors.Is(err, unix.EIO) || IsFull(err) {
		return pathError("sync_file_range", f.path, err)
	}
	return nil
}
