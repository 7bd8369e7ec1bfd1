// Package tasks runs work in the background that nobody waits for. It owns how
// such work is kept out of the way of requests; what the work is, its
// subpackages say, as jobs over the ports of package oci.
//
// Invariant: a job ends soon after its context does, and leaves nothing running.
package tasks

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// ioprio_set(2): IOPRIO_WHO_PROCESS, and the idle class without a level.
	ioprioProcess = 1
	ioprioIdle    = 3 << 13
	lowestNice    = 19
)

// Low runs fn on a thread of its own with the least priority, for the
// processor and for disks, and returns what it returns. Goroutines that fn
// starts run elsewhere, with the priority of the process. Where the priority
// cannot be lowered, fn runs as it is.
func Low(ctx context.Context, fn func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so it ends with the goroutine and its
		// priority is passed on to nothing.
		runtime.LockOSThread()
		lower()
		done <- fn(ctx)
	}()
	return <-done
}

// lower gives the calling thread the least priority.
func lower() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowestNice)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, ioprioIdle)
}
