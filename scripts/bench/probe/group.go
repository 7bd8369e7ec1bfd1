package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Group is a memory control group of its own for one server, of version 1 or
// 2, whichever the machine has.
type Group struct {
	dir string
	v2  bool
}

// ErrNoGroups says that the machine lets this process make no memory control
// groups: most often it is not root.
var ErrNoGroups = errors.New("no memory control groups")

// NewGroup makes a group. limit is its memory limit in bytes without swap; 0:
// none. Errors: ErrNoGroups.
func NewGroup(name string, limit int64) (*Group, error) {
	parent, v2, err := memoryHierarchy()
	if err != nil {
		return nil, err
	}
	g := &Group{dir: filepath.Join(parent, name), v2: v2}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	if err := g.limit(limit); err != nil {
		_ = g.Close()
		return nil, err
	}
	return g, nil
}

// memoryHierarchy finds where memory groups are made.
func memoryHierarchy() (dir string, v2 bool, err error) {
	const unified, one = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
	if _, err := os.Stat(one + "/memory.limit_in_bytes"); err == nil {
		return one, false, nil
	}
	controllers, err := os.ReadFile(unified + "/cgroup.controllers")
	if err != nil || !strings.Contains(string(controllers), "memory") {
		return "", false, ErrNoGroups
	}
	err = os.WriteFile(unified+"/cgroup.subtree_control", []byte("+memory"), 0)
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	return unified, true, nil
}

// limit sets the limit. In version 1 it also begins to count the sockets'
// memory, which the kernel does only where that has a limit, and which it
// keeps apart from the group's other memory.
func (g *Group) limit(bytes int64) error {
	if g.v2 {
		if bytes == 0 {
			return nil
		}
		_ = g.write("memory.swap.max", "0") // absent on a kernel without swap
		return g.write("memory.max", strconv.FormatInt(bytes, 10))
	}
	_ = g.write("memory.kmem.tcp.limit_in_bytes", strconv.FormatInt(1<<40, 10)) // a kernel may lack it
	if bytes == 0 {
		return nil
	}
	if err := g.write("memory.limit_in_bytes", strconv.FormatInt(bytes, 10)); err != nil {
		return err
	}
	_ = g.write("memory.memsw.limit_in_bytes", strconv.FormatInt(bytes, 10)) // needs swap accounting
	return nil
}

func (g *Group) write(file, value string) error {
	return os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0)
}

// Procs is the file into which a process writes its number to join.
func (g *Group) Procs() string { return filepath.Join(g.dir, "cgroup.procs") }

// Version names the kind of the group.
func (g *Group) Version() string {
	if g.v2 {
		return "cgroup v2"
	}
	return "cgroup v1"
}

// Dirty is the group's page cache that is dirty or under write-back.
func (g *Group) Dirty() (int64, error) {
	if g.v2 {
		return g.sum("memory.stat", "file_dirty", "file_writeback")
	}
	return g.sum("memory.stat", "dirty", "writeback")
}

// OOMKills counts the processes of the group that the kernel killed for lack
// of memory.
func (g *Group) OOMKills() (int64, error) {
	if g.v2 {
		return g.sum("memory.events", "oom_kill")
	}
	return g.sum("memory.oom_control", "oom_kill")
}

// TCP is the memory of the group's sockets: the server's side alone.
func (g *Group) TCP() (int64, error) {
	if g.v2 {
		return g.sum("memory.stat", "sock")
	}
	content, err := os.ReadFile(filepath.Join(g.dir, "memory.kmem.tcp.usage_in_bytes"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
}

// sum adds up lines of the form "name 123".
func (g *Group) sum(file string, names ...string) (int64, error) {
	content, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		for _, name := range names {
			if len(fields) == 2 && fields[0] == name {
				n, err := strconv.ParseInt(fields[1], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", file, err)
				}
				sum += n
			}
		}
	}
	return sum, nil
}

// Close removes the group, whose processes must have ended. The kernel may
// need a moment to let go of them.
func (g *Group) Close() error {
	var err error
	for range 50 {
		if err = syscall.Rmdir(g.dir); err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("rmdir %s: %w", g.dir, err)
}
