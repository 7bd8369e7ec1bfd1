package fsstore

import (
	"errors"
	"path"
	"strings"

	"berth/fsstore/durable"
	"berth/oci"
)

// skippedDepth and skippedMost bound the search for layouts below a directory
// whose name cannot be part of a repository's.
const (
	skippedDepth = 3
	skippedMost  = 64
)

// saySkipped logs the layouts that are not served since a directory's name
// cannot be part of a repository's: the first below each such directory, once.
func (s *Store) saySkipped(dir string, names []string) {
	for _, name := range names {
		skipped := path.Join(dir, name)
		if !s.once("skip " + skipped) {
			continue
		}
		left := skippedMost
		if found := s.findLayout(skipped, skippedDepth, &left); found != "" {
			_, err := oci.ParseRepo(name)
			s.log.Warn("layout is skipped", "path", found, "reason", err)
		}
	}
}

// findLayout returns the first directory, from dir on downwards, that holds a
// layout; "" where there is none, or it takes too long to find.
func (s *Store) findLayout(dir string, depth int, left *int) string {
	if *left--; *left < 0 {
		return ""
	}
	if info, err := s.fs.Stat(dir + "/" + layoutName); err == nil && info.Kind == durable.Regular {
		return dir
	}
	if depth == 0 {
		return ""
	}
	var below []string
	// What cannot be read is not found.
	_ = s.fs.ReadDir(dir, func(name string, kind durable.Kind) error {
		if len(below) >= skippedMost {
			return errEnough
		}
		if kind == durable.Directory {
			below = append(below, dir+"/"+name)
		}
		return nil
	})
	for _, child := range below {
		if found := s.findLayout(child, depth-1, left); found != "" {
			return found
		}
	}
	return ""
}

var errEnough = errors.New("enough")

// isSkipped tells whether a directory's name cannot be part of a repository's
// and is not that of a layout's or somebody's private one.
func isSkipped(name string, kind durable.Kind) bool {
	return kind == durable.Directory && !oci.IsLayoutName(name) && !strings.HasPrefix(name, ".")
}
