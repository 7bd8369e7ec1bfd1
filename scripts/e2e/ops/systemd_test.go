package ops

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// units is where the packages' systemd units lie.
const units = "../../../packaging/systemd/"

// The service's exposure, as systemd rates it, is 1.2 of 10 or less.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	out, err := harness.TryRun(t, "systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=12", units+"berth.service")
	if err != nil || !strings.Contains(out, "Overall exposure level for berth.service: ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// docs/SYSTEMD.md has a reason for every line of the service.
func TestUnitIsDocumented(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(units + "berth.service")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../docs/SYSTEMD.md")
	if err != nil {
		t.Fatal(err)
	}
	_, service, _ := strings.Cut(string(unit), "[Service]")
	service, _, _ = strings.Cut(service, "[Install]")
	lines := regexp.MustCompile(`(?m)^([A-Za-z]+=).*$`).FindAllStringSubmatch(service, -1)
	if len(lines) < 30 {
		t.Fatalf("the unit has %d lines", len(lines))
	}
	for _, m := range lines {
		// A path or the program's own command needs no reason.
		if m[1] != "ExecStart=" && !strings.Contains(string(text), "`"+m[0]+"`") && !strings.Contains(string(text), "`"+m[1]+"`") {
			t.Errorf("there is no reason for %s", m[0])
		}
	}
}

// What a server does, background work included, is within the unit's filter of
// system calls. strace is the witness.
func TestUnitAllowsItsSystemCalls(t *testing.T) {
	t.Parallel()
	allowed := filterOf(t, units+"berth.service")
	trace := filepath.Join(t.TempDir(), "trace")
	strace := []string{harness.Tool(t, "strace"), "-f", "-qq", "--signal=none", "-s", "0", "--output-append-mode", "-o", trace}
	root, pid := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	wrap := append(strace, "sh", "-c", `echo $$ >"$0"; exec "$@"`, pid)
	s, c := start(t, harness.Config{Root: root, Wrap: wrap, File: "storage.commit = true"})
	image := fixture.SimpleImage("filter")
	c.Push("app", "v1", image)
	c.Push("copy", "v1", image)
	c.PullWhole("copy", "v1", image)
	c.Delete(wire.ManifestPath("app", "v1")).Want(202)
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	harness.Run(t, "kill", "-HUP", strings.TrimSpace(string(text)))
	harness.Eventually(t, "the configuration is read again", func() error {
		if !strings.Contains(s.Log(), "configuration reloaded") {
			return errors.New(s.Log())
		}
		return nil
	})
	harness.Run(t, "kill", "-TERM", strings.TrimSpace(string(text)))
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, strace[0], append(strace[1:], harness.Binary(t), "dedupe", "--root", root)...)

	lines, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(.*$`).FindAllStringSubmatch(string(lines), -1) {
		seen[m[1]] = m[0]
	}
	for call, line := range seen {
		if !allowed[call] {
			t.Errorf("the unit's SystemCallFilter= leaves %s out: %s", call, line)
		}
	}
	for _, call := range []string{"linkat", "fdatasync", "ioprio_set", "setpriority"} {
		if seen[call] == "" {
			t.Errorf("strace saw no %s: the test does too little; it saw %v", call, slices.Sorted(maps.Keys(seen)))
		}
	}
	if line := regexp.MustCompile(`(?m)^.*PROT_WRITE\|PROT_EXEC.*$`).Find(lines); line != nil {
		t.Errorf("MemoryDenyWriteExecute= would refuse %s", line)
	}
}

// filterOf returns the system calls that a unit's SystemCallFilter= lines allow.
func filterOf(t *testing.T, unit string) map[string]bool {
	t.Helper()
	sets := map[string][]string{}
	name := ""
	for line := range strings.Lines(harness.Run(t, "systemd-analyze", "syscall-filter")) {
		switch word := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			name = word
		case strings.HasPrefix(line, " ") && word != "" && word[0] != '#':
			sets[name] = append(sets[name], word)
		}
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(text), -1) {
		for _, call := range expand(sets, strings.Fields(m[2])) {
			allowed[call] = m[1] == ""
		}
	}
	for _, call := range expand(sets, []string{"@default"}) {
		allowed[call] = true // always, says systemd.exec(5)
	}
	return allowed
}

func expand(sets map[string][]string, names []string) (calls []string) {
	for _, n := range names {
		if strings.HasPrefix(n, "@") {
			calls = append(calls, expand(sets, sets[n])...)
		} else {
			calls = append(calls, n)
		}
	}
	return calls
}

// inetd plays systemd: it keeps a socket and starts berth when somebody
// connects and berth is not there.
func inetd(t *testing.T, root string, runs chan<- error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	binary, stop, ended := harness.Binary(t), make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-ended; socket.Close() })
	go func() {
		defer close(ended)
		for waitReadable(socket, stop) {
			cmd := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve --root "$1"`, binary, root)
			cmd.ExtraFiles, cmd.Env = []*os.File{socket}, []string{"BERTH_IDLEEXIT=1s", "PATH=" + os.Getenv("PATH")}
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			runs <- cmd.Run()
		}
	}()
	return l.Addr().String()
}

// waitReadable waits for a connection in a listening socket's queue.
func waitReadable(socket *os.File, stop <-chan struct{}) bool {
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	for {
		ready := false
		_ = raw.Control(func(fd uintptr) {
			set := syscall.FdSet{}
			set.Bits[fd/64] |= 1 << (fd % 64)
			n, err := syscall.Select(int(fd)+1, &set, nil, nil, &syscall.Timeval{Usec: 5000})
			ready = err == nil && n == 1
		})
		if ready {
			return true
		}
		select {
		case <-stop:
			return false
		default:
		}
	}
}

// An idle berth is gone, with status 0, and back with the next connection,
// which is answered; nothing that was pushed is lost by that.
func TestIdleExitAndBack(t *testing.T) {
	t.Parallel()
	runs := make(chan error, 10)
	address := inetd(t, t.TempDir(), runs)
	image := fixture.SimpleImage("idle")
	for round := range 3 {
		transport := &http.Transport{DisableCompression: true}
		c := wire.NewOver(t, "http://"+address, transport)
		began := time.Now()
		c.Get("/v2/").Want(200)
		t.Logf("first answer after %v", time.Since(began))
		if round == 0 {
			c.Push("app", "v1", image)
		}
		c.PullWhole("app", "v1", image)
		transport.CloseIdleConnections()
		select {
		case err := <-runs:
			if err != nil {
				t.Fatalf("berth left in round %d: %v", round, err)
			}
		case <-time.After(harness.Patience):
			t.Fatal("an idle berth stays")
		}
	}
}
