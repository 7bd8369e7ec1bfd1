package media

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// notifier wakes the watcher when mounts change, or names in the directory
// do. It only makes things faster: the watcher looks for itself now and then,
// for not every file system tells.
type notifier struct {
	mounts  *os.File // mountinfo
	inotify int      // -1 where there is none
	stop    *os.File // an eventfd
	wake    chan struct{}
}

func newNotifier() (*notifier, error) {
	mounts, err := os.Open(mountsFile)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), mounts.Close())
	}
	n := &notifier{mounts: mounts, stop: os.NewFile(uintptr(stop), "eventfd"), wake: make(chan struct{}, 1)}
	if n.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		n.inotify = -1
	}
	return n, nil
}

// watch asks for the changes of a directory. To ask again is harmless, and
// finds the directory when it has come into being or was replaced.
func (n *notifier) watch(dir string) {
	if n.inotify >= 0 {
		const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE
		// Where it fails, polling has to do.
		_, _ = unix.InotifyAddWatch(n.inotify, dir, changes|unix.IN_ONLYDIR)
	}
}

// run wakes until ctx ends.
func (n *notifier) run(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() { _, _ = n.stop.Write([]byte{1, 1, 1, 1, 1, 1, 1, 1}) })
	defer release()
	fds := []unix.PollFd{
		{Fd: int32(n.stop.Fd()), Events: unix.POLLIN},
		{Fd: int32(n.mounts.Fd()), Events: unix.POLLPRI},
		{Fd: int32(n.inotify), Events: unix.POLLIN}, // ignored where negative
	}
	events := make([]byte, 4096)
	for ctx.Err() == nil {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for changes of mounts: %w", err)
		}
		for n.inotify >= 0 {
			if got, err := unix.Read(n.inotify, events); got <= 0 || err != nil {
				break
			}
		}
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// close ends the use of the notifier; run must have returned.
func (n *notifier) close() {
	_ = n.mounts.Close()
	_ = n.stop.Close()
	if n.inotify >= 0 {
		_ = unix.Close(n.inotify)
	}
}
