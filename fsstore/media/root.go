package media

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// identity tells one file or directory from another that has its name.
type identity struct{ dev, ino uint64 }

// identify looks at what has a path now, without opening it.
func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

// Root is the root directory of a store on a medium that may be missing: an
// unmounted disk, of which an empty mount point is left. Its Probe is that of
// subpath.LazyOptions.
type Root struct {
	path  string
	fstab string

	mu    sync.Mutex // guards what follows
	known identity   // of the directory when it was found to be mounted
	point string     // the deepest mount point that has held the directory
}

// NewRoot makes a Root of a directory. It does no I/O.
func NewRoot(path string) *Root {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return &Root{path: filepath.Clean(path), fstab: "/etc/fstab"}
}

// Probe returns a value that identifies the directory, and differs when another
// medium is mounted. It fails where a file system that /etc/fstab has at or
// above the directory, or that was mounted there before, is not mounted now. A
// directory that does not exist is none to fail for, as long as the mount that
// holds it is there: a store may create it.
func (r *Root) Probe() (any, error) {
	now, err := identify(r.path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && now == r.known {
		return now, nil
	}
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err != nil && r.known != (identity{}) {
		return nil, err // it was there
	}
	mounts, mountsErr := readMounts()
	if mountsErr != nil {
		return nil, mountsErr
	}
	m, _ := holder(mounts, r.path)
	for _, point := range append(r.expected(), r.point) {
		if point != "" && len(m.path) < len(point) {
			return nil, fmt.Errorf("%s is not mounted", point)
		}
	}
	r.point = m.path
	if err != nil {
		return identity{}, nil
	}
	r.known = now
	return now, nil
}

// expected lists the mount points of fstab at or above the directory.
func (r *Root) expected() []string {
	content, err := os.ReadFile(r.fstab)
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		point := filepath.Clean(unescape(fields[1]))
		if point == r.path || isBelow(r.path, point) {
			points = append(points, point)
		}
	}
	return points
}
