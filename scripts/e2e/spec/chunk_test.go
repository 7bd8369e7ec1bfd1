package spec

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// patch sends a chunk that begins at the given offset.
func patch(c *wire.Client, location string, at int, chunk []byte) *wire.Answer {
	return c.Do(wire.Request{
		Method: "PATCH", Path: location, Bytes: chunk,
		Header: map[string]string{"Content-Type": octets, "Content-Range": contentRange(at, len(chunk))},
	})
}

func contentRange(at, n int) string { return fmt.Sprintf("%d-%d", at, at+n-1) }

// offset reads how many bytes a session has from the answer to its GET.
func offset(a *wire.Answer) (int, error) {
	if a.Status != 204 {
		return 0, fmt.Errorf("status %d", a.Status)
	}
	var end int
	if _, err := fmt.Sscanf(a.Header.Get("Range"), "0-%d", &end); err != nil {
		return 0, fmt.Errorf("range %q: %w", a.Header.Get("Range"), err)
	}
	return end + 1, nil
}

// end-5, end-13, end-6
func TestChunks(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("chunks", 100_000))
	start := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("ch"), Header: map[string]string{"Content-Length": "0"}}).Want(202)
	location := start.Location()
	for at := 0; at < len(n.Content); at += 25_000 {
		a := patch(c, location, at, n.Content[at:at+25_000]).Want(202).WantHeader("Range", contentRange(0, at+25_000))
		location = a.Location()
		status := c.Get(location).Want(204).WantHeader("Range", contentRange(0, at+25_000))
		location = status.Location()
	}
	done := put(c, location, n.Desc.Digest, nil).Want(201)
	c.Get(done.Location()).Want(200).WantBody(n.Content)
}

func TestLastChunkInPut(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("last", 60_000))
	location := patch(c, c.StartUpload("last"), 0, n.Content[:50_000]).Want(202).Location()
	c.Do(wire.Request{
		Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Bytes: n.Content[50_000:],
		Header: map[string]string{"Content-Range": contentRange(50_000, 10_000)},
	}).Want(201)
	c.Get(wire.BlobPath("last", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// "If a chunk is uploaded out of order, the registry MUST respond with a 416
// Requested Range Not Satisfiable code. A GET request may be used to retrieve
// the current valid offset and upload location."
func TestOutOfOrder(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("order", 30_000))
	location := c.StartUpload("order")
	patch(c, location, 10_000, n.Content[10_000:20_000]).Want(416)
	location = patch(c, location, 0, n.Content[:10_000]).Want(202).Location()
	patch(c, location, 20_000, n.Content[20_000:]).Want(416) // a gap
	patch(c, location, 0, n.Content[:10_000]).Want(416)      // again
	patch(c, location, 5_000, n.Content[5_000:15_000]).Want(416)
	c.Get(location).Want(204).WantHeader("Range", "0-9999")
	c.Do(wire.Request{ // the closing PUT
		Method: "PUT", Path: wire.Query(location, "digest="+n.Desc.Digest.String()), Bytes: n.Content[20_000:],
		Header: map[string]string{"Content-Range": contentRange(20_000, 10_000)},
	}).Want(416)
	location = patch(c, location, 10_000, n.Content[10_000:]).Want(202).Location()
	put(c, location, n.Desc.Digest, nil).Want(201)
	c.Get(wire.BlobPath("order", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// A chunk without Content-Range goes on where the session is: streamed upload.
func TestStreamedChunks(t *testing.T) {
	c := serve(t)
	n := fixture.Raw(octets, fixture.Bytes("streamed", 2_000_000))
	location := c.StartUpload("st")
	for _, part := range [][]byte{n.Content[:1], n.Content[1:1_500_000], n.Content[1_500_000:]} {
		location = c.Do(wire.Request{Method: "PATCH", Path: location, Stream: io.MultiReader(bytes.NewReader(part))}).Want(202).Location()
	}
	put(c, location, n.Desc.Digest, nil).Want(201)
	c.Get(wire.BlobPath("st", n.Desc.Digest)).Want(200).WantBody(n.Content)
}

// The regular expression of <range>, and a range that its body does not fit.
func TestWrongContentRange(t *testing.T) {
	c := serve(t)
	for _, r := range []string{"x", "0-", "-5", "5", "0-99999999999999999999999", "4-0", "0-9", "0-1"} {
		location := c.StartUpload("cr")
		c.Do(wire.Request{Method: "PATCH", Path: location, Bytes: []byte("01234"), Header: map[string]string{"Content-Range": r}}).Want(400, 416)
		patch(c, location, 0, []byte("01234")).Want(202)
	}
}

func TestFreshSession(t *testing.T) {
	c := serve(t)
	location := c.StartUpload("fresh")
	a := c.Get(location).Want(204)
	a.Location()
	if a.Header.Get("Range") == "" {
		t.Error("a session without bytes tells no Range")
	}
	// No byte at all is the empty blob.
	put(c, location, digest.FromBytes(nil), nil).Want(201)
	c.Get(wire.BlobPath("fresh", digest.FromBytes(nil))).Want(200).WantBody(nil)
}

// end-14
func TestCancel(t *testing.T) {
	c := serve(t)
	location := patch(c, c.StartUpload("cancel"), 0, []byte("some")).Want(202).Location()
	c.Delete(location).Want(204)
	c.Get(location).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	patch(c, location, 4, []byte("more")).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	put(c, location, digest.FromString("some"), nil).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	c.Delete(location).WantError(404, "BLOB_UPLOAD_UNKNOWN")
}

func TestSessionOfAnotherRepository(t *testing.T) {
	c := serve(t)
	location := c.StartUpload("mine")
	id := uuid.FindString(location)
	theirs := wire.UploadsPath("theirs") + id
	c.Get(theirs).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	patch(c, theirs, 0, []byte("x")).WantError(404, "BLOB_UPLOAD_UNKNOWN")
	for _, id := range []string{"..", "%2e%2e", "x", "00000000-0000-4000-8000-00000000000g"} {
		c.Get(wire.UploadsPath("mine")+id).Want(400, 404)
	}
}

// "If the registry has a minimum chunk size, the POST response SHOULD include"
// it; then chunks of that size are taken.
func TestChunkMinLength(t *testing.T) {
	c := serve(t)
	a := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("min")}).Want(202)
	least := 1
	if h := a.Header.Get("OCI-Chunk-Min-Length"); h != "" {
		if _, err := fmt.Sscan(h, &least); err != nil || least < 1 {
			t.Fatalf("OCI-Chunk-Min-Length %q: %v", h, err)
		}
	}
	n := fixture.Raw(octets, fixture.Bytes("min", least+1))
	location := patch(c, a.Location(), 0, n.Content[:least]).Want(202).Location()
	location = patch(c, location, least, n.Content[least:]).Want(202).Location()
	put(c, location, n.Desc.Digest, nil).Want(201)
}
