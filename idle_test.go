package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/config"
	"berth/httpd"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks"
)

// activated is a socket as systemd keeps it: it stays when a server leaves.
type activated struct {
	file *os.File
	addr string
}

func newActivated(t *testing.T) activated {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return activated{file, ln.Addr().String()}
}

// launch starts a server on the socket, at its default root in dir.
func (a activated) launch(t *testing.T, idleExit string) *server {
	t.Helper()
	// LISTEN_PID has to be the process's own.
	s := launch(t, []string{"LISTEN_FDS=1", "BERTH_IDLEEXIT=" + idleExit}, []*os.File{a.file},
		"/bin/sh", "-c", "export LISTEN_PID=$$; exec "+berthBinary+" serve")
	s.await("msg=serving")
	return s
}

// TestIdleExit: a server leaves when nobody needs it, no connection is lost by
// that, and the next server answers what came between.
func TestIdleExit(t *testing.T) {
	t.Parallel()
	a := newActivated(t)
	nc, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	s := a.launch(t, "2s")
	time.Sleep(3 * time.Second) // longer than it would stay by itself
	select {
	case <-s.done:
		t.Fatalf("it left while a client was connected\n%s", s.logged())
	default:
	}
	nc.Close()
	if code := s.end(); code != 0 || !strings.Contains(s.logged(), "leaving until the next connection") {
		t.Fatalf("exit status %d\n%s", code, s.logged())
	}

	answered := make(chan error, 1)
	go func() { // waits in the socket's queue until there is a server
		resp, err := (&http.Client{Timeout: time.Minute}).Get("http://" + a.addr + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	a.launch(t, "1h")
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestIdleExitNeedsSystemd: nobody would start it again.
func TestIdleExitNeedsSystemd(t *testing.T) {
	t.Parallel()
	s := start(t, []string{"BERTH_IDLEEXIT=1s", "BERTH_HTTP_PORT=0"})
	s.await("berth stays, however idle")
	time.Sleep(1500 * time.Millisecond)
	wantServing(t, "tcp", s.addresses()[0])
}

// TestIdle: neither too early, nor while a round of work is under way.
func TestIdle(t *testing.T) {
	p := &process{cfg: config.Default(), upkeep: newUpkeep(config.Default(), nil, nil), server: httpd.New(registry.New(ocitest.NewMemory(), registry.Options{}), httpd.Options{})}
	p.cfg.IdleExit = time.Minute
	since, _ := p.server.QuietSince()
	if p.idle(since.Add(time.Minute - 1)) {
		t.Error("idle before a minute is over")
	}
	if !p.idle(since.Add(time.Minute)) {
		t.Error("not idle after a minute")
	}
	began, end := make(chan bool), make(chan bool)
	err := p.upkeep.Add(tasks.Job{Name: "a", First: -1, Run: func(context.Context, *tasks.Round) error {
		began <- true
		<-end
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var under sync.WaitGroup
	defer under.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	under.Go(func() { _ = p.upkeep.Run(ctx) })
	under.Go(func() { _, _ = p.upkeep.Trigger(ctx, "a", nil) })
	<-began
	if p.idle(since.Add(time.Hour)) {
		t.Error("idle with a round under way")
	}
	end <- true
}

func TestIdleTick(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{
		time.Second: 100 * time.Millisecond, 10 * time.Second: time.Second, time.Hour: 15 * time.Second,
	} {
		if got := idleTick(limit); got != want {
			t.Errorf("idleTick(%v) = %v, want %v", limit, got, want)
		}
	}
}
