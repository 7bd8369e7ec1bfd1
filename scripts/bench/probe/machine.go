package probe

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is what /proc/stat counts in; Linux fixes USER_HZ at 100 for
// every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// TCPMemory is the kernel's memory for all TCP sockets, both ends of loopback
// connections included (/proc/net/sockstat).
func TCPMemory() (int64, error) {
	content, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "TCP:" {
			continue
		}
		pages, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
		return pages * int64(os.Getpagesize()), err
	}
	return 0, fmt.Errorf("/proc/net/sockstat has no TCP line")
}

// Busy is the processor time that the whole machine has spent on anything but
// being idle or waiting for a disk.
func Busy() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	var sum int64
	for i, field := range strings.Fields(line)[1:] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 && i < 8 { // idle, iowait; guest is in user already
			sum += ticks
		}
	}
	return time.Duration(sum) * clockTick, nil
}

// Own is the processor time of the calling process.
func Own() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPUs is how many processors the machine has, whatever this process may use.
func CPUs() int {
	content, _ := os.ReadFile("/proc/cpuinfo")
	return max(1, bytes.Count(content, []byte("processor\t:")))
}

// Model is the name of the processor.
func Model() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// Kernel is the kernel's release.
func Kernel() string {
	content, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(content))
}

// Congestion is how the kernel decides when TCP may send: algorithms that send
// by a clock, as bbr does, cost a good part of what delivery over loopback does.
func Congestion() string {
	content, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return strings.TrimSpace(string(content))
}

// Load is the machine's load average over the last minute. /proc/loadavg always
// has it first.
func Load() string {
	content, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(content), " ")
	return first
}

// Total is the machine's memory.
func Total() int64 {
	content, _ := os.ReadFile("/proc/meminfo")
	return kilobytes(content)["MemTotal"]
}

// FileSystem is the type of the file system that holds a folder, and whether
// an ext4 lacks its journal, which makes much of the difference for writes.
func FileSystem(dir string) string {
	content, _ := os.ReadFile("/proc/self/mounts")
	best, device, kind := "", "", "unknown"
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(best) {
			continue
		}
		if fields[1] == "/" || dir == fields[1] || strings.HasPrefix(dir, fields[1]+"/") {
			device, best, kind = fields[0], fields[1], fields[2]
		}
	}
	if journals, _ := filepath.Glob("/proc/fs/jbd2/" + filepath.Base(device) + "-*"); kind == "ext4" && len(journals) == 0 {
		return kind + " without a journal"
	}
	return kind
}
