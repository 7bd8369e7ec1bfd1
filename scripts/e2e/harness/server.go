package harness

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Config says how a server is started. The zero value is berth with its
// defaults on a root of its own.
type Config struct {
	Root    string   // "": a new folder that ends with the test
	Binary  string   // "": Binary(t)
	File    string   // configuration as TOML; "": none
	Args    []string // further arguments
	Env     []string // further environment
	Wrap    []string // command that starts berth: berth's command line follows it
	Address string   // "": a free port of 127.0.0.1
	NoWait  bool     // return at once, whether it serves or not
	Bare    bool     // no --root and no --address: berth's own defaults
	Dir     string   // working directory
	Local   bool     // the root directory is what it is about: never in a bucket
}

// Server is a running berth.
type Server struct {
	Root string
	Addr string // host:port

	t     testing.TB
	cmd   *exec.Cmd
	repos string        // the directory of the repositories' directories
	log   string        // a file: what is said before an answer is in it when that is there
	done  chan struct{} // closed when the process has ended
	err   error         // of the process; read after done
}

// Start starts berth and waits until it serves.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	if c.Root == "" {
		c.Root = t.TempDir()
	}
	if c.Binary == "" {
		c.Binary = Binary(t)
	}
	if c.Address == "" {
		c.Address = FreeAddress(t)
	}
	s := &Server{Root: c.Root, Addr: c.Address, repos: c.Root, t: t, log: filepath.Join(t.TempDir(), "log"), done: make(chan struct{})}
	if g := inEnvironment(t, &c); g != nil {
		s.repos = g.Dir
	}
	s.cmd = command(t, c)
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start of %v: %v", s.cmd.Args, err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(s.end)
	if !c.NoWait {
		s.WaitReady()
	}
	return s
}

func command(t testing.TB, c Config) *exec.Cmd {
	line := append([]string{}, c.Wrap...)
	line = append(line, c.Binary, "serve")
	if c.File != "" {
		line = append(line, WriteFile(t, "berth.toml", c.File))
	}
	if !c.Bare {
		line = append(line, "--root", c.Root, "--address", c.Address)
	}
	line = append(line, c.Args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(withoutBerth(os.Environ()), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// withoutBerth leaves out the variables that configure a berth, so that none of
// whoever runs the tests reaches the tested one.
func withoutBerth(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool { return strings.HasPrefix(v, "BERTH_") })
}

// WriteFile writes a file into a folder that ends with the test.
func WriteFile(t testing.TB, name, content string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// URL is the base of every request, without a trailing slash.
func (s *Server) URL() string { return "http://" + s.Addr }

// Ref names an image in the form that clients take: host:port/repo:tag.
func (s *Server) Ref(repoAndTag string) string { return s.Addr + "/" + repoAndTag }

// Docker is Ref as skopeo, buildah and podman take it.
func (s *Server) Docker(repoAndTag string) string { return "docker://" + s.Ref(repoAndTag) }

// Dir is the layout of a repository.
func (s *Server) Dir(repo string) string { return s.repos + "/" + repo }

// Log is what the server has said so far, in whole lines.
func (s *Server) Log() string {
	s.t.Helper()
	said, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(said[:bytes.LastIndexByte(said, '\n')+1])
}

// WaitLog waits until the server has said something that holds the text.
func (s *Server) WaitLog(text string) {
	s.t.Helper()
	Eventually(s.t, fmt.Sprintf("the log holds %q", text), func() error {
		if said := s.Log(); !strings.Contains(said, text) {
			return errors.New("it holds\n" + said)
		}
		return nil
	})
}

// PID is the process that was started: with Config.Wrap, the wrapper.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// WaitReady waits until the server answers GET /v2/.
func (s *Server) WaitReady() {
	s.t.Helper()
	Eventually(s.t, "berth serves", func() error {
		select {
		case <-s.done:
			s.t.Fatalf("berth ended before it served: %v\n%s", s.err, s.Log())
		default:
		}
		answer, err := (&http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.URL() + "/v2/")
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, s.Log())
		}
		return answer.Body.Close()
	})
}

// Signal sends a signal to the server.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v: %v", sig, err)
	}
}

// Kill ends the server and whatever started it as a power switch would, and
// waits until it is gone.
func (s *Server) Kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// Stop asks the server to end and fails the test unless it does so with exit
// code 0.
func (s *Server) Stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		s.t.Fatalf("berth after SIGTERM: %v\n%s", err, s.Log())
	}
}

// Wait waits for the end of the process and returns how it ended.
func (s *Server) Wait() error {
	s.t.Helper()
	select {
	case <-s.done:
		return s.err
	case <-time.After(Patience):
		s.t.Fatalf("berth still runs after %v\n%s", Patience, s.Log())
		return nil
	}
}

// end runs when the test is over: the log is shown where it failed.
func (s *Server) end() {
	select {
	case <-s.done:
	default:
		s.Kill()
	}
	if s.t.Failed() {
		s.t.Logf("log of berth on %s:\n%s", s.Addr, tail(s.Log(), 8000))
	}
}

func tail(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return "…" + text[len(text)-most:]
}
