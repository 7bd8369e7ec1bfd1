package harness

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"
)

// Eventually repeats a check until it returns nil.
func Eventually(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s: %v", limit, what, err)
		}
		time.Sleep(pause)
	}
}

// FreeAddress is an address of 127.0.0.1 that nobody listens on. It lies below
// the ports that Linux hands to clients, so that none of the tests' own
// connections takes it before the server does.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := "127.0.0.1:" + strconv.Itoa(15000+rand.IntN(17000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatal("no free port between 15000 and 32000 on 127.0.0.1")
	return ""
}
