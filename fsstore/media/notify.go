package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// notifier tells the watcher at once when mounts change, when names in the
// directory do, and when something is written on a medium. It only makes things
// faster: the watcher looks for itself now and then, for not every file system
// tells.
type notifier struct {
	mounts  *os.File // mountinfo
	inotify int      // -1 where there is none
	stop    *os.File // an eventfd
	wake    chan struct{}
	changed chan struct{} // take has something

	mu     sync.Mutex // guards what follows
	dir    string
	top    int             // the watch of dir; -1: none
	owners map[int]string  // of the other watches: the medium's path
	count  map[string]int  // how many a medium has
	dirty  map[string]bool // media that were changed since take
}

// watchesPerMedium bounds what a medium with many directories takes; changes
// in the others are found by looking.
const watchesPerMedium = 1024

// changes are the events of a directory that matter. A watch keeps no file
// system from being unmounted, and ends with it.
const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR

func newNotifier() (*notifier, error) {
	mounts, err := os.Open(mountsFile)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), mounts.Close())
	}
	n := &notifier{
		mounts: mounts, stop: os.NewFile(uintptr(stop), "eventfd"),
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		top: -1, owners: map[int]string{}, count: map[string]int{}, dirty: map[string]bool{},
	}
	if n.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		n.inotify = -1
	}
	return n, nil
}

// watch asks for the changes of the directory. To ask again is harmless, and
// finds the directory when it has come into being or was replaced.
func (n *notifier) watch(dir string) {
	if n.inotify < 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dir, n.top = dir, -1
	if wd, err := unix.InotifyAddWatch(n.inotify, dir, changes); err == nil { // else polling has to do
		n.top = wd
	}
}

// watchFor asks for the changes of one of a medium's directories.
func (n *notifier) watchFor(medium, dir string) {
	if n.inotify < 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count[medium] >= watchesPerMedium {
		return
	}
	wd, err := unix.InotifyAddWatch(n.inotify, dir, changes|unix.IN_DONT_FOLLOW)
	if err != nil || wd == n.top {
		return
	}
	n.disown(wd)
	n.owners[wd] = medium
	n.count[medium]++
}

// disown forgets a watch; mu is held.
func (n *notifier) disown(wd int) {
	medium, ok := n.owners[wd]
	if !ok {
		return
	}
	delete(n.owners, wd)
	if n.count[medium]--; n.count[medium] == 0 {
		delete(n.count, medium)
	}
}

// forget ends the watches of a medium.
func (n *notifier) forget(medium string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.dirty, medium)
	if n.count[medium] == 0 {
		return
	}
	for wd, owner := range n.owners {
		if owner == medium {
			_, _ = unix.InotifyRmWatch(n.inotify, uint32(wd)) // with its file system, it is gone already
			delete(n.owners, wd)
		}
	}
	delete(n.count, medium)
}

// take returns the media that were changed, once.
func (n *notifier) take() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.dirty
	n.dirty = map[string]bool{}
	return taken
}

// run tells until ctx ends.
func (n *notifier) run(ctx context.Context) error {
	release := context.AfterFunc(ctx, func() { _, _ = n.stop.Write([]byte{1, 1, 1, 1, 1, 1, 1, 1}) })
	defer release()
	fds := []unix.PollFd{
		{Fd: int32(n.stop.Fd()), Events: unix.POLLIN},
		{Fd: int32(n.mounts.Fd()), Events: unix.POLLPRI},
		{Fd: int32(n.inotify), Events: unix.POLLIN}, // ignored where negative
	}
	events := make([]byte, 16<<10)
	for ctx.Err() == nil {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for changes of mounts: %w", err)
		}
		if fds[1].Revents != 0 {
			signal(n.wake)
		}
		for n.inotify >= 0 {
			got, err := unix.Read(n.inotify, events)
			if got <= 0 || err != nil {
				break
			}
			n.heed(events[:got])
		}
	}
	return nil
}

// heed takes note of inotify events.
func (n *notifier) heed(events []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(events)))
		mask := binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:end], []byte{0})
		events = events[end:]
		owner, owned := n.owners[wd]
		switch {
		case mask&unix.IN_IGNORED != 0:
			n.disown(wd)
		case mask&unix.IN_Q_OVERFLOW != 0:
			for medium := range n.count {
				n.dirty[medium] = true
			}
			signal(n.wake)
		case owned:
			n.dirty[owner] = true
		case wd == n.top:
			n.dirty[filepath.Join(n.dir, string(name))] = true
			signal(n.wake)
		}
	}
	if len(n.dirty) > 0 {
		signal(n.changed)
	}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// close ends the use of the notifier; run and all preparations must have
// returned.
func (n *notifier) close() {
	_ = n.mounts.Close()
	_ = n.stop.Close()
	if n.inotify >= 0 {
		_ = unix.Close(n.inotify)
	}
}
