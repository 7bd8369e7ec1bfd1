package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"berth/config"
	"berth/fsstore/archive"
	"berth/oci"
)

// rootKind is what lies at the path of a root.
type rootKind int

const (
	manyLayouts rootKind = iota // a directory of repositories, or nothing yet
	oneLayout                   // a directory that is itself an OCI image layout
	oneArchive                  // a file, which has to be an OCI archive
)

// kindOf looks what lies at a root's path. A directory that berth keeps
// repositories in is that, whatever else somebody put there.
func kindOf(path string) (rootKind, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return oneArchive, err
	}
	if _, err := os.Lstat(filepath.Join(path, ".berth")); err == nil {
		return manyLayouts, nil
	}
	if info, err := os.Stat(filepath.Join(path, "oci-layout")); err == nil && info.Mode().IsRegular() {
		return oneLayout, nil
	}
	return manyLayouts, nil
}

// openLayout opens a root that is one layout.
func openLayout(kind rootKind, opts archive.Options) (*archive.Store, error) {
	open := archive.OpenDir
	if kind == oneArchive {
		open = archive.Open
	}
	s, err := open(opts)
	if errors.Is(err, oci.ErrNameInvalid) {
		return nil, fmt.Errorf("%w; name the repository by storage.name or --name", err)
	}
	return s, err
}

// checkPlaces finds what is wrong with the roots and the directories of media.
func checkPlaces(cfg *config.Config) config.Error {
	var problems config.Error
	tell := func(key string, err error) {
		if err != nil {
			problems = append(problems, cfg.Problem(key, err.Error()))
		}
	}
	tell("storage.rootDirectory", checkRoot(cfg))
	tell("storage.name", checkName(cfg.Storage))
	for _, sub := range cfg.Storage.SubPaths {
		tell(sub.Key("rootDirectory"), checkSubPath(sub))
	}
	for i, m := range cfg.Storage.Media {
		if info, err := os.Stat(m.Path); err == nil && !info.IsDir() {
			tell(config.MediumKey(i, "path"), notDirectory(m.Path))
		}
	}
	if len(problems) == 0 {
		problems = checkApart(cfg)
	}
	return problems
}

func checkRoot(cfg *config.Config) error {
	root := cfg.Storage.RootDirectory
	kind, err := kindOf(root)
	switch {
	case cfg.Storage.StorageDriver.IsSet():
		return checkState(cfg.Storage.Root)
	case errors.Is(err, fs.ErrNotExist) && cfg.Storage.ReadOnly:
		return fmt.Errorf("%s does not exist, and is not created where storage.readOnly is true", root)
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(root, ".tar"):
		return fmt.Errorf("%s does not exist", root)
	case errors.Is(err, fs.ErrNotExist):
		return nil // it will be created
	case err != nil:
		return err
	}
	return checkKind(kind, root, cfg.Storage.Name)
}

// checkState refuses what cannot be the directory of a root in a bucket.
func checkState(root config.Root) error {
	if info, err := os.Stat(root.RootDirectory); err == nil && !info.IsDir() && !root.ReadOnly {
		return notDirectory(root.RootDirectory)
	}
	return nil
}

// checkKind refuses a layout or an archive that cannot be served.
func checkKind(kind rootKind, path, name string) error {
	if kind == manyLayouts {
		return nil
	}
	s, err := openLayout(kind, archive.Options{Path: path, Repo: oci.Repo(name)})
	if err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("%s is no directory of repositories, and cannot be served as one layout: %w", path, err)
	}
	return nil
}

func checkName(s config.Storage) error {
	if kind, err := kindOf(s.RootDirectory); s.Name != "" && (err != nil || kind == manyLayouts) {
		return fmt.Errorf("%s is not one layout: its repositories are named after their directories", s.RootDirectory)
	}
	return nil
}

// checkSubPath lets a root be missing: it may be mounted later.
func checkSubPath(sub config.SubPath) error {
	if sub.StorageDriver.IsSet() {
		return checkState(sub.Root)
	}
	kind, err := kindOf(sub.RootDirectory)
	if err != nil {
		return nil
	}
	return checkKind(kind, sub.RootDirectory, sub.Prefix)
}

// place is a directory of the configuration, and the key that names it.
type place struct {
	key   string
	path  string // as it was written
	real  string // without links
	media bool
}

func places(s config.Storage) []place {
	all := []place{{key: "storage.rootDirectory", path: s.RootDirectory}}
	for _, sub := range s.SubPaths {
		all = append(all, place{key: sub.Key("rootDirectory"), path: sub.RootDirectory})
	}
	for i, m := range s.Media {
		all = append(all, place{key: config.MediumKey(i, "path"), path: m.Path, media: true})
	}
	for i := range all {
		all[i].real = realPath(all[i].path)
	}
	return all
}

// checkApart finds places that are the same, or inside one another: what lies
// there would be served, and kept up, twice. A root may lie on a medium.
func checkApart(cfg *config.Config) config.Error {
	var problems config.Error
	all := places(cfg.Storage)
	for i, p := range all {
		for _, other := range all[:i] {
			relation := ""
			switch {
			case p.real == other.real:
				relation = "the same directory as"
			case isInside(p.real, other.real):
				relation = "inside"
			case isInside(other.real, p.real) && !p.media:
				relation = "around"
			}
			if relation != "" {
				problems = append(problems, cfg.Problem(p.key, fmt.Sprintf("%s is %s %s of %s", p.path, relation, other.path, other.key)))
				break // one is enough to look into
			}
		}
	}
	return problems
}

func isInside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../")
}

// realPath resolves the links of a path, as far as it exists.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return resolve(abs, 40) // as many links as the kernel follows
}

func resolve(abs string, links int) string {
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	dir := filepath.Dir(abs)
	if dir == abs {
		return abs
	}
	if target, err := os.Readlink(abs); err == nil && links > 0 {
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		return resolve(target, links-1)
	}
	return filepath.Join(resolve(dir, links), filepath.Base(abs))
}
