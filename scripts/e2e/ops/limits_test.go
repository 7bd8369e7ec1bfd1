package ops

import (
	"net"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// With no descriptor left berth keeps serving those it has, and takes new ones
// when there are descriptors again.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{Wrap: []string{"prlimit", "--nofile=64:64", "--"}})
	image := fixture.SimpleImage("descriptors")
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image) // its connection stays open

	var others []net.Conn
	for range 200 {
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			break
		}
		others = append(others, conn)
	}
	for range 20 {
		c.PullWhole("app", "v1", image)
	}
	// Its connection, too, makes room for another where it was quiet for long: a
	// push that meets that is tried again, as clients do.
	more := fixture.SimpleImage("more")
	harness.Eventually(t, "a push is served", func() error { return c.TryPush("app", "v2", more) })
	for _, conn := range others {
		_ = conn.Close()
	}
	harness.Eventually(t, "a new connection is served", func() error {
		_, err := wire.New(t, s.URL()).Try(wire.Request{Method: "GET", Path: "/v2/"})
		return err
	})
	wire.New(t, s.URL()).PullWhole("app", "v1", image)
	s.Stop()
}
