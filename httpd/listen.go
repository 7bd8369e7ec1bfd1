package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// acceptLoop takes connections off a listener until it is closed. It holds a
// slot before it takes one, so what is over the limit waits in the kernel's
// queue; a client that waits there ends the longest idle connection.
func (s *Server) acceptLoop(ctx context.Context, ln net.Listener) error {
	delay := time.Duration(0)
	for {
		if !s.takeSlot(ctx) {
			return nil
		}
		raw, err := ln.Accept()
		if err == nil {
			delay = 0
			s.welcome(ctx, raw)
			continue
		}
		<-s.conns.slots
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return ignoreAfter(ctx, err)
		}
		if !temporary(err) {
			return err
		}
		delay = nextDelay(delay)
		s.opts.Log.Warn("cannot accept a connection; those that exist are served on",
			slog.String("listener", ln.Addr().String()), slog.Any("error", err), slog.Duration("retry", delay))
		s.conns.closeLongestIdle()
		sleep(ctx, delay)
	}
}

// takeSlot waits for room for one more connection.
func (s *Server) takeSlot(ctx context.Context) bool {
	select {
	case s.conns.slots <- struct{}{}:
		return true
	default:
	}
	for {
		s.conns.closeLongestIdle()
		select {
		case s.conns.slots <- struct{}{}:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ignoreAfter is the error of a listener that was closed: none where berth
// itself did so.
func ignoreAfter(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// temporary tells whether accepting can work again: a client that left while
// it waited, or no descriptors or memory just now.
func temporary(err error) bool {
	for _, e := range [...]unix.Errno{unix.EMFILE, unix.ENFILE, unix.ECONNABORTED, unix.ENOBUFS, unix.ENOMEM, unix.EPERM, unix.EINTR, unix.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// nextDelay doubles from 5 ms to 1 s.
func nextDelay(d time.Duration) time.Duration {
	return min(max(2*d, 5*time.Millisecond), time.Second)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
