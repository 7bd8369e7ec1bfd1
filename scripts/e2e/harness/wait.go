package harness

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"
)

// Patience bounds every wait for something that has to come about. It is no
// measure of how long that may take: it only has to outlast the slowest machine.
const Patience = 5 * time.Minute

// Eventually repeats a check until it returns nil, for Patience at most.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s: %v", Patience, what, err)
		}
		time.Sleep(pause)
	}
}

// FreeAddress is an address of 127.0.0.1 for a server of this test. It lies
// below the ports that Linux hands to clients, so that none of the tests' own
// connections takes it before the server does, and no other test, of whichever
// package, is given it until this one ends: a server may be started at it again
// and again.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return FreeAddressOf(t, "127.0.0.1")
}

// FreeAddressOf is FreeAddress on another address of this machine.
func FreeAddressOf(t testing.TB, host string) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(15000 + rand.IntN(17000))
		// A name in the abstract namespace is one process's until that ends, as
		// the port itself is until its server does, and leaves nothing behind.
		mine, err := net.Listen("unix", "@berth-e2e-port-"+port)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			_ = mine.Close()
			continue
		}
		t.Cleanup(func() { _ = mine.Close() })
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort(host, port)
	}
	t.Fatalf("no free port between 15000 and 32000 on %s", host)
	return ""
}
