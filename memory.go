package main

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"berth/config"
)

// gcPercent is how much the heap may grow between two collections. Half of Go's
// default keeps an idle process small; berth makes little garbage.
const gcPercent = 50

// limitMemory tunes the runtime's memory. What the operator set by GOGC or
// GOMEMLIMIT stays, unless the configuration names a limit of its own. It
// returns the limit in bytes, 0 for none.
func limitMemory(limit config.Bytes, root fs.FS, getenv func(string) string) int64 {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if limit == config.Auto {
		if getenv("GOMEMLIMIT") != "" {
			return debug.SetMemoryLimit(-1)
		}
		limit = config.Bytes(heapShare(groupLimit(root)))
	}
	if limit == 0 {
		return 0
	}
	debug.SetMemoryLimit(int64(limit))
	return int64(limit)
}

// heapShare is how much of a control group's limit the Go runtime may take.
// The rest is for socket buffers and page cache, which the group pays for too:
// a quarter, but no less than 16 MiB, and no more than half.
func heapShare(group int64) int64 {
	const kernel = 16 << 20
	return max(group-max(kernel, group/4), group/2)
}

// groupLimit returns the least memory limit, in bytes, of the control groups
// that the process is in, 0 where there is none. root is the file system's.
func groupLimit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, see cgroups(7)
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		if part[1] == "" {
			least = min(least, leastLimit(root, "sys/fs/cgroup", part[2], "memory.max"),
				leastLimit(root, "sys/fs/cgroup", part[2], "memory.high"))
		} else if strings.Contains(","+part[1]+",", ",memory,") {
			least = min(least, leastLimit(root, "sys/fs/cgroup/memory", part[2], "memory.limit_in_bytes"))
		}
	}
	if least >= 1<<50 { // version 1 writes "none" as a huge number
		return 0
	}
	return least
}

// leastLimit reads a limit of a group and of all groups above it. In a
// container the group's own path may not be there, and its top is.
func leastLimit(root fs.FS, mount, group, file string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if content, err := fs.ReadFile(root, path.Join(mount, dir, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if dir == "/" {
			return least
		}
	}
}
