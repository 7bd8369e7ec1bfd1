package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/config"
	"berth/fsstore"
	"berth/httpd"
	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/gc"

	"golang.org/x/sys/unix"
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

// launch starts a server on the socket.
func (a activated) launch(t *testing.T, idleExit string, env ...string) *server {
	t.Helper()
	s := a.begin(t, append(env, "BERTH_IDLEEXIT="+idleExit)...)
	s.await("msg=serving")
	return s
}

// begin starts one that may take its time.
func (a activated) begin(t *testing.T, env ...string) *server {
	t.Helper()
	// LISTEN_PID has to be the process's own.
	return launch(t, append(env, "LISTEN_FDS=1"), []*os.File{a.file},
		"/bin/sh", "-c", "export LISTEN_PID=$$; exec "+berthBinary+" serve")
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
		resp, err := (&http.Client{Timeout: patience}).Get("http://" + a.addr + "/v2/")
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
	if p.idle(t.Context(), since.Add(time.Minute-1)) {
		t.Error("idle before a minute is over")
	}
	if !p.idle(t.Context(), since.Add(time.Minute)) {
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
	if p.idle(t.Context(), since.Add(time.Hour)) {
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

// TestIdleExitCollects: a server that was written to leaves no garbage behind,
// where that is soon collected.
func TestIdleExitCollects(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	digest, s := writtenTo(t, root, "BERTH_STORAGE_GCDELAY=1s", "BERTH_TASKS_PRESSURE=0")
	if code := s.end(); code != 0 || !strings.Contains(s.logged(), "staying, though nobody is connected") {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
	if left := files(t, root); strings.Contains(left, digest.Encoded()) {
		t.Errorf("left are\n%s", left)
	}
	if note, err := os.ReadFile(root + "/.berth/gc.json"); err != nil && !errors.Is(err, fs.ErrNotExist) || strings.Contains(string(note), "true") {
		t.Errorf("%v, the note is %s", err, note)
	}
}

// TestIdleExitOwes: one that would have to wait for an hour leaves, and a note of
// that.
func TestIdleExitOwes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	digest, s := writtenTo(t, root)
	if code := s.end(); code != 0 {
		t.Errorf("exit status %d\n%s", code, s.logged())
	}
	if left := files(t, root); !strings.Contains(left, digest.Encoded()) {
		t.Errorf("left are\n%s", left)
	}
	if note, err := os.ReadFile(root + "/.berth/gc.json"); err != nil || !strings.Contains(string(note), `"owed":true,"since":"`) {
		t.Errorf("%v, the note is %s", err, note)
	}
}

// writtenTo starts a server that leaves soon, and gives it what nobody needs, by
// a connection that is there before the server, so that this does not leave first.
func writtenTo(t *testing.T, root string, env ...string) (oci.Digest, *server) {
	t.Helper()
	a := newActivated(t)
	nc, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s := a.launch(t, "1s", append(env, "BERTH_STORAGE_ROOTDIRECTORY="+root)...)
	const content = "nobody needs this"
	digest := oci.SHA256.FromBytes([]byte(content))
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
	}}
	resp, err := client.Post("http://"+a.addr+"/v2/app/blobs/uploads/?digest="+string(digest), "application/octet-stream", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %s", err, resp.Status)
	}
	return digest, s
}

// debtor is a root with work in the background, of one process after another.
type debtor struct {
	t    *testing.T
	root config.Root
	*localRoot
	u   *upkeep
	now time.Time
}

// after is when nobody has been connected for a while.
func (d *debtor) after(quiet time.Duration) idleness { return idleness{d.now, quiet, time.Minute} }

// open is the next process, to which something is owed or not.
func (d *debtor) open(want bool) {
	d.t.Helper()
	if d.localRoot != nil {
		if err := d.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	cfg := config.Default()
	d.u = newUpkeep(cfg, nil, slog.New(slog.DiscardHandler))
	var err error
	if d.localRoot, err = openLocal("", d.root, slog.New(slog.DiscardHandler), d.u); err != nil {
		d.t.Fatal(err)
	}
	d.u.registry = registry.New(d.Store, registry.Options{})
	d.u.policies, _ = newPolicies(cfg)
	d.u.keepDebts(d.now)
	if got := d.u.owing(d.t.Context(), d.after(0)); got != want {
		d.t.Errorf("owed is %v, want %v", got, want)
	}
}

func (d *debtor) write() {
	d.t.Helper()
	if _, err := d.u.registry.StartUpload(d.t.Context(), "a", oci.SHA256); err != nil {
		d.t.Fatal(err)
	}
	if !d.u.owing(d.t.Context(), d.after(0)) {
		d.t.Error("after a write nothing is owed")
	}
}

// TestDebt: what is owed is known to the next process, until it is collected.
func TestDebt(t *testing.T) {
	d := &debtor{t: t, root: config.Root{RootDirectory: t.TempDir(), GC: true}}
	d.open(false)
	d.write()
	d.u.keepDebts(d.now)
	d.open(true)
	d.collected(d.u.registry.Writes(), gc.Report{Later: 1})
	d.collected(d.u.registry.Writes(), gc.Report{Early: true})
	d.u.keepDebts(d.now)
	d.open(true)
	before := d.u.registry.Writes()
	d.write()
	d.collected(before, gc.Report{})
	d.u.keepDebts(d.now)
	d.open(true) // that came after the round had begun
	d.collected(d.u.registry.Writes(), gc.Report{})
	d.u.keepDebts(d.now)
	d.open(false)

	d.write()
	ctx, stop := context.WithCancel(t.Context())
	var under sync.WaitGroup
	under.Go(func() { _ = d.u.Run(ctx) })
	eventually(t, "a last round", func() bool { return !d.u.owing(ctx, d.after(2*time.Second)) })
	stop()
	under.Wait()
	d.u.keepDebts(d.now)
	d.open(false)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestDebtThatWaits: a process does not stay for longer than it would by itself,
// unless others have left the garbage for a day.
func TestDebtThatWaits(t *testing.T) {
	d := &debtor{t: t, root: config.Root{RootDirectory: t.TempDir(), GC: true}, now: time.Now()}
	d.open(false)
	d.write()
	d.u.keepDebts(d.now)
	d.root.GCDelay = 2 * time.Minute
	d.open(false)
	d.now = d.now.Add(bearable - time.Minute)
	d.open(false)
	d.now = d.now.Add(2 * time.Minute)
	d.open(true)
	d.now = d.now.Add(-48 * time.Hour) // a clock without a battery
	d.open(true)
	d.collected(d.u.registry.Writes(), gc.Report{})
	d.u.keepDebts(d.now)
	d.open(false)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestScrubIsOwed: where one is due, the process stays until it has ended.
func TestScrubIsOwed(t *testing.T) {
	cfg := config.Default()
	cfg.Extensions.Scrub.Enable, cfg.Extensions.Scrub.Interval = true, 24*time.Hour
	u := newUpkeep(cfg, nil, slog.New(slog.DiscardHandler))
	l, err := openLocal("", config.Root{RootDirectory: t.TempDir()}, slog.New(slog.DiscardHandler), u)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !u.owing(t.Context(), idleness{}) {
		t.Error("one is due, and the process does not stay")
	}
	if err := l.scrubRound(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if u.owing(t.Context(), idleness{}) {
		t.Error("the process stays after it")
	}
}

// TestActivatedWaits: a server that was started for a connection waits while a
// command has the root, and answers then.
func TestActivatedWaits(t *testing.T) {
	t.Parallel()
	a, root := newActivated(t), t.TempDir()
	store, err := fsstore.Open(fsstore.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	s := a.begin(t, "BERTH_STORAGE_ROOTDIRECTORY="+root)
	s.await("waiting until the storage is free")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s.await("msg=serving")
	wantServing(t, "tcp", a.addr)

	again := newActivated(t).begin(t, "BERTH_STORAGE_ROOTDIRECTORY="+root)
	again.await("waiting until the storage is free")
	again.signal(unix.SIGTERM)
	if code := again.end(); code != 0 {
		t.Errorf("exit status %d\n%s", code, again.logged())
	}
}
