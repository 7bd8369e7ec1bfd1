// Package probe reads what processes, control groups and the machine use, from
// /proc and /sys. Sizes are bytes. Nothing here changes what it observes, aside
// from the control groups that it makes itself.
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
	"unsafe"
)

// Tree is a process and all its descendants.
type Tree struct{ Root int }

// PIDs lists the processes of the tree, the root first.
func (t Tree) PIDs() []int {
	all := []int{t.Root}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			content, _ := os.ReadFile(list) // a thread that ended has none
			for _, field := range strings.Fields(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// CPU is the processor time that the processes of the tree have used, in
// nanosecond resolution, with that of threads that have ended
// (clock_getcpuclockid(3)). Kernel work that a system call causes on the way
// out, loopback delivery included, is in it.
func (t Tree) CPU() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range t.PIDs() {
		var used syscall.Timespec
		clock := uintptr(^pid<<3 | cpuClock)
		if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&used)), 0); errno == 0 {
			sum += time.Duration(used.Nano())
		} // else the process has ended
	}
	if sum == 0 {
		return 0, fmt.Errorf("process %d: no processor time; is it gone?", t.Root)
	}
	return sum, nil
}

// cpuClock is CPUCLOCK_SCHED, what the processor spent on a whole process.
const cpuClock = 2

// Memory is what a process tree has resident.
type Memory struct {
	RSS       int64
	Anonymous int64
}

// Memory sums /proc/PID/smaps_rollup over the tree. Pages that parent and
// child share count twice.
func (t Tree) Memory() (Memory, error) {
	var sum Memory
	for i, pid := range t.PIDs() {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil && i == 0 {
			return sum, err
		}
		fields := kilobytes(content)
		sum.RSS += fields["Rss"]
		sum.Anonymous += fields["Anonymous"]
	}
	return sum, nil
}

// kilobytes reads lines of the form "Name:   123 kB" into bytes.
func kilobytes(content []byte) map[string]int64 {
	fields := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		number, isKB := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); isKB && err == nil {
			fields[name] = n << 10
		}
	}
	return fields
}
