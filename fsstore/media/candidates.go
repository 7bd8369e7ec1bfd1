package media

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// candidate is something below the directory that may hold layouts.
type candidate struct {
	path    string
	archive bool       // a tar file, not a directory
	mount   mountPoint // zero where it is not a mount point
	id      identity
}

// candidates lists the mount points below dir at any depth, and after them the
// directories and tar files directly in it, both in order of path. A directory with
// mount points below it is only the way to them. Hidden names and links are
// left out.
func candidates(dir string) ([]candidate, error) {
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	below := map[string]mountPoint{}
	for path, m := range mounts {
		// To look at an automount point would mount it.
		if isBelow(path, dir) && m.fsType != "autofs" && !m.unplugged() {
			below[path] = m
		}
	}
	var found []candidate
	for path, m := range below {
		if !leadsToMount(path, below) {
			found = append(found, candidate{path: path, mount: m})
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, mounted := mounts[path]; mounted || strings.HasPrefix(e.Name(), ".") || leadsToMount(path, below) {
			continue
		}
		if archive := e.Type().IsRegular() && isArchiveName(e.Name()); archive || e.IsDir() {
			found = append(found, candidate{path: path, archive: archive})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		if aMounted, bMounted := a.mount.path != "", b.mount.path != ""; aMounted != bMounted {
			if aMounted {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
	present := found[:0]
	for _, c := range found {
		if c.id, err = identify(c.path); err == nil {
			present = append(present, c)
		}
	}
	return present, nil
}

// unplugged reports whether the block device of a mount has been taken away
// without unmounting it.
func (m mountPoint) unplugged() bool {
	const devices = "/sys/dev/block"
	if !strings.HasPrefix(m.source, "/dev/") || strings.HasPrefix(m.device, "0:") {
		return false // no device, or one of many
	}
	if _, err := os.Stat(devices); err != nil {
		return false // cannot be told
	}
	_, err := os.Lstat(filepath.Join(devices, m.device))
	return errors.Is(err, fs.ErrNotExist)
}

// leadsToMount reports whether a mount point lies below path.
func leadsToMount(path string, mounts map[string]mountPoint) bool {
	for point := range mounts {
		if isBelow(point, path) {
			return true
		}
	}
	return false
}
