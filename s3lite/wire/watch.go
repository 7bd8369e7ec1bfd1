package wire

import (
	"context"
	"io"
	"sync"
	"time"
)

// phase is what an exchange is doing.
type phase int

const (
	sendingPhase phase = iota
	readingPhase
	overPhase
)

// watch cancels an exchange in which nothing has moved for a while. It runs
// while the other side has to act, and stands still while this one does.
type watch struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards all below
	timer Timer
	limit time.Duration
	phase phase
}

func newWatch(clock Clock, limit time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{cancel: cancel, limit: limit}
	w.timer = clock.AfterFunc(limit, func() { cancel(ErrStalled) })
	return w
}

// pause stops the watch; a call from a phase that is over does nothing.
func (w *watch) pause(from phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from == w.phase {
		w.timer.Stop()
	}
}

// resume starts it anew.
func (w *watch) resume(from phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from == w.phase {
		w.timer.Reset(w.limit)
	}
}

// answered begins the reading phase, with another limit and the watch paused.
func (w *watch) answered(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase, w.limit = readingPhase, limit
	w.timer.Stop()
}

// stop ends the watch in whatever phase.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase = overPhase
	w.timer.Stop()
}

// answer is the body of an answer. Close makes the connection free for the
// next request where little of the body is left.
type answer struct {
	io.ReadCloser
	ctx    context.Context // the exchange's own: asked for why it ended, nothing else
	watch  *watch
	socket *socket // nil where bytes can only be read
	left   int64   // -1 where the length is not known
}

// drainAtMost is how much of a body is read in vain to keep its connection.
const drainAtMost = 64 << 10

// Mover is what the body of an answer is, too.
type Mover interface {
	io.Reader
	// ReadOrMove is Read, but what it reads is in a pipe in place of buf where it
	// says so. The pipe, the end to write to, must be empty.
	ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error)
}

// ReadOrMove reads from what may be a Mover.
func ReadOrMove(r io.Reader, buf []byte, pipe int) (n int, moved bool, err error) {
	if m, ok := r.(Mover); ok {
		return m.ReadOrMove(buf, pipe)
	}
	n, err = r.Read(buf)
	return n, false, err
}

// ReadOrMove implements Mover: bytes that are not encrypted go from the socket
// to the pipe without being copied.
func (a *answer) ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error) {
	if a.socket == nil {
		n, err = a.Read(buf)
		return n, false, err
	}
	a.watch.resume(readingPhase)
	n, moved, err = a.socket.readOrMove(a.ReadCloser, buf, pipe)
	return n, moved, a.count(n, err)
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	a.watch.resume(readingPhase)
	n, err := a.ReadCloser.Read(p)
	return n, a.count(n, err)
}

// count takes in what a read came to.
func (a *answer) count(n int, err error) error {
	a.watch.pause(readingPhase)
	if a.left > 0 {
		a.left -= int64(n)
	}
	if err != nil && err != io.EOF {
		err = reason(a.ctx, err)
	}
	return err
}

func (a *answer) Close() error {
	if a.left != 0 && a.left <= drainAtMost {
		_, _ = io.CopyN(io.Discard, a, drainAtMost)
	}
	err := a.ReadCloser.Close()
	a.watch.stop()
	a.watch.cancel(nil)
	return err
}

// reason puts a stall in the place of the cancellation that it caused.
func reason(ctx context.Context, err error) error {
	if context.Cause(ctx) == ErrStalled {
		return ErrStalled
	}
	return err
}
