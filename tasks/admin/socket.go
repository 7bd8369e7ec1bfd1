package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longestName is how long the address of a unix socket may be on Linux.
const longestName = 107

// place is the path of a socket, as something that can be bound and dialled
// however long it is: it is named through a descriptor of its directory.
type place struct {
	path string
	dir  *os.File
}

func openPlace(path string) (*place, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return &place{path, dir}, nil
}

func (p *place) Close() error { return p.dir.Close() }

// name is the address. It holds while the place is open.
func (p *place) name() string {
	if len(p.path) <= longestName {
		return p.path
	}
	return "/proc/self/fd/" + strconv.Itoa(int(p.dir.Fd())) + "/" + filepath.Base(p.path)
}

func (p *place) dial(ctx context.Context) (*net.UnixConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", p.name())
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// listen binds the socket, in place of one whose server has died. One whose
// server lives, and a file that is no socket, are errors.
func (p *place) listen(ctx context.Context) (*net.UnixListener, error) {
	// Two servers that start at once must not both take the other's for dead.
	release := p.alone(ctx)
	defer release()
	ln, err := p.bind(ctx)
	if !errors.Is(err, unix.EADDRINUSE) {
		return ln, err
	}
	info, err := os.Lstat(p.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket: remove it, or choose another path", p.path)
	}
	c, err := p.dial(ctx)
	if err == nil {
		c.Close()
		return nil, fmt.Errorf("another server listens at %s: choose another path", p.path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%s is in use: %w", p.path, err)
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return p.bind(ctx)
}

// bind makes the socket, for its owner alone from the first moment.
func (p *place) bind(ctx context.Context) (*net.UnixListener, error) {
	private := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if control := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); control != nil {
			return control
		}
		return err
	}}
	l, err := private.Listen(ctx, "unix", p.name())
	if err != nil {
		return nil, err
	}
	ln := l.(*net.UnixListener)
	ln.SetUnlinkOnClose(false)
	return ln, nil
}

// alone holds a lock on the directory, as far as that is to be had, until the
// returned function is called.
func (p *place) alone(ctx context.Context) func() {
	fd := int(p.dir.Fd())
	for range 40 {
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			return func() { _ = unix.Flock(fd, unix.LOCK_UN) }
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return func() {}
}

// mayAsk tells whether the other end belongs to root or to this user.
func mayAsk(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not ask this server: only root and user %d may", peer.Uid, os.Geteuid())
	}
	return nil
}
