package tasks

import (
	"context"
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// ioprio_set(2): IOPRIO_WHO_PROCESS, and the idle class without a level.
	ioprioProcess = 1
	ioprioIdle    = 3 << 13
	lowestNice    = 19
)

// errGone is the result of work that ended its goroutine.
var errGone = errors.New("ended without a result")

// Low runs fn on a thread of its own with the least priority, for the
// processor and for disks, and returns what it returns. Goroutines that fn
// starts run elsewhere, with the priority of the process. Where the priority
// cannot be lowered, fn runs as it is.
func Low(ctx context.Context, fn func(context.Context) error) error {
	done := make(chan error, 1)
	go ownThread(func() {
		err := errGone
		defer func() { done <- err }()
		lower()
		err = fn(ctx)
	})
	return <-done
}

// ownThread runs fn on a thread that ends with the calling goroutine, so that
// what fn does to it is passed on to nothing. The first thread of the process
// never ends: on that one it holds the thread until another goroutine, which
// thus has another thread, runs fn.
func ownThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		fn() // the thread is never unlocked
		return
	}
	defer runtime.UnlockOSThread()
	elsewhere := make(chan struct{})
	go ownThread(func() {
		close(elsewhere)
		fn()
	})
	<-elsewhere
}

// lower gives the calling thread the least priority.
func lower() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowestNice)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, ioprioIdle)
}
