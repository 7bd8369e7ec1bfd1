package simfs

import (
	"os"
	"sort"
	"syscall"

	"berth/fsstore/durable"
)

// Mkdir is durable.Names.Mkdir.
func (f *FS) Mkdir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("mkdir", name, f.call("mkdir", name, true, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		if dir.entries[base] != nil {
			return syscall.EEXIST
		}
		n := f.newNode(true)
		dir.entries[base] = n
		f.record(change{to: dir, toName: base, node: n})
		return nil
	}))
}

// Rename is durable.Names.Rename.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return linkError("rename", from, to, f.call("rename", from+" "+to, true, func() error {
		return f.move(from, to)
	}))
}

// Publish is durable.Names.Publish.
func (f *FS) Publish(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return linkError("rename", from, to, f.call("publish", from+" "+to, true, func() error {
		if dir, base, err := f.parent(to); err == nil && dir.entries[base] != nil {
			return syscall.EEXIST
		}
		return f.move(from, to)
	}))
}

func (f *FS) move(from, to string) error {
	source, sourceName, err := f.parent(from)
	if err != nil {
		return err
	}
	target, targetName, err := f.parent(to)
	if err != nil {
		return err
	}
	n := source.entries[sourceName]
	if n == nil {
		return syscall.ENOENT
	}
	old := target.entries[targetName]
	if old == n {
		return nil
	}
	delete(source.entries, sourceName)
	target.entries[targetName] = n
	f.record(change{from: source, fromName: sourceName, to: target, toName: targetName, node: n})
	if old != nil {
		f.unlink(old)
	}
	return nil
}

// Link is durable.Names.Link.
func (f *FS) Link(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return linkError("link", from, to, f.call("link", from+" "+to, true, func() error {
		n, err := f.find(from)
		if err != nil {
			return err
		}
		if f.fat {
			return syscall.EPERM
		}
		dir, base, err := f.parent(to)
		if err != nil {
			return err
		}
		if dir.entries[base] != nil {
			return syscall.EEXIST
		}
		if f.mostLinks > 0 && n.links >= f.mostLinks {
			return f.refusal
		}
		dir.entries[base] = n
		n.links++
		f.record(change{to: dir, toName: base, node: n})
		return nil
	}))
}

// LinkFile is durable.Names.LinkFile: no file of the operating system lies here.
func (f *FS) LinkFile(from *os.File, to string) error {
	return linkError("link", from.Name(), to, syscall.EXDEV)
}

// Remove is durable.Names.Remove.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("unlink", name, f.call("unlink", name, true, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		n := dir.entries[base]
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.directory:
			return syscall.EISDIR
		}
		delete(dir.entries, base)
		f.record(change{from: dir, fromName: base})
		f.unlink(n)
		return nil
	}))
}

// RemoveDir is durable.Names.RemoveDir.
func (f *FS) RemoveDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("rmdir", name, f.call("rmdir", name, true, func() error {
		dir, base, err := f.parent(name)
		if err != nil {
			return err
		}
		n := dir.entries[base]
		switch {
		case n == nil:
			return syscall.ENOENT
		case !n.directory:
			return syscall.ENOTDIR
		case len(n.entries) > 0:
			return syscall.ENOTEMPTY
		}
		delete(dir.entries, base)
		f.record(change{from: dir, fromName: base})
		return nil
	}))
}

// SyncDir is durable.Names.SyncDir.
func (f *FS) SyncDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("fsync", name, f.call("fsync", name, true, func() error {
		dir, err := f.find(name)
		if err != nil {
			return err
		}
		f.persist(func(c change) bool { return c.from == dir || c.to == dir })
		return nil
	}))
}

// persist makes the chosen changes durable.
func (f *FS) persist(which func(change) bool) {
	rest := f.pending[:0]
	for _, c := range f.pending {
		if which(c) {
			c.apply()
		} else {
			rest = append(rest, c)
		}
	}
	f.pending = rest
}

// Sync is durable.Medium.Sync.
func (f *FS) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("syncfs", ".", f.call("syncfs", ".", true, func() error {
		f.persist(func(change) bool { return true })
		f.each(f.root, (*node).sync)
		return nil
	}))
}

// each calls fn for every node that calls can see.
func (f *FS) each(n *node, fn func(*node)) {
	fn(n)
	for _, child := range n.entries {
		f.each(child, fn)
	}
}

func (n *node) sync() {
	n.synced = append([]byte(nil), n.data...)
	n.settled = n.modified
}

// Space is durable.Medium.Space.
func (f *FS) Space() (durable.Space, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	space := durable.Space{Total: f.capacity, Free: f.capacity - f.used, Inodes: -1}
	return space, pathError("statfs", ".", f.call("statfs", ".", false, func() error { return nil }))
}

// Lock is durable.Medium.Lock.
func (f *FS) Lock(name, note string) (func() error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("lock", name, true, func() error {
		if f.locked != "" {
			return &durable.LockedError{Note: f.locked}
		}
		f.locked = note
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.locked = ""
		return nil
	}, nil
}

// Close is durable.FS.Close.
func (f *FS) Close() error { return nil }

// ReadDir is durable.Files.ReadDir; it lists in order, for the sake of tests.
func (f *FS) ReadDir(name string, fn func(string, durable.Kind) error) error {
	kinds := make(map[string]durable.Kind)
	err := f.list(name, kinds)
	names := make([]string, 0, len(kinds))
	for child := range kinds {
		names = append(names, child)
	}
	sort.Strings(names)
	for _, child := range names {
		if err := fn(child, kinds[child]); err != nil {
			return err
		}
	}
	return err
}

func (f *FS) list(name string, kinds map[string]durable.Kind) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("readdir", name, f.call("readdir", name, false, func() error {
		dir, err := f.find(name)
		if err != nil {
			return err
		}
		if !dir.directory {
			return syscall.ENOTDIR
		}
		for child, n := range dir.entries {
			kinds[child] = f.infoOf(n).Kind
		}
		return nil
	}))
}
