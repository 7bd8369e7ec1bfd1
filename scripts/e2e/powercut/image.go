package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"berth/e2e/fixture"
	"berth/e2e/powercut/lossy"
)

const diskSize = 512 << 20

// newDisk makes a disk with a file system that has a journal.
func newDisk(path string) (*os.File, *lossy.Disk, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	if err := f.Truncate(diskSize); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if err := run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", path); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, lossy.New(f, diskSize), nil
}

// checkDisk looks at what a cut has left on a disk, before anything has run on
// it: the file system is in order once its journal is replayed, and so is each
// layout, if berth committed. It works on a copy. It returns how many layouts
// there were.
func checkDisk(path, dir string, layouts bool) (int, error) {
	image, tree := filepath.Join(dir, "check.img"), filepath.Join(dir, "check")
	defer os.Remove(image)
	defer os.RemoveAll(tree)
	if err := run("cp", "--sparse=always", path, image); err != nil {
		return 0, err
	}
	if err := exec.Command("e2fsck", "-p", image).Run(); exitCode(err) > 1 { // 1: something was mended
		return 0, fmt.Errorf("DISK: e2fsck -p %s: %w", path, err)
	}
	if err := run("e2fsck", "-fn", image); err != nil {
		return 0, fmt.Errorf("DISK: %w", err)
	}
	if !layouts {
		return 0, nil
	}
	if err := os.Mkdir(tree, 0o755); err != nil {
		return 0, err
	}
	if err := run("debugfs", "-R", "rdump /berth "+tree, image); err != nil {
		return 0, err
	}
	return checkLayouts(tree)
}

// checkLayouts checks each repository below a directory.
func checkLayouts(tree string) (int, error) {
	var errs []error
	n := 0
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "oci-layout" {
			n++
			if err := fixture.CheckLayout(filepath.Dir(path)); err != nil {
				errs = append(errs, fmt.Errorf("LAYOUT: %w", err))
			}
		}
		return err
	})
	return n, errors.Join(err, errors.Join(errs...))
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
