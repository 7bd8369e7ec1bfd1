package cache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait of a test for something that has to come about.
const patience = 2 * time.Minute

// children are programs that run in a process of their own, which may die.
var children = map[string]func(dir string) error{
	"memory": memoryChild,
	"load":   loadChild,
	"use":    useChild,
	"full":   fullChild,
}

const childVar = "BERTH_CACHE_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childVar)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child makes a command that runs one of the children on a directory.
func child(t testing.TB, name, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
	cmd.Env = append(append(os.Environ(), childVar+"="+name), env...)
	return cmd
}

// runChild runs a child to its end and returns what it printed.
func runChild(t testing.TB, name, dir string, env ...string) string {
	t.Helper()
	cmd := child(t, name, dir, env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child %s: %v\n%s%s", name, err, out, &errs)
	}
	return string(out)
}

// startIndex is start for a child.
func startIndex(opt Options) (x *Index, stop func()) {
	opt.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opt.openWait, opt.stuckAfter = patience, patience
	x = New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	for {
		x.mu.Lock()
		running := x.stage != stopped
		x.mu.Unlock()
		if running {
			return x, func() { cancel(); <-done }
		}
		time.Sleep(time.Millisecond)
	}
}

// residentKiB reads a field of this process's status, in KiB.
func residentKiB(field string) int {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return -1
	}
	defer f.Close()
	return statusField(f, field)
}

func statusField(r io.Reader, field string) int {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), field+":"); found {
			n, _ := strconv.Atoi(strings.Fields(value)[0])
			return n
		}
	}
	return -1
}

// untilClosed waits until nobody has the index of a directory open.
func untilClosed(dir string) error {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer f.Close()
	for unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}
