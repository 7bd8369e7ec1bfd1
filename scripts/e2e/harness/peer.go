package harness

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// startPeer starts a server that berth uses, and returns when a URL of it
// answers with anything but 503. It ends with the test, with its log where that
// has failed.
func startPeer(t testing.TB, name string, cmd *exec.Cmd, url string) {
	t.Helper()
	log := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start of %v: %v", cmd.Args, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s at %s:\n%s", name, url, tail(log.String(), 8000))
		}
	})
	Eventually(t, name+" answers", func() error {
		answer, err := (&http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		if err != nil {
			return fmt.Errorf("%w; its log:\n%s", err, log.String())
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		if answer.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("it says that it is not ready; its log:\n%s", log.String())
		}
		return nil
	})
}

// syncBuffer is a bytes.Buffer that the process and the test share.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
