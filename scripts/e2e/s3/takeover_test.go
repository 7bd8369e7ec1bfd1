package s3

import (
	"fmt"
	"io"
	"net/url"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
	"berth/s3lite"
)

// offsetOf asks where an upload stands.
func offsetOf(t *testing.T, c *wire.Client, path string) (size int64) {
	t.Helper()
	a := c.Get(path).Want(204)
	if text := a.Header.Get("Range"); text != "0-0" {
		if _, err := fmt.Sscanf(text, "0-%d", &size); err != nil {
			t.Fatalf("Range is %q", text)
		}
		size++
	}
	return size
}

// TestTakeover: a berth is killed in the middle of a long PATCH, and the client
// goes on at another one, from shortly before.
func TestTakeover(t *testing.T) {
	const part, sent = 5 << 20, 64 << 20
	bucket, gateway := client(t)
	if gateway.Torn {
		t.Skip("several servers cannot share a bucket of a gateway that tears reads")
	}
	config := harness.Config{Local: true, Env: gateway.Env()}
	dies, lives := harness.Start(t, config), harness.Start(t, config)
	layer := fixture.Layer("takeover", sent+part/2)
	content := layer.Content
	location, err := url.Parse(wire.New(t, dies.URL()).StartUpload("app"))
	if err != nil {
		t.Fatal(err)
	}
	path, lost, c := location.RequestURI(), wire.New(t, dies.URL()), wire.New(t, lives.URL())

	body, rest := io.Pipe()
	patched := make(chan error, 1)
	go func() {
		_, err := lost.Try(wire.Request{
			Method: "PATCH", Path: path, Stream: body, Header: map[string]string{"Content-Type": "application/octet-stream"},
		})
		patched <- err
	}()
	go func() { _, _ = rest.Write(content[:sent]) }() // the end never comes
	for deadline := time.Now().Add(harness.Patience); offsetOf(t, c, path) < 10*part; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %d bytes %d are kept", sent, offsetOf(t, c, path))
		}
	}
	dies.Kill()
	_ = rest.CloseWithError(io.ErrClosedPipe)
	if err := <-patched; err == nil {
		t.Error("the PATCH to a berth that was killed succeeded")
	}
	at := offsetOf(t, c, path)
	if at < 10*part || at > int64(len(content)) {
		t.Fatalf("%d bytes are kept", at)
	}
	c.Do(wire.Request{
		Method: "PATCH", Path: path, Bytes: content[at:],
		Header: map[string]string{"Content-Type": "application/octet-stream", "Content-Range": fmt.Sprintf("%d-%d", at, len(content)-1)},
	}).Want(202)
	c.Do(wire.Request{Method: "PUT", Path: wire.Query(path, "digest="+layer.Desc.Digest.String())}).Want(201)
	c.Get(wire.BlobPath("app", layer.Desc.Digest)).Want(200).WantBody(content)
	c.Do(wire.Request{Method: "GET", Path: wire.BlobPath("app", layer.Desc.Digest), Header: map[string]string{"Range": "bytes=100-199"}}).Want(206).WantBody(content[100:200])
	wants(t, "list", bucket.Walk(t.Context(), ".berth/uploads/", "", func(o s3lite.Info) error {
		t.Errorf("%s is left of the upload", o.Key)
		return nil
	}), nil)
}
