package httpd

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeContent is what content that comes over a socket may be: ReadOrMove is
// Read, but what it reads is in an empty pipe in place of buf where it says so.
// From there it goes out by splice(2).
type pipeContent interface {
	ReadOrMove(buf []byte, pipe int) (n int, moved bool, err error)
}

// A pipe is an empty one between two calls.
type pipe [2]int

func newPipe() (p pipe, err error) {
	if err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err == nil {
		_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, wideSize)
	}
	return p, err
}

func (p pipe) close() {
	_ = unix.Close(p[0])
	_ = unix.Close(p[1])
}

// sendWide sends until the content ends, or the client is no longer sent to
// fast: a slow one is not to hold so much.
func (c *conn) sendWide(from *io.LimitedReader) (sent int64, err error) {
	buf := c.own.wide.Get().(*[]byte)
	defer c.own.wide.Put(buf)
	next := func(buf []byte) (n int, moved bool, err error) {
		n, err = from.R.Read(buf)
		return n, false, err
	}
	var p pipe
	if content, ok := from.R.(pipeContent); ok {
		if p, err = newPipe(); err == nil {
			defer p.close()
			next = func(buf []byte) (int, bool, error) { return content.ReadOrMove(buf, p[1]) }
		}
	}
	for err = nil; err == nil && from.N > 0 && c.fast; {
		n, moved, readErr := next((*buf)[:min(int64(len(*buf)), from.N)])
		from.N -= int64(n)
		var out int
		if moved {
			out, err = c.splice(p[0], n)
		} else {
			out, err = c.Write((*buf)[:n])
		}
		sent += int64(out)
		if err == nil {
			err = readErr
		}
	}
	if err == io.EOF {
		err = nil
	}
	return sent, err
}

// splice sends what is in a pipe: n bytes.
func (c *conn) splice(pipe, n int) (sent int, err error) {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		var failed error
		c.out.waiting.Store(true)
		before := sent
		err = raw.Write(func(fd uintptr) bool {
			for sent < n {
				some, err := unix.Splice(pipe, nil, int(fd), nil, n-sent, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
				failed = err
				switch {
				case some > 0:
					sent += int(some)
				case failed == nil:
					failed = io.ErrUnexpectedEOF
				}
				if failed != nil && failed != unix.EINTR {
					return failed != unix.EAGAIN
				}
			}
			return true
		})
		c.out.waiting.Store(false)
		c.out.moved.Add(int64(sent - before))
		if err == nil && failed != nil && sent < n {
			err = os.NewSyscallError("splice", failed)
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.goOnWriting(err) {
			return sent, err
		}
	}
}
