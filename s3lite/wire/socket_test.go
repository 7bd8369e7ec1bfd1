package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// bodies come from a server that counts its connections.
func bodies(t *testing.T, contents ...[]byte) (h *harness, conns func() int) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	h = start(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RemoteAddr] = true
		mu.Unlock()
		which, _ := strconv.Atoi(r.Header.Get("Which"))
		content := contents[which]
		switch r.Header.Get("How") {
		case "cut":
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:len(content)/2])
			panic(http.ErrAbortHandler)
		case "unsized":
			_ = http.NewResponseController(w).Flush()
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		_, _ = w.Write(content)
	})
	return h, func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
}

// moves reads the answer to a request by way of a pipe, and tells how much of
// it went through that.
func (h *harness) moves(t *testing.T, which int, how string) (all []byte, moved int, err error) {
	t.Helper()
	resp, err := h.Do(t.Context(), &Request{
		Op: "Get", Method: "GET", Place: h.place, Header: http.Header{"Which": {strconv.Itoa(which)}, "How": {how}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	buf := make([]byte, 48<<10)
	for {
		n, inPipe, err := ReadOrMove(resp.Body, buf, pipe[1])
		if inPipe {
			moved += n
			if got, err := unix.Read(pipe[0], buf); got != n || err != nil {
				t.Fatalf("the pipe gave %d bytes of %d: %v", got, n, err)
			}
		}
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, moved, nil
		}
		if err != nil {
			return all, moved, err
		}
	}
}

// TestReadOrMove: whatever the size, what comes is what was sent, most of it
// moved, and the connection is good for the next answer.
func TestReadOrMove(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	contents := [][]byte{}
	for _, size := range []int{0, 1, 4095, 4096, 4097, 48 << 10, 100_000, 3 << 20, 1<<20 + 1} {
		content := make([]byte, size)
		_, _ = random.Read(content)
		contents = append(contents, content)
	}
	h, conns := bodies(t, contents...)
	const rounds = 4
	for range rounds {
		for i, want := range contents {
			got, moved, err := h.moves(t, i, "")
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: %d came, the same: %v; %v", len(want), len(got), bytes.Equal(got, want), err)
			}
			if len(want) > 1<<20 && moved < len(want)/2 {
				t.Errorf("%d of %d bytes were moved", moved, len(want))
			}
		}
	}
	if n := conns(); n >= rounds { // see TestConnectionsAreKept
		t.Errorf("there were %d connections in %d rounds", n, rounds)
	}
	for i, want := range contents {
		if got, _, err := h.moves(t, i, "unsized"); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes without a length: %d came: %v", len(want), len(got), err)
		}
	}
	cut := len(contents) - 1
	got, _, err := h.moves(t, cut, "cut")
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, contents[cut][:len(got)]) {
		t.Errorf("a body that was cut: %d bytes, %v", len(got), err)
	}
}
