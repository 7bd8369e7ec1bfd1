package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/tasks"
)

// thread is what a thread of this process has.
type thread struct {
	id, nice int
	ioClass  uintptr
}

const idle = 3 // the class of ioprio_get(2)

// self is the calling thread.
func self() thread { return look(unix.Gettid()) }

// look reads what a thread has, as the kernel tells others; nice is -99 where
// there is no such thread any more.
func look(id int) thread {
	class, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(id), 0)
	th := thread{id, -99, class >> 13}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", id))
	if err != nil {
		return th
	}
	// The name, which may hold anything, ends with the last parenthesis; nice is
	// the 17th field after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	th.nice, _ = strconv.Atoi(fields[16])
	return th
}

// lowered returns the threads of this process that have the least priority.
func lowered(t *testing.T) (low []thread) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/self/task/[0-9]*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("threads: %v, %v", dirs, err)
	}
	for _, dir := range dirs {
		id, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		if th := look(id); th.nice == 19 || th.ioClass == idle && th.nice != -99 {
			low = append(low, th)
		}
	}
	return low
}

// needsRoom skips where the tests themselves run at the least priority.
func needsRoom(t *testing.T) {
	t.Helper()
	if th := look(os.Getpid()); th.nice == 19 || th.ioClass == idle {
		t.Skip("the tests have the least priority themselves")
	}
}

// noneLow waits until the threads of rounds that have ended are gone.
func noneLow(t *testing.T) {
	t.Helper()
	var low []thread
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if low = lowered(t); len(low) == 0 {
			return
		}
	}
	t.Errorf("threads keep the least priority: %+v; the process is %d", low, os.Getpid())
}

// TestLow: the work runs with the least priority, and nothing beside or after
// it does.
func TestLow(t *testing.T) {
	needsRoom(t)
	before := look(os.Getpid())
	failed := errors.New("failed")
	for range 20 {
		err := tasks.Low(t.Context(), func(context.Context) error {
			th := self()
			if th.nice != 19 || th.ioClass != idle || th.id == os.Getpid() {
				t.Errorf("it runs on %+v; the process is %d", th, os.Getpid())
			}
			for range 3 {
				beside := make(chan thread)
				go func() { beside <- self() }()
				if got := <-beside; got.nice != before.nice || got.ioClass != before.ioClass || got.id == th.id {
					t.Errorf("a goroutine that it starts runs on %+v", got)
				}
			}
			return failed
		})
		if err != failed {
			t.Errorf("error %v", err)
		}
	}
	noneLow(t)
}

// TestRoundsAreLow: so do the rounds of a scheduler, paused ones included.
func TestRoundsAreLow(t *testing.T) {
	needsRoom(t)
	s := tasks.New(tasks.Options{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	seen := make(chan []thread)
	err := s.Add(tasks.Job{Name: "a", First: -1, Run: func(ctx context.Context, r *tasks.Round) error {
		err := r.Step(ctx, 1)
		seen <- append([]thread{self()}, lowered(t)...)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		over := make(chan error, 1)
		go func() {
			_, err := s.Trigger(ctx, "a", nil)
			over <- err
		}()
		if got := <-seen; len(got) != 2 || got[0] != got[1] || got[0].nice != 19 || got[0].ioClass != idle {
			t.Errorf("the round's thread, and all that have the least priority: %+v", got)
		}
		if err := <-over; err != nil {
			t.Errorf("the round: %v", err)
		}
		noneLow(t)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	noneLow(t)
}

// TestLowThatLeaves: work that ends its goroutine is no success.
func TestLowThatLeaves(t *testing.T) {
	err := tasks.Low(t.Context(), func(context.Context) error {
		runtime.Goexit() // as a test that fails does
		return nil
	})
	if err == nil {
		t.Error("no error")
	}
}
