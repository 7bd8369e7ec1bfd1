package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var done *fs.PathError
	if errors.As(err, &done) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func linkError(op, from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}

// endOfDir takes the end of a listing for success.
func endOfDir(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func infoOf(st *unix.Stat_t) Info {
	return Info{
		Device:   uint64(st.Dev),
		Inode:    uint64(st.Ino),
		Size:     st.Size,
		Modified: st.Mtim.Nano(),
		Changed:  st.Ctim.Nano(),
		Links:    uint64(st.Nlink),
		Kind:     kindOfStat(uint32(st.Mode)),
	}
}

func kindOfStat(mode uint32) Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Regular
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFLNK:
		return Symlink
	}
	return Other
}

func kindOfMode(mode fs.FileMode) Kind {
	switch mode.Type() {
	case 0:
		return Regular
	case fs.ModeDir:
		return Directory
	case fs.ModeSymlink:
		return Symlink
	case fs.ModeIrregular:
		return Unknown
	}
	return Other
}
