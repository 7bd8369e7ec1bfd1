package simfs

import (
	"io"
	"io/fs"
	"syscall"
	"time"

	"berth/fsstore/durable"
)

// file is an open file.
type file struct {
	fs     *FS
	node   *node
	name   string
	closed bool
}

// Open is durable.Files.Open.
func (f *FS) Open(name string) (durable.File, error) { return f.openFile("open", name) }

// OpenWrite is durable.Files.OpenWrite.
func (f *FS) OpenWrite(name string) (durable.File, error) { return f.openFile("openwrite", name) }

func (f *FS) openFile(op, name string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var opened *file
	err := f.call(op, name, false, func() error {
		n, err := f.find(name)
		if err != nil {
			return err
		}
		if n.directory && op == "openwrite" {
			return syscall.EISDIR
		}
		opened = &file{fs: f, node: n, name: name}
		return nil
	})
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f.opened(opened)
	return opened, nil
}

func (f *FS) opened(one *file) {
	f.open++
	one.node.handles++
}

// Create is durable.Files.Create.
func (f *FS) Create(name string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var opened *file
	err := f.call("create", name, true, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		if dir.entries[base] != nil {
			return syscall.EEXIST
		}
		n := f.newNode(false)
		n.links = 1
		dir.entries[base] = n
		f.record(change{to: dir, toName: base, node: n})
		opened = &file{fs: f, node: n, name: name}
		return nil
	})
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f.opened(opened)
	return opened, nil
}

// Stat is durable.Files.Stat.
func (f *FS) Stat(name string) (durable.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var info durable.Info
	err := f.call("stat", name, false, func() error {
		n, err := f.find(name)
		if err == nil {
			info = f.infoOf(n)
		}
		return err
	})
	return info, pathError("stat", name, err)
}

// Lstat is durable.Files.Lstat.
func (f *FS) Lstat(name string) (durable.Info, error) { return f.Stat(name) }

// do is a call on an open file.
func (o *file) do(op string, changes bool, fn func() error) error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.closed {
		return pathError(op, o.name, fs.ErrClosed)
	}
	return pathError(op, o.name, o.fs.call(op, o.name, changes, fn))
}

// Close is io.Closer.Close; it always releases the file.
func (o *file) Close() error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.closed {
		return pathError("close", o.name, fs.ErrClosed)
	}
	o.closed = true
	o.fs.open--
	o.node.handles--
	o.fs.reap(o.node)
	return nil
}

func (o *file) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	eof := false
	err := o.do("read", false, func() error {
		if off < int64(len(o.node.data)) {
			n = copy(p, o.node.data[off:])
		}
		eof = n < len(p)
		return nil
	})
	if err == nil && eof {
		err = io.EOF
	}
	return n, err
}

// WriteAt writes what fits.
func (o *file) WriteAt(p []byte, off int64) (int, error) {
	written := 0
	err := o.do("write", true, func() error {
		room := o.fs.capacity - o.fs.used + int64(len(o.node.data)) - off
		fits := p[:max(min(int64(len(p)), room), 0)]
		o.resize(max(int64(len(o.node.data)), off+int64(len(fits))))
		written = copy(o.node.data[off:], fits)
		o.stamp(o.fs.now())
		if len(fits) < len(p) {
			return syscall.ENOSPC
		}
		return nil
	})
	if err != nil && written == len(p) {
		written = 0 // failed, and the caller cannot know that it was done
	}
	return written, err
}

func (o *file) resize(size int64) {
	n := o.node
	o.fs.used += size - int64(len(n.data))
	if size <= int64(len(n.data)) {
		n.data = append([]byte(nil), n.data[:size]...)
		return
	}
	n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
}

func (o *file) stamp(t time.Time) {
	o.node.modified = o.fs.clock(t)
	o.node.changed = o.fs.now().UnixNano()
}

func (o *file) Stat() (durable.Info, error) {
	var info durable.Info
	err := o.do("fstat", false, func() error {
		info = o.fs.infoOf(o.node)
		return nil
	})
	return info, err
}

func (o *file) Truncate(size int64) error {
	return o.do("truncate", true, func() error {
		o.resize(size)
		o.stamp(o.fs.now())
		return nil
	})
}

func (o *file) Allocate(size int64) error {
	return o.do("allocate", true, func() error {
		if grown := size - int64(len(o.node.data)); grown > o.fs.capacity-o.fs.used {
			return syscall.ENOSPC
		}
		o.resize(max(size, int64(len(o.node.data))))
		return nil
	})
}

func (o *file) SetModified(t time.Time) error {
	return o.do("utimens", true, func() error {
		o.stamp(t)
		return nil
	})
}

func (o *file) Sync() error {
	return o.do("fdatasync", true, func() error {
		o.node.sync()
		return nil
	})
}

func (o *file) StartWriteback(off, n int64) error {
	return o.do("start writeback", true, func() error { return nil })
}

func (o *file) FinishWriteback(off, n int64) error {
	return o.do("finish writeback", true, func() error { return nil })
}
