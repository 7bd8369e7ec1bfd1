package load

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// big is a large blob that is never held: blocks of 1 MiB, each the same but
// for its number, so that a byte out of place shows.
type big struct {
	size  int64
	block []byte
}

const blockSize = 1 << 20

func newBig(seed string, size int64) *big {
	return &big{size, fixture.Bytes(seed, blockSize)}
}

// ReadAt reads from an offset; it fits io.SectionReader.
func (b *big) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && at < b.size {
		number, within := at/blockSize, at%blockSize
		m := copy(p[n:], b.block[within:min(blockSize, b.size-number*blockSize)])
		for i := within; i < 8 && i < within+int64(m); i++ { // the block's number comes first
			p[int64(n)+i-within] = byte(number >> (8 * i))
		}
		n, at = n+m, at+int64(m)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// section is a part of the blob.
func (b *big) section(from, to int64) io.Reader { return io.NewSectionReader(b, from, to-from) }

func (b *big) digest(t *testing.T) digest.Digest {
	t.Helper()
	d, err := digest.FromReader(b.section(0, b.size))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pull reads the whole blob back, and the ranges around a few offsets.
func (b *big) pull(t *testing.T, c *wire.Client, path string, want digest.Digest, around ...int64) {
	t.Helper()
	res, err := c.Open(t.Context(), wire.Request{Method: "GET", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.ContentLength != b.size {
		t.Errorf("GET %s: %d, Content-Length %d, want %d", path, res.StatusCode, res.ContentLength, b.size)
	}
	if got, err := digest.FromReader(res.Body); err != nil || got != want {
		t.Errorf("GET %s: bytes of %s came: %v", path, got, err)
	}
	c.Head(path).Want(200).WantSize(b.size)
	for _, at := range around {
		b.rangeAround(t, c, path, at)
	}
}

func (b *big) rangeAround(t *testing.T, c *wire.Client, path string, at int64) {
	t.Helper()
	from, to := at-100_000, min(at+100_000, b.size)
	want, err := io.ReadAll(b.section(from, to))
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", from, to-1)}
	c.Do(wire.Request{Method: "GET", Path: path, Header: header}).Want(206).WantBody(want).
		WantHeader("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, b.size))
}

// 3 GiB in chunks of 1 GiB.
func TestBigChunked(t *testing.T) {
	s, c := start(t)
	b := newBig("chunked", 3<<30)
	location, hash := c.StartUpload("big"), digest.Canonical.Digester()
	for at := int64(0); at < b.size; at += 1 << 30 {
		location = c.Do(wire.Request{
			Method: "PATCH", Path: location, Length: 1 << 30,
			Stream: io.TeeReader(b.section(at, at+1<<30), hash.Hash()),
			Header: map[string]string{"Content-Range": fmt.Sprintf("%d-%d", at, at+1<<30-1)},
		}).Want(202).WantHeader("Range", fmt.Sprintf("0-%d", at+1<<30-1)).Location()
	}
	d := hash.Digest()
	c.Do(wire.Request{Method: "PUT", Path: wire.Query(location, "digest="+d.String())}).Want(201)
	b.pull(t, c, wire.BlobPath("big", d), d, 1<<31, 3<<30-50_000)
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("mounted") + "?from=big&mount=" + d.String()}).Want(201)
	c.Head(wire.BlobPath("mounted", d)).Want(200).WantSize(b.size)
	c.Delete(wire.BlobPath("big", d)).Want(202)
	s.Stop()
}

// A little over 4 GiB in one request.
func TestBigMonolithic(t *testing.T) {
	s, c := start(t)
	b := newBig("monolithic", 4<<30+12_345)
	d := b.digest(t)
	c.Do(wire.Request{
		Method: "PUT", Path: wire.Query(c.StartUpload("big"), "digest="+d.String()),
		Stream: b.section(0, b.size), Length: b.size,
	}).Want(201)
	b.pull(t, c, wire.BlobPath("big", d), d, 1<<31, 1<<32)
	c.Delete(wire.BlobPath("big", d)).Want(202)
	s.Stop()
}

// The 32-bit binary and a blob that no int of its holds.
func TestBig386(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{Binary: harness.Binary386(t)})
	c := wire.New(t, s.URL())
	image := fixture.MultiArch("386")
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image)

	b := newBig("386", 2<<30+1<<20)
	d := b.digest(t)
	c.Do(wire.Request{ // of unknown length: chunked
		Method: "PUT", Path: wire.Query(c.StartUpload("big"), "digest="+d.String()),
		Stream: io.MultiReader(b.section(0, b.size)),
	}).Want(201)
	b.pull(t, c, wire.BlobPath("big", d), d, 1<<31)
	a := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("other") + "?from=big&mount=" + d.String()}).Want(201)
	c.Head(a.Location()).Want(200).WantSize(b.size)
	s.Stop()
	if bytes.Contains([]byte(s.Log()), []byte("panic")) {
		t.Error(s.Log())
	}
}
