package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"berth/config"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// listen opens the sockets to serve on: those that systemd handed over, and
// else the configured ones. On failure none is left open. What was handed over
// stays open at systemd's end, and what waits in it is not lost, when the
// process leaves.
func listen(addresses []config.Address) (listeners []net.Listener, handed bool, err error) {
	if listeners, err = activation.Listeners(); err != nil {
		return nil, false, fmt.Errorf("cannot use the sockets that systemd handed over: %w", err)
	}
	if len(listeners) > 0 {
		if slices.Contains(listeners, nil) {
			return nil, false, errors.New("cannot use a socket that systemd handed over: it is not a stream socket that listens; see ListenStream= and Accept=no in systemd.socket(5)")
		}
		return listeners, true, nil
	}
	for _, a := range addresses {
		l, err := listenAt(a)
		if err != nil {
			closeAll(listeners)
			return nil, false, fmt.Errorf("cannot listen at %s: %w", a.Addr, explainListen(err))
		}
		listeners = append(listeners, l)
	}
	return listeners, false, nil
}

func listenAt(a config.Address) (net.Listener, error) {
	if a.Network != "unix" {
		return net.Listen(a.Network, a.Addr)
	}
	if err := removeStale(a.Addr); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", a.Addr)
	if err != nil {
		return nil, err
	}
	// To connect takes the right to write. The directory's rights narrow it.
	if err := os.Chmod(a.Addr, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket that nobody listens on any more: a process that
// was killed leaves it behind. Nothing else is removed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil // listening will say what is wrong, if anything is
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return unix.EADDRINUSE
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// explainListen says what to do about a failure.
func explainListen(err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return errors.New("another process listens there already: stop it, or choose another address by http.address, http.port or --address")
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return errors.New("this machine has no such address: see ip address, and http.address or --address")
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("not permitted: a port under 1024 takes CAP_NET_BIND_SERVICE, a unix socket a directory that may be written to (%w)", err)
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// locations says where the listeners can be reached.
func locations(listeners []net.Listener, secure bool) []string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	var out []string
	for _, l := range listeners {
		if a := l.Addr(); a.Network() == "unix" {
			out = append(out, "unix:"+a.String())
		} else {
			out = append(out, scheme+a.String())
		}
	}
	return out
}
