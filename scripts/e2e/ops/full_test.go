package ops

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// postBlob pushes a blob in one request and returns the answer.
func postBlob(c *wire.Client, repo string, n fixture.Node) *wire.Answer {
	return c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath(repo) + "?digest=" + n.Desc.Digest.String(), Bytes: n.Content})
}

// A full disk: pushes get 507 and a body that says so, pulls and deletes work,
// and when there is space again, pushes do.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, c := start(t, harness.Config{Root: root, Wrap: harness.InMounts(root, `mount -t tmpfs -o size=64m tmpfs "$root"`)})
	image := fixture.SimpleImage("full")
	c.Push("full", "v1", image)

	stored := fill(t, c)
	t.Run("refused", func(t *testing.T) { refusedWhenFull(t, c.With(t)) })
	c.PullWhole("full", "v1", image)
	for _, n := range stored {
		c.Get(wire.BlobPath("full", n.Desc.Digest)).Want(200).WantBody(n.Content)
	}

	for _, n := range stored[:len(stored)/2] {
		c.Delete(wire.BlobPath("full", n.Desc.Digest)).Want(202)
	}
	for i := range len(stored)/2 - 2 {
		n := fixture.Raw(octets, fixture.Bytes(fmt.Sprint("again", i), 4<<20))
		postBlob(c, "full", n).Want(201)
		c.Get(wire.BlobPath("full", n.Desc.Digest)).Want(200).WantBody(n.Content)
	}
	c.Push("full", "v2", fixture.SimpleImage("after"))
	c.PullWhole("full", "v1", image)
}

// fill pushes blobs until one is refused, and returns those that were not.
func fill(t *testing.T, c *wire.Client) []fixture.Node {
	t.Helper()
	var stored []fixture.Node
	for i := range 64 {
		n := fixture.Raw(octets, fixture.Bytes(fmt.Sprint("fill", i), 4<<20))
		a := postBlob(c, "full", n)
		if a.Status == 507 {
			a.WantError(507)
			c.Head(wire.BlobPath("full", n.Desc.Digest)).Want(404)
			if i < 6 {
				t.Fatalf("a disk of 64 MiB is full after %d blobs of 4 MiB", i)
			}
			return stored
		}
		a.Want(201)
		stored = append(stored, n)
	}
	t.Fatal("256 MiB went into 64 MiB")
	return nil
}

// refusedWhenFull tries every way to push.
func refusedWhenFull(t *testing.T, c *wire.Client) {
	n := fixture.Raw(octets, fixture.Bytes("one more", 8<<20))
	unknown := func() io.Reader { return io.MultiReader(bytes.NewReader(n.Content)) }
	for name, try := range map[string]func(location string) *wire.Answer{
		"known length": func(l string) *wire.Answer {
			return c.Do(wire.Request{Method: "PUT", Path: wire.Query(l, "digest="+n.Desc.Digest.String()), Bytes: n.Content})
		},
		"unknown length": func(l string) *wire.Answer {
			return c.Do(wire.Request{Method: "PUT", Path: wire.Query(l, "digest="+n.Desc.Digest.String()), Stream: unknown()})
		},
		"chunk":           func(l string) *wire.Answer { return c.Do(wire.Request{Method: "PATCH", Path: l, Bytes: n.Content}) },
		"streamed chunks": func(l string) *wire.Answer { return c.Do(wire.Request{Method: "PATCH", Path: l, Stream: unknown()}) },
	} {
		t.Run(name, func(t *testing.T) {
			a := c.With(t).Do(wire.Request{Method: "POST", Path: wire.UploadsPath("full")}).Want(202, 507)
			if a.Status == 507 {
				a.WantError(507)
				return
			}
			try(a.Location()).WantError(507)
			c.With(t).Delete(a.Location()).Want(204)
		})
	}
	c.Head(wire.BlobPath("full", n.Desc.Digest)).Want(404)
}
