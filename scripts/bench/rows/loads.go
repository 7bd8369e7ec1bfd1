package rows

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"berth/bench/client"
)

// The sizes and numbers of the targets.
const (
	largeSize = 64 << 20
	smallSize = 16 << 10
	manyTags  = 2000

	pullClients     = 4
	manifestClients = 16
	tagClients      = 4
	smallClients    = 8
	pushClients     = 4
)

const (
	largePushes = 12     // 64 MiB blobs in one sample
	smallPushes = 100000 // blobs made in advance for one sample: more than any server takes
)

// pullLoad gets one blob over and over.
func (e *Env) pullLoad(i *instance, repo string, b client.Blob) (sample, error) {
	request := client.GetBlob(repo, b.Digest)
	return e.measure(i, b.Size, client.Load{Clients: pullClients, Op: func(c *client.Conn, _ int) error {
		return expect(c, request, b.Size)
	}})
}

// manifestLoad gets manifests by tag, those of tagName(0) to tagName(tags-1),
// in an order that looks like none. All are of one size.
func (e *Env) manifestLoad(i *instance, repo string, tags int, size int64) (sample, error) {
	requests := make([][]byte, tags)
	for n := range requests {
		requests[n] = client.GetManifest(repo, tagName(n))
	}
	return e.measure(i, size, client.Load{Clients: manifestClients, Op: func(c *client.Conn, n int) error {
		return expect(c, requests[n*stride%tags], size)
	}})
}

// stride is prime to the number of tags, so that every tag has its turn.
const stride = 1237

func tagName(n int) string { return fmt.Sprintf("v1.%d", n) }

// expect sends a request and wants 200 with a body of so many bytes.
func expect(c *client.Conn, request []byte, size int64) error {
	a, err := c.Do(request)
	if err != nil {
		return err
	}
	if a.Length != size {
		return fmt.Errorf("a body of %d bytes, not %d (status %d)", a.Length, size, a.Status)
	}
	return a.Want(200, "GET")
}

// tagPushLoad pushes distinct manifests, each under a tag of its own. The
// image's blobs must be there.
func (e *Env) tagPushLoad(i *instance, repo string, image client.Image, tags int) (sample, error) {
	manifests := make([][]byte, tags)
	for n := range manifests {
		manifests[n] = image.Manifest(n)
	}
	return e.measure(i, 0, client.Load{Clients: tagClients, Ops: tags, Op: func(c *client.Conn, n int) error {
		return c.PushManifest(repo, tagName(n), manifests[n])
	}})
}

// smallPushLoad pushes distinct small blobs, each by POST and PUT.
func (e *Env) smallPushLoad(i *instance, repo string) (sample, error) {
	blobs := client.NewSource(smallSize, 3).Take(smallPushes)
	return e.measure(i, smallSize, client.Load{Clients: smallClients, Op: func(c *client.Conn, n int) error {
		if n >= len(blobs) {
			return fmt.Errorf("%d small blobs are not enough for one sample; shorten -time", len(blobs))
		}
		return c.PushBlob(repo, blobs[n])
	}})
}

// largePushLoad pushes distinct large blobs, each by POST, PATCH and PUT.
func (e *Env) largePushLoad(i *instance, repo string) (sample, error) {
	blobs := e.largeSource().Take(largePushes)
	return e.measure(i, largeSize, client.Load{Clients: pushClients, Ops: len(blobs), Op: func(c *client.Conn, n int) error {
		return c.StreamBlob(repo, blobs[n])
	}})
}

// check gets a path once and compares the digest of what came.
func check(i *instance, request []byte, digest string) error {
	c := client.New(i.Addr)
	defer c.Close()
	status, body, err := c.Fetch(request)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if got := "sha256:" + hex.EncodeToString(sum[:]); status != 200 || got != digest {
		return fmt.Errorf("status %d with content %s, not %s", status, got, digest)
	}
	return nil
}
