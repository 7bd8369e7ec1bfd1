package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/fsstore/durable"
	"berth/fsstore/simfs"
)

// systems are the file systems that must behave alike.
func systems(t *testing.T) map[string]durable.FS {
	root, err := durable.OpenRoot(filepath.Join(t.TempDir(), "made/by/it"), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return map[string]durable.FS{"root": root, "simulated": simfs.New(time.Now)}
}

// each runs a test on every file system.
func each(t *testing.T, test func(t *testing.T, fsys durable.FS)) {
	for name, fsys := range systems(t) {
		t.Run(name, func(t *testing.T) { test(t, fsys) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, fsys durable.FS, name, content string) {
	t.Helper()
	must(t, durable.WriteTemp(fsys, name, []byte(content), true))
}

func read(t *testing.T, fsys durable.FS, name string) string {
	t.Helper()
	content, _, err := durable.ReadFile(fsys, name, 1<<20)
	must(t, err)
	return string(content)
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		must(t, fsys.Mkdir("d"))
		is(t, fsys.Mkdir("d"), fs.ErrExist)
		is(t, fsys.Mkdir("x/y"), fs.ErrNotExist)
		write(t, fsys, "a", "one")
		_, err := fsys.Create("a")
		is(t, err, fs.ErrExist)
		must(t, fsys.Publish("a", "d/a"))
		write(t, fsys, "b", "two")
		is(t, fsys.Publish("b", "d/a"), fs.ErrExist)
		is(t, fsys.Publish("b", "x/a"), fs.ErrNotExist)
		is(t, fsys.Link("b", "d/a"), fs.ErrExist)
		must(t, fsys.Link("d/a", "d/linked"))
		must(t, fsys.Rename("b", "d/a"))
		if got := read(t, fsys, "d/a") + read(t, fsys, "d/linked"); got != "twoone" {
			t.Errorf("content %q", got)
		}
		is(t, fsys.Rename("none", "d/a"), fs.ErrNotExist)
		must(t, fsys.Remove("d/linked"))
		is(t, fsys.Remove("d/linked"), fs.ErrNotExist)
		_, err = fsys.Stat("d/a/below")
		if !durable.IsMissing(err) {
			t.Errorf("below a file: %v", err)
		}
		must(t, fsys.SyncDir("d"))
		must(t, fsys.SyncDir("."))
		must(t, fsys.Sync())
	})
}

func TestFiles(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		f, err := fsys.Create("f")
		must(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("hello"), 3)
		must(t, err)
		buffer := make([]byte, 10)
		if n, err := f.ReadAt(buffer, 0); n != 8 || err != io.EOF || string(buffer[3:8]) != "hello" {
			t.Errorf("%d, %v, %q", n, err, buffer)
		}
		must(t, f.Truncate(4))
		must(t, f.Sync())
		at := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
		must(t, f.SetModified(at))
		info, err := f.Stat()
		must(t, err)
		if info.Size != 4 || info.Modified != at.UnixNano() || info.Links != 1 || info.Kind != durable.Regular {
			t.Errorf("%+v", info)
		}
		if time.Since(time.Unix(0, info.Changed)) > time.Hour {
			t.Errorf("changed %d", info.Changed)
		}
		must(t, f.StartWriteback(0, 4))
		must(t, f.FinishWriteback(0, 4))
		must(t, f.Allocate(100<<10))
		if info, _ := f.Stat(); info.Size != 100<<10 {
			t.Errorf("allocated: %d", info.Size)
		}
		reader, err := fsys.Open("f")
		must(t, err)
		must(t, reader.SetModified(at.Add(time.Second)))
		must(t, reader.Close())
		is(t, reader.Close(), fs.ErrClosed)
	})
}

func TestReadDir(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		must(t, fsys.Mkdir("d"))
		must(t, fsys.Mkdir("d/sub"))
		for i := range 600 {
			write(t, fsys, "d/f"+strings.Repeat("x", i/26)+string(rune('a'+i%26)), "")
		}
		seen := make(map[string]durable.Kind)
		must(t, fsys.ReadDir("d", func(name string, kind durable.Kind) error { seen[name] = kind; return nil }))
		if len(seen) != 601 || seen["sub"] != durable.Directory || seen["fa"] != durable.Regular {
			t.Errorf("%d entries, %v", len(seen), seen["sub"])
		}
		enough := errors.New("enough")
		is(t, fsys.ReadDir("d", func(string, durable.Kind) error { return enough }), enough)
		if err := fsys.ReadDir("d/fa", func(string, durable.Kind) error { return nil }); !durable.IsMissing(err) {
			t.Errorf("of a file: %v", err)
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		release, err := fsys.Lock("lock", "first")
		must(t, err)
		_, err = fsys.Lock("lock", "second")
		var locked *durable.LockedError
		if !errors.As(err, &locked) || locked.Note != "first" {
			t.Errorf("%v", err)
		}
		must(t, release())
		release, err = fsys.Lock("lock", "third, and longer")
		must(t, err)
		must(t, release())
	})
}

func TestSpace(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		space, err := fsys.Space()
		must(t, err)
		if space.Total <= 0 || space.Free <= 0 || space.Free > space.Total {
			t.Errorf("%+v", space)
		}
	})
}

// TestWriteFile replaces a file, and leaves no temporary when a call fails.
func TestWriteFile(t *testing.T) {
	fsys := simfs.New(time.Now)
	replace := func(content string) error {
		return durable.WriteFile(fsys, "tmp", "f", []byte(content), true)
	}
	must(t, replace("old"))
	for at := 1; at <= 5; at++ {
		fsys.Fail(simfs.Fault{At: at, Err: syscall.EIO, Changes: true})
		is(t, replace("new"), syscall.EIO)
		fsys.Fail(simfs.Fault{})
		if _, err := fsys.Stat("tmp"); !durable.IsMissing(err) {
			t.Errorf("failed at %d: the temporary: %v", at, err)
		}
		if got := read(t, fsys, "f"); got != "old" && at < 5 {
			t.Errorf("failed at %d: %q", at, got)
		}
	}
	must(t, replace("last"))
	if got := read(t, fsys.Crash(simfs.Everything, 0), "f"); got != "last" {
		t.Errorf("after a power cut: %q", got)
	}
}

// TestReadFileLimit does not read what is too long.
func TestReadFileLimit(t *testing.T) {
	each(t, func(t *testing.T, fsys durable.FS) {
		write(t, fsys, "f", "12345")
		content, info, err := durable.ReadFile(fsys, "f", 4)
		if content != nil || info.Size != 5 || err != nil {
			t.Errorf("%q, %d, %v", content, info.Size, err)
		}
	})
}

// TestSymlinks reads through links, and neither creates nor writes through one.
func TestSymlinks(t *testing.T) {
	dir := t.TempDir()
	root, err := durable.OpenRoot(dir, false)
	must(t, err)
	defer root.Close()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("content"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, os.Symlink(outside+"2", filepath.Join(dir, "dangling")))
	if got := read(t, root, "link"); got != "content" {
		t.Errorf("%q", got)
	}
	_, err = root.OpenWrite("link")
	is(t, err, syscall.ELOOP)
	_, err = root.Create("dangling")
	is(t, err, fs.ErrExist)
	if info, err := root.Lstat("link"); err != nil || info.Kind != durable.Symlink {
		t.Errorf("%+v, %v", info, err)
	}
	must(t, root.Remove("link"))
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestOpenRoot(t *testing.T) {
	_, err := durable.OpenRoot(filepath.Join(t.TempDir(), "none"), false)
	is(t, err, fs.ErrNotExist)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err = durable.OpenRoot(file, true)
	is(t, err, syscall.ENOTDIR)
}

// counting counts the syncs of directories, each of which waits for a signal.
type counting struct {
	durable.FS
	started chan struct{}
	finish  chan struct{}
	syncs   atomic.Int32
}

func (c *counting) SyncDir(string) error {
	c.syncs.Add(1)
	c.started <- struct{}{}
	<-c.finish
	return nil
}

// TestDirSyncer: those who ask while a sync runs share the next, which is not
// the one that runs.
func TestDirSyncer(t *testing.T) {
	c := &counting{started: make(chan struct{}), finish: make(chan struct{})}
	var s durable.DirSyncer
	var wg sync.WaitGroup
	ask := func() { wg.Go(func() { must(t, s.Sync(c, "d")) }) }
	ask()
	<-c.started
	for range 10 {
		ask()
	}
	for s.Waiting("d") < 11 {
		time.Sleep(time.Millisecond)
	}
	c.finish <- struct{}{}
	<-c.started
	c.finish <- struct{}{}
	wg.Wait()
	if n := c.syncs.Load(); n != 2 {
		t.Errorf("%d syncs", n)
	}
	if s.Waiting("d") != 0 {
		t.Error("an entry is left")
	}
}

func TestErrorKinds(t *testing.T) {
	wrap := func(e syscall.Errno) error { return &fs.PathError{Op: "x", Path: "y", Err: e} }
	for errno, kind := range map[syscall.Errno]func(error) bool{
		syscall.ENOSPC: durable.IsFull, syscall.EDQUOT: durable.IsFull, syscall.EROFS: durable.IsReadOnly,
		syscall.ENOENT: durable.IsMissing, syscall.ENOTDIR: durable.IsMissing, syscall.ENODEV: durable.IsGone,
		syscall.EXDEV: durable.CannotLink, syscall.EMLINK: durable.CannotLink,
	} {
		if !kind(wrap(errno)) || kind(wrap(syscall.EINVAL)) || kind(nil) {
			t.Errorf("%v", errno)
		}
	}
}
