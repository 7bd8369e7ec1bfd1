package spec

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// put closes a session.
func put(c *wire.Client, location string, d digest.Digest, content []byte) *wire.Answer {
	return c.Do(wire.Request{
		Method: "PUT", Path: wire.Query(location, "digest="+d.String()),
		Header: map[string]string{"Content-Type": octets}, Bytes: content,
	})
}

// end-4a and end-6
func TestPostThenPut(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("post-put", 200_000))
	a := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("p")}).Want(202)
	if !uuid.MatchString(a.Location()) {
		t.Errorf("Location %q holds no UUID", a.Location())
	}
	c.Get(wire.BlobPath("p", n.Desc.Digest)).Want(404)
	done := put(c, a.Location(), n.Desc.Digest, n.Content).Want(201).WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
	c.Get(done.Location()).Want(200).WantBody(n.Content)
	// The session is over.
	c.Get(a.Location()).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	// To push what is there succeeds.
	c.PushBlob("p", n)
}

// end-4b
func TestSinglePost(t *testing.T) {
	c := serve(t)
	for _, n := range []fixture.Node{fixture.Raw(octets, fixture.Bytes("single", 90_000)), fixture.RawWith(digest.SHA512, octets, []byte("512")), fixture.Raw(octets, nil)} {
		a := c.Do(wire.Request{
			Method: "POST", Path: wire.UploadsPath("single") + "?digest=" + n.Desc.Digest.String(),
			Header: map[string]string{"Content-Type": octets}, Bytes: n.Content,
		}).Want(201).WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
		c.Get(a.Location()).Want(200).WantBody(n.Content)
	}
	wrong := digest.FromString("other")
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("single") + "?digest=" + wrong.String(), Bytes: []byte("x")}).WantError(400, "DIGEST_INVALID")
	c.Head(wire.BlobPath("single", wrong)).Want(404)
}

// A body of unknown length is sent chunked (RFC 9112, section 7.1).
func TestChunkedTransferEncoding(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("te", 3_000_000))
	c.Do(wire.Request{
		Method: "PUT", Path: wire.Query(c.StartUpload("te"), "digest="+n.Desc.Digest.String()),
		Stream: io.MultiReader(bytes.NewReader(n.Content)),
	}).Want(201)
	c.Get(wire.BlobPath("te", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// "if the client provided digest is invalid or uses an unsupported algorithm,
// the registry SHOULD respond with a response code 400 Bad Request."
func TestWrongDigests(t *testing.T) {
	c := serve(t)
	content := []byte("content")
	for _, d := range []digest.Digest{
		digest.FromString("other"), digest.SHA512.FromString("other"), "sha256:short", "sha256", "md5:d41d8cd98f00b204e9800998ecf8427e",
		digest.SHA384.FromString("x"), digest.Digest("sha256:" + strings.ToUpper(digest.FromBytes(content).Encoded())), "",
	} {
		put(c, c.StartUpload("wrong"), d, content).WantError(400)
	}
	c.Do(wire.Request{Method: "PUT", Path: c.StartUpload("wrong"), Bytes: content}).WantError(400)
	c.Head(wire.BlobPath("wrong", digest.FromString("other"))).Want(404)
}

// A session outlives a wrong digest and is closed with the right one.
func TestSessionAfterWrongDigest(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, []byte("what was meant"))
	location := c.Do(wire.Request{Method: "PATCH", Path: c.StartUpload("after"), Bytes: n.Content}).Want(202).Location()
	put(c, location, digest.FromString("other"), nil).WantError(400, "DIGEST_INVALID")
	put(c, location, n.Desc.Digest, nil).Want(201)
	c.Get(wire.BlobPath("after", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// end-4c: an algorithm is named first, and need not be the one in the end.
func TestDigestAlgorithm(t *testing.T) {
	c := serve(t)
	content := fixture.Bytes("algorithm", 40_000)
	for _, declared := range []string{"", "?digest-algorithm=sha256", "?digest-algorithm=sha512"} {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			repo := "alg/" + strings.ReplaceAll(strings.TrimPrefix(declared, "?digest-algorithm="), "?", "") + "x" + alg.String()
			location := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath(repo) + declared}).Want(202).Location()
			location = c.Do(wire.Request{Method: "PATCH", Path: location, Bytes: content[:10_000]}).Want(202).Location()
			put(c, location, alg.FromBytes(content), content[10_000:]).Want(201)
			c.Get(wire.BlobPath(repo, alg.FromBytes(content))).Want(200).WantBody(content)
		}
	}
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("alg") + "?digest-algorithm=md5"}).WantError(400)
}

// A body that ends early makes no blob; what had arrived is kept and the
// session goes on from there.
func TestBodyCutShort(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("cut", 500_000))
	location := c.StartUpload("cut")
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	pipe, feed := io.Pipe()
	go func() {
		_, _ = feed.Write(n.Content[:200_000])
		_ = feed.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if res, err := c.Open(ctx, wire.Request{Method: "PATCH", Path: location, Stream: pipe, Length: int64(len(n.Content))}); err == nil {
		_ = res.Body.Close()
	}
	harness.Eventually(t, "the session has what arrived", func() error {
		at, err := offset(c.Get(location))
		if err == nil && at != 200_000 {
			err = fmt.Errorf("the session has %d bytes, 200000 were sent", at)
		}
		return err
	})
	// The request that was cut may still be ending: what comes meanwhile waits
	// for it, and is refused where that lasts.
	harness.Eventually(t, "the session goes on", func() error {
		a := c.Do(wire.Request{
			Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Bytes: n.Content[200_000:],
			Header: map[string]string{"Content-Range": contentRange(200_000, 300_000)},
		}).Want(201, 416)
		if a.Status != 201 {
			return fmt.Errorf("status %d, %s", a.Status, a.Body)
		}
		return nil
	})
	c.Get(wire.BlobPath("cut", n.Desc.Digest)).Want(200).WantBody(n.Content)
}
