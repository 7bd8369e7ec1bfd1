package ops

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

const hangup = syscall.SIGHUP

// unhurried is a server that lets the slowest client end.
const unhurried = "[http]\nshutdownTimeout = \"1h\"\n"

// SIGTERM lets a running pull end, refuses new connections, and ends with 0.
func TestTermLetsAPullEnd(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: unhurried})
	n := fixture.Raw(octets, fixture.Bytes("pull", 64<<20))
	c.PushBlob("app", n)
	res, err := c.Open(t.Context(), wire.Request{Method: "GET", Path: wire.BlobPath("app", n.Desc.Digest)})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	hash := n.Desc.Digest.Algorithm().Digester()
	if _, err := io.CopyN(hash.Hash(), res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	terminate(t, s)
	if _, err := io.Copy(hash.Hash(), res.Body); err != nil || hash.Digest() != n.Desc.Digest {
		t.Errorf("the pull under way ended with %v and the bytes of %s", err, hash.Digest())
	}
	if err := s.Wait(); err != nil {
		t.Errorf("berth ended with %v", err)
	}
}

// A push under way ends too, and what it pushed is kept.
func TestTermLetsAPushEnd(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: unhurried})
	n := fixture.Raw(octets, fixture.Bytes("push", 8<<20))
	location := c.StartUpload("app")
	body, feed := io.Pipe()
	answered := make(chan error, 1)
	go func() {
		res, err := c.Open(t.Context(), wire.Request{Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Stream: body, Length: n.Desc.Size})
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode != http.StatusCreated {
				err = &statusError{res.StatusCode}
			}
		}
		answered <- err
	}()
	if _, err := feed.Write(n.Content[:4<<20]); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the push is under way", func() error {
		if got := c.Get(location).Want(204).Header.Get("Range"); got == "0-0" {
			return errors.New("nothing has arrived")
		}
		return nil
	})
	terminate(t, s)
	if _, err := feed.Write(n.Content[4<<20:]); err != nil {
		t.Fatal(err)
	}
	_ = feed.Close()
	if err := <-answered; err != nil {
		t.Errorf("the push under way: %v", err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("berth ended with %v", err)
	}
	_, c = start(t, harness.Config{Root: s.Root})
	c.Get(wire.BlobPath("app", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// A client that does not read cannot hold up the end for longer than it may.
func TestTermIsBounded(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: "[http]\nshutdownTimeout = \"1s\"\n"})
	n := fixture.Raw(octets, fixture.Bytes("stuck", 64<<20))
	c.PushBlob("app", n)
	res, err := c.Open(t.Context(), wire.Request{Method: "GET", Path: wire.BlobPath("app", n.Desc.Digest)})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.Signal(syscall.SIGTERM)
	_ = s.Wait() // with whatever status: it was forced
}

// Idle connections do not hold up the end.
func TestTermWithIdleConnections(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{File: unhurried})
	c.Get("/v2/").Want(200) // its connection stays
	silent, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s.Stop()
}

// terminate sends SIGTERM and waits until no new connection is taken.
func terminate(t *testing.T, s *harness.Server) {
	t.Helper()
	s.Signal(syscall.SIGTERM)
	harness.Eventually(t, "new connections are refused", func() error {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return nil
		}
		defer conn.Close()
		return errConnected
	})
}

type statusError struct{ status int }

func (e *statusError) Error() string { return http.StatusText(e.status) }

var errConnected = errors.New("a connection was accepted")
