package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Root is a directory of the operating system as an FS. Every path is resolved
// by one *at call from the directory's descriptor, so that the root may be
// moved while it is in use.
type Root struct {
	fd int
}

var _ FS = (*Root)(nil)

// OpenRoot opens a directory. With create it makes the directory and those
// above it where they are missing, durably.
func OpenRoot(dir string, create bool) (*Root, error) {
	fd, err := openDir(unix.AT_FDCWD, dir)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := mkdirAll(dir); err != nil {
			return nil, err
		}
		fd, err = openDir(unix.AT_FDCWD, dir)
	}
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd}, nil
}

// mkdirAll makes dir and its missing parents, and syncs each parent in which
// it made one: mkdir, fsync(parent).
func mkdirAll(dir string) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := mkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fd, err := openDir(unix.AT_FDCWD, parent)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return pathError("fsync", parent, unix.Fsync(fd))
}

func openDir(at int, path string) (int, error) {
	return openAt(at, path, unix.O_RDONLY|unix.O_DIRECTORY)
}

func openAt(at int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(at, path, flags|unix.O_CLOEXEC|unix.O_LARGEFILE, 0o644)
		if err != unix.EINTR {
			return fd, pathError("open", path, err)
		}
	}
}

// Close releases the root's descriptor.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Open is Files.Open.
func (r *Root) Open(path string) (File, error) {
	return r.open(path, unix.O_RDONLY|unix.O_NOCTTY)
}

// OpenWrite is Files.OpenWrite.
func (r *Root) OpenWrite(path string) (File, error) {
	return r.open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NOCTTY)
}

// Create is Files.Create.
func (r *Root) Create(path string) (File, error) {
	return r.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW)
}

func (r *Root) open(path string, flags int) (File, error) {
	fd, err := openAt(r.fd, path, flags)
	if err != nil {
		return nil, err
	}
	return &rootFile{fd: fd, path: path}, nil
}

// Stat is Files.Stat.
func (r *Root) Stat(path string) (Info, error) { return r.stat(path, 0) }

// Lstat is Files.Lstat.
func (r *Root) Lstat(path string) (Info, error) { return r.stat(path, unix.AT_SYMLINK_NOFOLLOW) }

func (r *Root) stat(path string, flags int) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(r.fd, path, &st, flags) }); err != nil {
		return Info{}, pathError("stat", path, err)
	}
	return infoOf(&st), nil
}

// ReadDir is Files.ReadDir, in batches, so that a directory's size does not
// matter to memory.
func (r *Root) ReadDir(path string, fn func(string, Kind) error) error {
	fd, err := openDir(r.fd, path)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			if err := fn(e.Name(), kindOfMode(e.Type())); err != nil {
				return err
			}
		}
		if len(entries) == 0 || err != nil {
			return endOfDir(err)
		}
	}
}

// Mkdir is Names.Mkdir.
func (r *Root) Mkdir(path string) error {
	return pathError("mkdir", path, retry(func() error { return unix.Mkdirat(r.fd, path, 0o755) }))
}

// Rename is Names.Rename.
func (r *Root) Rename(from, to string) error {
	return linkError("rename", from, to, retry(func() error { return unix.Renameat(r.fd, from, r.fd, to) }))
}

// Publish is Names.Publish. Where the file system cannot rename without
// replacing, it looks first; only a program other than berth could come
// between, with the same content, since the name is the content's digest.
func (r *Root) Publish(from, to string) error {
	err := retry(func() error { return unix.Renameat2(r.fd, from, r.fd, to, unix.RENAME_NOREPLACE) })
	if err != unix.EINVAL && err != unix.ENOSYS {
		return linkError("rename", from, to, err)
	}
	if _, err := r.Lstat(to); err == nil {
		return linkError("rename", from, to, unix.EEXIST)
	}
	return r.Rename(from, to)
}

// Link is Names.Link.
func (r *Root) Link(from, to string) error {
	return linkError("link", from, to, retry(func() error {
		return unix.Linkat(r.fd, from, r.fd, to, unix.AT_SYMLINK_FOLLOW)
	}))
}

// LinkFile is Names.LinkFile. It needs no privilege, but /proc: where that is
// missing, so is the file (ENOENT), as it is when it has no name any more.
func (r *Root) LinkFile(f *os.File, to string) error {
	from := "/proc/self/fd/" + strconv.FormatUint(uint64(f.Fd()), 10)
	return linkError("link", f.Name(), to, retry(func() error {
		return unix.Linkat(unix.AT_FDCWD, from, r.fd, to, unix.AT_SYMLINK_FOLLOW)
	}))
}

// Remove is Names.Remove.
func (r *Root) Remove(path string) error {
	return pathError("unlink", path, retry(func() error { return unix.Unlinkat(r.fd, path, 0) }))
}

// RemoveDir is Names.RemoveDir.
func (r *Root) RemoveDir(path string) error {
	return pathError("rmdir", path, retry(func() error { return unix.Unlinkat(r.fd, path, unix.AT_REMOVEDIR) }))
}

// SyncDir is Names.SyncDir. File systems whose directories cannot be synced
// answer EINVAL: they write them through.
func (r *Root) SyncDir(path string) error {
	fd, err := openDir(r.fd, path)
	if err != nil {
		return err
	}
	err = retry(func() error { return unix.Fsync(fd) })
	unix.Close(fd)
	if err == unix.EINVAL {
		return nil
	}
	return pathError("fsync", path, err)
}

// Sync is Medium.Sync.
func (r *Root) Sync() error {
	return pathError("syncfs", ".", retry(func() error { return unix.Syncfs(r.fd) }))
}

// Space is Medium.Space.
func (r *Root) Space() (Space, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(r.fd, &st) }); err != nil {
		return Space{}, pathError("statfs", ".", err)
	}
	space := Space{Total: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize), Inodes: -1}
	if st.Files > 0 {
		space.Inodes = int64(st.Ffree)
	}
	return space, nil
}
