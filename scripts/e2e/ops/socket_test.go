package ops

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

func overUnix(t *testing.T, path string) *wire.Client {
	t.Helper()
	return wire.NewOver(t, "http://berth", &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}})
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.sock")
	config := harness.Config{Root: t.TempDir(), Args: []string{"--address", "unix:" + path}}
	s, tcp := start(t, config) // both addresses
	c := overUnix(t, path)
	image := fixture.Image(fixture.Options{}, fixture.Layer("unix", 3_000_000))
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image)
	tcp.PullWhole("app", "v1", image)

	s.Kill() // leaves the socket behind; the next one takes its place
	start(t, config)
	c = overUnix(t, path)
	c.PullWhole("app", "v1", image)
}

// systemd opens the socket and starts berth with the first connection.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	address := harness.FreeAddress(t)
	s := harness.Start(t, harness.Config{
		Address: address, Bare: true, Dir: t.TempDir(),
		Wrap: []string{harness.Tool(t, "systemd-socket-activate"), "--listen", address},
	})
	c := wire.New(t, s.URL())
	image := fixture.SimpleImage("activated")
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image)
	s.Stop()
}

// hear reads what is sent to a socket, all the time as systemd does: a queue
// that is full holds the sender up. What it returns waits for a message that has
// come since the one before.
func hear(t *testing.T, l *net.UnixConn) (told func(what string)) {
	t.Helper()
	messages := make(chan string, 10_000)
	go func() {
		defer close(messages)
		for buf := make([]byte, 4096); ; {
			n, err := l.Read(buf)
			if err != nil {
				return // the test is over
			}
			messages <- string(buf[:n])
		}
	}()
	return func(what string) {
		t.Helper()
		late := time.After(harness.Patience)
		for {
			select {
			case got, open := <-messages:
				if strings.Contains(got, what) {
					return
				}
				if !open {
					t.Fatalf("nothing more is heard: systemd was not told %s", what)
				}
			case <-late:
				t.Fatalf("systemd was not told %s within %v", what, harness.Patience)
			}
		}
	}
}

// systemd is told when berth is ready and when it stops.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := hear(t, l)
	s, _ := start(t, harness.Config{Env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}})
	told("READY=1\nSTATUS=Serving ")
	told("WATCHDOG=1")
	s.Signal(hangup)
	told("RELOADING=1")
	told("READY=1")
	s.Stop()
	told("STOPPING=1")
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatalf("this machine has no IPv6 loopback (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
	}
	_ = l.Close()
	_, c := start(t, harness.Config{Address: harness.FreeAddressOf(t, "::1")})
	c.Push("app", "v1", fixture.SimpleImage("ipv6"))
}
