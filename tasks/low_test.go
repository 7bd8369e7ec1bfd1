package tasks_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"berth/tasks"
)

func nice() int {
	n, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	return 20 - n // the system call's own scale
}

func ioprio() uintptr {
	p, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	return p >> 13
}

// TestLow: the work runs with the least priority, and nothing after it does.
func TestLow(t *testing.T) {
	before := nice()
	failed := errors.New("failed")
	err := tasks.Low(t.Context(), func(ctx context.Context) error {
		if n := nice(); n != 19 {
			t.Errorf("nice %d", n)
		}
		if p := ioprio(); p != 3 {
			t.Errorf("I/O class %d", p)
		}
		started := make(chan int)
		go func() { started <- nice() }()
		if n := <-started; n != before {
			t.Errorf("a goroutine that it starts has nice %d", n)
		}
		return failed
	})
	if err != failed {
		t.Errorf("error %v", err)
	}
	for range 50 {
		done := make(chan int)
		go func() { done <- nice() }()
		if n := <-done; n != before {
			t.Fatalf("nice %d afterwards, process %d", n, os.Getpid())
		}
	}
}
