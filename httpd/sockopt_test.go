package httpd

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnpaced: what goes to this machine is not sent by a clock.
func TestUnpaced(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	tune(server)
	setOption(server.(*net.TCPConn), func(fd int) error {
		got, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil || got != unpaced {
			t.Errorf("the algorithm is %q, %v", got, err)
		}
		return err
	})
}

func TestSameHost(t *testing.T) {
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 5000} }
	for _, c := range []struct {
		local, remote net.Addr
		want          bool
	}{
		{at("127.0.0.1"), at("127.0.0.1"), true},
		{at("::1"), at("::1"), true},
		{at("192.0.2.1"), at("192.0.2.1"), true},
		{at("::ffff:192.0.2.1"), at("192.0.2.1"), true},
		{at("192.0.2.1"), at("192.0.2.2"), false},
		{at("2001:db8::1"), at("2001:db8::2"), false},
		{&net.UnixAddr{Name: "/run/a"}, &net.UnixAddr{}, false},
	} {
		if got := sameHost(c.local, c.remote); got != c.want {
			t.Errorf("sameHost(%v, %v) = %t", c.local, c.remote, got)
		}
	}
}
