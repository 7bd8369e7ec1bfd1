package simfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth/fsstore/durable"
)

// FS is a simulated file system.
type FS struct {
	now func() time.Time

	mu       sync.Mutex // guards what follows, and all nodes
	root     *node
	pending  []change // of directories, that a power cut may undo
	sequence uint64
	inodes   uint64
	capacity int64 // bytes
	used     int64
	open     int
	locked   string // what the holder of the lock wrote
	fat      bool
	faults   faults
	// mostLinks is how many names a file may have, 0 for any number; one more
	// is refused with refusal.
	mostLinks int
	refusal   error
}

var _ durable.FS = (*FS)(nil)

// node is a file or a directory.
type node struct {
	inode     uint64
	links     int
	handles   int
	directory bool
	modified  int64
	changed   int64

	data    []byte // what calls see
	synced  []byte // what is durable
	settled int64  // the modification time that is durable

	entries map[string]*node     // of a directory: what calls see
	durable map[string]persisted // and what is durable
}

// persisted is a durable entry; gone is a durable removal, which an older
// change does not undo.
type persisted struct {
	node     *node // nil: gone
	sequence uint64
}

// change is one change of directory entries: a removal, an addition, or both.
type change struct {
	sequence         uint64
	from, to         *node
	fromName, toName string
	node             *node
}

// New makes an empty file system of 1 GiB. now gives the times of files.
func New(now func() time.Time) *FS {
	f := &FS{now: now, capacity: 1 << 30}
	f.root = f.newNode(true)
	return f
}

func (f *FS) newNode(directory bool) *node {
	f.inodes++
	n := &node{inode: f.inodes, directory: directory}
	n.modified = f.clock(f.now())
	n.changed, n.settled = n.modified, n.modified
	if directory {
		n.links = 1
		n.entries, n.durable = make(map[string]*node), make(map[string]persisted)
	}
	return n
}

// SetCapacity changes the size of the medium, in bytes.
func (f *FS) SetCapacity(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = n
}

// LimitLinks refuses links with err to files that have as many names.
func (f *FS) LimitLinks(most int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mostLinks, f.refusal = most, err
}

// LikeFAT makes it a file system without hard links, whose modification times
// count in steps of two seconds.
func (f *FS) LikeFAT() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fat = true
}

// clock rounds a time to what the file system can express.
func (f *FS) clock(t time.Time) int64 {
	if f.fat {
		return t.Truncate(2 * time.Second).UnixNano()
	}
	return t.UnixNano()
}

// OpenFiles is how many files are open.
func (f *FS) OpenFiles() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// find resolves a path.
func (f *FS) find(name string) (*node, error) {
	n := f.root
	if name == "." {
		return n, nil
	}
	for _, part := range strings.Split(name, "/") {
		if !n.directory {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[part]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parent resolves the directory of a path.
func (f *FS) parent(name string) (*node, string, error) {
	dir, err := f.find(path.Dir(name))
	if err == nil && !dir.directory {
		err = syscall.ENOTDIR
	}
	return dir, path.Base(name), err
}

// record notes a change of entries that is not durable yet.
func (f *FS) record(c change) {
	f.sequence++
	c.sequence = f.sequence
	f.pending = append(f.pending, c)
	now := f.now().UnixNano()
	if c.node != nil {
		c.node.changed = now
	}
	for _, dir := range []*node{c.from, c.to} {
		if dir != nil {
			dir.modified, dir.changed = now, now
		}
	}
}

// apply makes a change durable, unless a later one of the same names is.
func (c change) apply() {
	set := func(dir *node, name string, p persisted) {
		if dir != nil && dir.durable[name].sequence < c.sequence {
			dir.durable[name] = p
		}
	}
	set(c.from, c.fromName, persisted{nil, c.sequence})
	set(c.to, c.toName, persisted{c.node, c.sequence})
}

// unlink takes a link off a node, and frees its space with the last.
func (f *FS) unlink(n *node) {
	n.links--
	f.reap(n)
}

func (f *FS) reap(n *node) {
	if n.links == 0 && n.handles == 0 && !n.directory {
		f.used -= int64(len(n.data))
	}
}

func (f *FS) infoOf(n *node) durable.Info {
	info := durable.Info{
		Device: 1, Inode: n.inode, Size: int64(len(n.data)),
		Modified: n.modified, Changed: n.changed, Links: uint64(n.links), Kind: durable.Regular,
	}
	if n.directory {
		info.Kind = durable.Directory
	}
	return info
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func linkError(op, from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}

// ErrPowerCut is what every call gives after the power was cut.
var ErrPowerCut = errors.New("the power was cut")
