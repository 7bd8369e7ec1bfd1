package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Server.
type Options struct {
	Path  string // of the socket
	Verbs map[string]Handler
	Log   *slog.Logger // nil: discard
}

// Server answers commands.
type Server struct {
	verbs map[string]Handler
	log   *slog.Logger
	place *place
	ln    *net.UnixListener
	file  os.FileInfo // of the socket
	slots chan struct{}
}

// Listen makes the socket. Nothing is answered before Run.
func Listen(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{verbs: opts.Verbs, log: opts.Log, slots: make(chan struct{}, maxClients)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.place, err = openPlace(opts.Path); err != nil {
		return nil, fmt.Errorf("make the admin socket: %w", err)
	}
	if s.ln, err = s.place.listen(ctx); err == nil {
		s.file, err = os.Lstat(opts.Path)
	}
	if err != nil {
		if s.ln != nil {
			s.ln.Close()
		}
		s.place.Close()
		return nil, fmt.Errorf("make the admin socket: %w", err)
	}
	return s, nil
}

// Run answers commands until ctx ends. Then it ends those that are under way
// and removes the socket. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.place.Close()
	defer s.remove()
	defer context.AfterFunc(ctx, func() { s.ln.Close() })()
	defer s.ln.Close()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := s.ln.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many files are open, perhaps
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		default:
			clients.Go(func() { s.welcome(ctx, c) })
		}
	}
}

// remove takes the socket away, unless it is another's by now.
func (s *Server) remove() {
	if now, err := os.Lstat(s.place.path); err == nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.place.path)
	}
}

// welcome answers one client.
func (s *Server) welcome(running context.Context, c *net.UnixConn) {
	var watching sync.WaitGroup
	defer watching.Wait()
	defer c.Close()
	ctx, cancel := context.WithCancel(running)
	defer cancel()
	w := &writer{c: c, gone: cancel}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		_ = w.send(answer{End: true, Error: "too many commands are being answered: try again later"})
		return
	}
	req, err := s.receive(ctx, c, w)
	if err == nil {
		watching.Go(func() {
			_, _ = c.Read(make([]byte, 1)) // a client sends nothing more: it has left
			cancel()
		})
		err = s.perform(ctx, req, w)
	}
	last := answer{End: true}
	switch {
	case err != nil && running.Err() != nil:
		last.Error = "the server is stopping"
	case err != nil:
		last.Error = err.Error()
	}
	_ = w.send(last)
}

// receive reads a request from a client who may send one.
func (s *Server) receive(ctx context.Context, c *net.UnixConn, w *writer) (req request, err error) {
	if err := mayAsk(c); err != nil {
		s.log.Warn("a command was refused at the admin socket", "error", err)
		return req, err
	}
	if err := w.send(answer{Hello: hello}); err != nil {
		return req, err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if req, err = readRequest(c); err != nil {
		return req, err
	}
	return req, c.SetReadDeadline(time.Time{})
}

// readRequest reads one line and nothing after it.
func readRequest(r io.Reader) (req request, err error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	if err == io.EOF && len(line) == maxRequest {
		return req, fmt.Errorf("a request has at most %d bytes", maxRequest)
	}
	if err != nil {
		return req, fmt.Errorf("the request was not received: %w", err)
	}
	if err := json.Unmarshal(line, &req); err != nil {
		return req, fmt.Errorf("the request is not understood: %w", err)
	}
	return req, nil
}

// perform runs a command. One that panics has failed.
func (s *Server) perform(ctx context.Context, req request, w *writer) (err error) {
	do := s.verbs[req.Verb]
	if do == nil {
		known := slices.Sorted(maps.Keys(s.verbs))
		return fmt.Errorf("this server knows no command %q; it knows: %s", req.Verb, strings.Join(known, ", "))
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a command panicked", "verb", req.Verb, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("the command panicked: %v", p)
		}
	}()
	return do(ctx, req.Args, w.line)
}

// writer sends lines to a client, one at a time.
type writer struct {
	c    *net.UnixConn
	gone func() // called when the client does not take them

	mu sync.Mutex // orders lines
}

func (w *writer) line(v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.send(answer{Line: content})
}

func (w *writer) send(a answer) error {
	content, err := json.Marshal(a)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.c.SetWriteDeadline(time.Now().Add(patience))
	if _, err = w.c.Write(append(content, '\n')); err != nil {
		w.gone()
	}
	return err
}
