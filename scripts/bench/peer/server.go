// Package peer starts the servers that are measured: berth, docker-registry
// and nginx, each as a process pinned to one processor, in a memory control
// group of its own, with its data under a folder that the caller chose and no
// access log. Whoever starts one stops it; a server also ends with the process
// that started it.
package peer

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/bench/client"
	"berth/bench/probe"
)

// Kind is one of the servers.
type Kind string

// The servers.
const (
	Berth  Kind = "berth"
	Docker Kind = "docker-registry"
	Nginx  Kind = "nginx"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
)

// Config says how a server is started.
type Config struct {
	Kind   Kind
	Binary string // of berth; the others come from PATH
	Dir    string // an existing folder for its data, configuration and log
	CPU    int    // the processor it may use; below 0: all
	Commit bool   // berth's storage.commit
	Lines  string // further lines of berth's section storage, each with its end
	Group  *probe.Group
	Bucket *Bucket  // where berth and docker-registry keep their data; nil: in Dir
	Wrap   []string // a command that starts the server, such as strace
}

// Server is a running server.
type Server struct {
	Config
	Addr    string    // host:port
	Started time.Time // just before the process was made

	cmd  *exec.Cmd
	log  bytes.Buffer  // written by cmd; read after done
	done chan struct{} // closed when the process has ended
	err  error         // of the process; read after done
}

// Launch starts a server and returns at once.
func Launch(c Config) (*Server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.data(), 0o755); err != nil {
		return nil, err
	}
	line, err := c.command(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, Addr: addr, done: make(chan struct{})}
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Dir = c.Dir
	// What configures an S3 client is in the configuration, and nowhere else.
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	s.Started = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start of %s: %w", c.Kind, err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// Start starts a server and waits until it answers.
func Start(c Config) (*Server, error) {
	s, err := Launch(c)
	if err != nil {
		return nil, err
	}
	conn := client.New(s.Addr)
	defer conn.Close()
	err = s.Await(func() error {
		_, _, err := conn.Fetch(client.Head("GET", "/v2/", -1))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Await calls try until it succeeds, the server ends or it takes too long.
func (s *Server) Await(try func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %v\n%s", s.Kind, s.err, s.log.String())
		case <-time.After(500 * time.Microsecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve: %w", s.Kind, err)
		}
	}
}

// Stop ends the server and waits until it is gone. It returns an error where
// the server had ended before.
func (s *Server) Stop() error {
	if !s.Alive() {
		return fmt.Errorf("%s ended on its own: %v\n%s", s.Kind, s.err, s.log.String())
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	}
	return nil
}

// Alive tells whether the process that was started still runs.
func (s *Server) Alive() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Tree is the server's process with its children.
func (s *Server) Tree() probe.Tree { return probe.Tree{Root: s.cmd.Process.Pid} }

// Data is the folder that holds what the server serves.
func (s *Server) Data() string { return s.data() }

func (c Config) data() string { return filepath.Join(c.Dir, "data") }

// command is the server's whole command line. A shell joins the control group
// and then becomes the server, so that all its memory counts.
func (c Config) command(addr string) ([]string, error) {
	line, err := c.serve(addr)
	if err != nil {
		return nil, err
	}
	line = append(c.Wrap[:len(c.Wrap):len(c.Wrap)], line...)
	if c.CPU >= 0 {
		line = append([]string{"taskset", "-c", strconv.Itoa(c.CPU)}, line...)
	}
	if c.Group != nil {
		join := []string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, c.Group.Procs()}
		line = append(join, line...)
	}
	return line, nil
}

// serve writes the configuration and returns the command that uses it.
func (c Config) serve(addr string) ([]string, error) {
	host, port, _ := strings.Cut(addr, ":")
	file, text, line := "", "", []string(nil)
	switch c.Kind {
	case Berth:
		file = filepath.Join(c.Dir, "berth.toml")
		lines := c.Lines
		if c.Bucket != nil {
			lines += c.Bucket.lines()
		}
		text = fmt.Sprintf(berthConfig, c.data(), c.Commit, lines, host, port)
		line = []string{c.Binary, "serve", file}
	case Docker:
		file = filepath.Join(c.Dir, "registry.yml")
		place := fmt.Sprintf(dockerFolder, c.data())
		if c.Bucket != nil {
			place = c.Bucket.yaml()
		}
		text = fmt.Sprintf(dockerConfig, place, addr)
		line = []string{"docker-registry", "serve", file}
	case Nginx:
		file = filepath.Join(c.Dir, "nginx.conf")
		text = strings.NewReplacer("@DIR@", c.Dir, "@DATA@", c.data(), "@ADDR@", addr, "@TYPE@", client.ManifestType).Replace(nginxConfig)
		line = []string{"nginx", "-c", file, "-p", c.Dir}
	default:
		return nil, fmt.Errorf("server %q is not known", c.Kind)
	}
	return line, os.WriteFile(file, []byte(text), 0o644)
}

// freeAddress is an address of 127.0.0.1 that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
