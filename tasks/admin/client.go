package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Call has the server at a path do what a verb stands for, and calls line for
// each line that it sends. Where nobody listens there the error is
// ErrNoServer; any other means that a server is there, or that nobody knows.
// When ctx ends, or line fails, the server ends what it does.
func Call(ctx context.Context, path, verb string, args []string, line func(json.RawMessage) error) error {
	c, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err = talk(c, request{verb, args}, line); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	p, err := openPlace(path)
	var c *net.UnixConn
	if err == nil {
		defer p.Close()
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		c, err = p.dial(ctx)
	}
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s", ErrNoServer, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the server at %s may be asked by root and its own user only: %w", path, err)
	}
	return nil, fmt.Errorf("ask the server at %s: %w", path, err)
}

// talk sends a request and reads what comes back.
func talk(c net.Conn, req request, line func(json.RawMessage) error) error {
	content, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if len(content) >= maxRequest {
		return fmt.Errorf("a request has at most %d bytes", maxRequest)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	// A server that refuses does so before it reads: its answer says why.
	_, sent := c.Write(append(content, '\n'))
	lines := bufio.NewReader(c)
	for {
		a, err := readAnswer(lines)
		switch {
		case err != nil && sent != nil:
			return fmt.Errorf("a server is there and does not answer: %w", sent)
		case err != nil:
			return fmt.Errorf("a server is there and does not answer: %w", err)
		case a.Error != "":
			return errors.New(a.Error)
		case a.End:
			return nil
		case a.Hello != "":
			_ = c.SetDeadline(time.Time{}) // what was asked for may take long
		case a.Line != nil:
			if err := line(a.Line); err != nil {
				return err
			}
		}
	}
}

// readAnswer reads one line of a server.
func readAnswer(r *bufio.Reader) (a answer, err error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			err := json.Unmarshal(line, &a)
			return a, err
		case err == io.EOF:
			return a, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return a, err
		case len(line) > maxLine:
			return a, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
	}
}
