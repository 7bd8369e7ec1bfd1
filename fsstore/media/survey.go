package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth is how far below a medium's top layouts and archives are looked
	// for.
	maxDepth = 16
	// maxDirs is how many directories of a medium are looked through, and
	// watched for changes.
	maxDirs = 4096
)

// survey is what lies on a medium.
type survey struct {
	layouts  []string // directories that are layouts, relative to the top, "." for itself
	archives []string // tar files, relative to the top
	dirs     map[string]time.Time
	cut      bool // a limit was reached
}

// newSurvey looks through a directory, staying on its file system and following
// no links. It leaves nothing open.
func newSurvey(ctx context.Context, top string) (*survey, error) {
	var st unix.Stat_t
	if err := unix.Stat(top, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: top, Err: err}
	}
	s := &survey{dirs: map[string]time.Time{}}
	err := s.visit(ctx, top, ".", uint64(st.Dev), 0)
	slices.Sort(s.layouts)
	slices.Sort(s.archives)
	return s, err
}

// visit looks through one directory and those below it.
func (s *survey) visit(ctx context.Context, top, rel string, dev uint64, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth || len(s.dirs) >= maxDirs {
		s.cut = true
		return nil
	}
	dir := filepath.Join(top, rel)
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil || uint64(st.Dev) != dev {
		return ignoreMissing(err)
	}
	s.dirs[dir] = time.Unix(st.Mtim.Unix())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return unreadable(rel, err)
	}
	isLayout := isLayoutDir(entries)
	if isLayout {
		s.layouts = append(s.layouts, rel)
		s.watch(filepath.Join(dir, "blobs", "sha256"))
		s.watch(filepath.Join(dir, "blobs", "sha512"))
	}
	for _, e := range entries {
		name := filepath.Join(rel, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), isLayout && e.Name() == "blobs":
		case e.IsDir():
			if err := s.visit(ctx, top, name, dev, depth+1); err != nil {
				return err
			}
		case e.Type().IsRegular() && isArchiveName(e.Name()):
			s.archives = append(s.archives, name)
		}
	}
	return nil
}

// watch notes a directory whose changes matter but which is not looked through.
func (s *survey) watch(dir string) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err == nil {
		s.dirs[dir] = time.Unix(st.Mtim.Unix())
	}
}

// unreadable passes over a directory that may not be read or has gone; any
// other failure is the medium's.
func unreadable(rel string, err error) error {
	if rel != "." && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
		return nil
	}
	return fmt.Errorf("look through a medium: %w", err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// settled is how long a layout has to stay as it is before it is verified.
const settled = 2 * time.Second

// beingWritten reports whether a directory that is a layout has got files just
// before now. A clock that was behind when they were written does no harm.
func (s *survey) beingWritten(dir string, now time.Time) bool {
	for _, part := range []string{"", "blobs/sha256", "blobs/sha512"} {
		mtime, ok := s.dirs[filepath.Join(dir, part)]
		if age := now.Sub(mtime); ok && age >= 0 && age < settled {
			return true
		}
	}
	return false
}

// isLayoutDir reports whether a directory with these entries is meant to be a
// layout. Whether it is a good one is its store's to say.
func isLayoutDir(entries []fs.DirEntry) bool {
	var header, index, blobs bool
	for _, e := range entries {
		switch e.Name() {
		case "oci-layout":
			header = true
		case "index.json":
			index = true
		case "blobs":
			blobs = e.IsDir()
		}
	}
	return index && (header || blobs)
}

func isArchiveName(name string) bool { return strings.EqualFold(filepath.Ext(name), ".tar") }

// changed reports whether a directory was changed since the survey.
func (s *survey) changed() bool {
	for dir, mtime := range s.dirs {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil || !time.Unix(st.Mtim.Unix()).Equal(mtime) {
			return true
		}
	}
	return false
}
