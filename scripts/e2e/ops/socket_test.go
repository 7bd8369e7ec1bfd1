package ops

import (
	"context"
	"errors"
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

// systemd is told when berth is ready and when it stops.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, _ := start(t, harness.Config{Env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}})
	told := func(what string) {
		t.Helper()
		harness.Eventually(t, 5*time.Second, what+" arrives", func() error {
			buf := make([]byte, 4096)
			if err := l.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			n, err := l.Read(buf)
			if err == nil && !strings.Contains(string(buf[:n]), what) {
				err = errors.New("systemd was told " + string(buf[:n]))
			}
			return err
		})
	}
	told("READY=1")
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
	address := l.Addr().String()
	_ = l.Close()
	_, c := start(t, harness.Config{Address: address})
	c.Push("app", "v1", fixture.SimpleImage("ipv6"))
}
