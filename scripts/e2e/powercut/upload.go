package main

import (
	"fmt"
	"net/http"
	"strings"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

const (
	uploadRepo = "cut/upload"
	uploadSize = 2 << 20
	pieceSize  = 192 << 10
)

// upload is an upload in pieces, which goes on after power cuts at the offset
// that was acknowledged. One goroutine uses it at a time.
type upload struct {
	durable  bool
	made     int
	resumed  int           // uploads that went on after a cut
	node     *fixture.Node // nil while there is none
	location string
	told     int // bytes that were acknowledged
	sent     int // bytes that may have come
	finished *fixture.Node
}

// step sends the next piece, or begins, or finishes.
func (u *upload) step(c *wire.Client) error {
	if u.node == nil {
		n := fixture.Raw("application/octet-stream", fixture.Bytes(fmt.Sprint("upload", u.made), uploadSize))
		a, err := c.Try(wire.Request{Method: "POST", Path: wire.UploadsPath(uploadRepo)})
		if err != nil {
			return err
		}
		if a.Status != http.StatusAccepted {
			return fmt.Errorf("POST of an upload: status %d: %s", a.Status, a.Body)
		}
		u.made++
		u.node, u.location, u.told, u.sent = &n, a.Header.Get("Location"), 0, 0
		return nil
	}
	if u.told < uploadSize {
		return u.piece(c)
	}
	return u.finish(c)
}

func (u *upload) piece(c *wire.Client) error {
	end := min(u.told+pieceSize, uploadSize)
	u.sent = end
	a, err := c.Try(wire.Request{
		Method: "PATCH", Path: u.location, Bytes: u.node.Content[u.told:end],
		Header: map[string]string{"Content-Range": fmt.Sprintf("%d-%d", u.told, end-1)},
	})
	if err != nil {
		return err
	}
	if a.Status != http.StatusAccepted {
		return fmt.Errorf("PATCH of an upload at %d: status %d: %s", u.told, a.Status, a.Body)
	}
	u.told, u.location = end, a.Header.Get("Location")
	return nil
}

func (u *upload) finish(c *wire.Client) error {
	path := wire.Query(u.location, "digest="+u.node.Desc.Digest.String())
	if err := c.TryFor(wire.Request{Method: "PUT", Path: path}, http.StatusCreated); err != nil {
		return err
	}
	u.finished, u.node = u.node, nil
	return nil
}

// check looks at the upload after a cut: it must be where it was acknowledged to
// be, or further, and is brought to its end.
func (u *upload) check(c *wire.Client) error {
	if u.finished != nil {
		there, err := fetch(c, uploadRepo, *u.finished)
		if err != nil {
			return err
		}
		if !there && u.durable {
			return fmt.Errorf("LOST: the upload of %s was acknowledged", u.finished.Desc.Digest)
		}
	}
	if u.node == nil {
		return nil
	}
	offset, there, err := u.offset(c)
	switch {
	case err != nil:
		return err
	case !there:
		return u.gone(c)
	case u.durable && offset < u.told || offset > u.sent:
		return fmt.Errorf("LOST: an upload is at %d; %d were acknowledged, %d sent", offset, u.told, u.sent)
	}
	for u.told = offset; u.node != nil; {
		if err := u.step(c); err != nil {
			return fmt.Errorf("an upload that goes on at %d: %w", offset, err)
		}
	}
	u.resumed++
	there, err = fetch(c, uploadRepo, *u.finished)
	if err == nil && !there {
		err = fmt.Errorf("LOST: the upload of %s was acknowledged", u.finished.Desc.Digest)
	}
	return err
}

// gone looks at an upload whose session is not there. Where its end was being
// asked for, the blob is.
func (u *upload) gone(c *wire.Client) error {
	n := u.node
	u.node = nil
	there, err := fetch(c, uploadRepo, *n)
	if err == nil && !there && u.durable {
		err = fmt.Errorf("LOST: the upload at %s had %d bytes acknowledged", u.location, u.told)
	}
	return err
}

// offset asks how far the upload is.
func (u *upload) offset(c *wire.Client) (int, bool, error) {
	a, err := c.Try(wire.Request{Method: "GET", Path: u.location})
	if err != nil || a.Status == http.StatusNotFound {
		return 0, false, err
	}
	if a.Status != http.StatusNoContent {
		return 0, false, fmt.Errorf("GET of an upload: status %d: %s", a.Status, a.Body)
	}
	last := 0
	if _, err := fmt.Sscanf(strings.TrimSpace(a.Header.Get("Range")), "0-%d", &last); err != nil {
		return 0, false, fmt.Errorf("GET of an upload: Range is %q", a.Header.Get("Range"))
	}
	u.location = a.Header.Get("Location")
	if last == 0 { // nothing has come; nobody sends one byte here
		return 0, true, nil
	}
	return last + 1, true, nil
}
