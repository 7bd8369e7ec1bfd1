package wire

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"berth/e2e/fixture"
)

// Accept names the manifests of the image specification.
const Accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"

// BlobPath is end-2 and end-10.
func BlobPath(repo string, d digest.Digest) string { return "/v2/" + repo + "/blobs/" + d.String() }

// ManifestPath is end-3, end-7 and end-9.
func ManifestPath(repo, ref string) string { return "/v2/" + repo + "/manifests/" + ref }

// UploadsPath is end-4 and end-11.
func UploadsPath(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }

// Query adds a query to a path or Location that may have one already.
func Query(location, query string) string {
	if strings.Contains(location, "?") {
		return location + "&" + query
	}
	return location + "?" + query
}

// StartUpload begins an upload session and returns its Location.
func (c *Client) StartUpload(repo string) string {
	c.t.Helper()
	return c.Do(Request{Method: "POST", Path: UploadsPath(repo)}).Want(http.StatusAccepted).Location()
}

// PushBlob pushes a blob by POST and PUT.
func (c *Client) PushBlob(repo string, n fixture.Node) {
	c.t.Helper()
	if err := c.TryPushBlob(repo, n); err != nil {
		c.t.Fatal(err)
	}
}

// TryPushBlob is PushBlob for a push that may fail.
func (c *Client) TryPushBlob(repo string, n fixture.Node) error {
	started, err := c.expect(Request{Method: "POST", Path: UploadsPath(repo)}, http.StatusAccepted)
	if err != nil {
		return err
	}
	_, err = c.expect(Request{
		Method: "PUT", Path: Query(started.Header.Get("Location"), "digest="+n.Desc.Digest.String()),
		Header: map[string]string{"Content-Type": "application/octet-stream"}, Bytes: n.Content,
	}, http.StatusCreated)
	return err
}

// StatusError is an answer of another status than the wanted one.
type StatusError struct{ Answer *Answer }

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d\n%s", e.Answer.request, e.Answer.Status, clip(string(e.Answer.Body)))
}

// TryFor sends a request that must be answered with the given status.
func (c *Client) TryFor(r Request, status int) error {
	_, err := c.expect(r, status)
	return err
}

func (c *Client) expect(r Request, status int) (*Answer, error) {
	a, err := c.Try(r)
	if err == nil && a.Status != status {
		err = &StatusError{a}
	}
	return a, err
}

// PutManifest pushes a manifest by tag or digest.
func (c *Client) PutManifest(repo, ref string, n fixture.Node) *Answer {
	c.t.Helper()
	return c.Do(ManifestRequest(repo, ref, n))
}

// ManifestRequest is the push of a manifest.
func ManifestRequest(repo, ref string, n fixture.Node) Request {
	return Request{
		Method: "PUT", Path: ManifestPath(repo, ref),
		Header: map[string]string{"Content-Type": n.Desc.MediaType}, Bytes: n.Content,
	}
}

// Push pushes a node and all it reaches, its root by ref ("" by digest).
func (c *Client) Push(repo, ref string, root fixture.Node) {
	c.t.Helper()
	if err := c.TryPush(repo, ref, root); err != nil {
		c.t.Fatal(err)
	}
}

// TryPush is Push for a push that may fail.
func (c *Client) TryPush(repo, ref string, root fixture.Node) error {
	for _, n := range root.All() {
		if n.IsManifest() {
			target := n.Desc.Digest.String()
			if n.Desc.Digest == root.Desc.Digest && ref != "" {
				target = ref
			}
			if _, err := c.expect(ManifestRequest(repo, target, n), http.StatusCreated); err != nil {
				return err
			}
			continue
		}
		if err := c.TryPushBlob(repo, n); err != nil {
			return err
		}
	}
	return nil
}

// PullWhole fails the test unless the node and all it reaches can be pulled
// from a repository by digest, byte for byte, and its root by ref too, unless
// that is "".
func (c *Client) PullWhole(repo, ref string, root fixture.Node) {
	c.t.Helper()
	if err := c.TryPullWhole(repo, ref, root); err != nil {
		c.t.Error(err)
	}
}

// TryPullWhole is PullWhole that returns what is wrong.
func (c *Client) TryPullWhole(repo, ref string, root fixture.Node) error {
	if ref != "" {
		if err := c.tryPull(ManifestPath(repo, ref), root); err != nil {
			return err
		}
	}
	for _, n := range root.All() {
		path := BlobPath(repo, n.Desc.Digest)
		if n.IsManifest() {
			path = ManifestPath(repo, n.Desc.Digest.String())
		}
		if err := c.tryPull(path, n); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) tryPull(path string, n fixture.Node) error {
	r := Request{Method: "GET", Path: path}
	if n.IsManifest() {
		r.Header = map[string]string{"Accept": Accept}
	}
	a, err := c.expect(r, http.StatusOK)
	if err != nil {
		return err
	}
	if string(a.Body) != string(n.Content) {
		return fmt.Errorf("%s: %d bytes came, not those of %s", a.request, len(a.Body), n.Desc.Digest)
	}
	if got := a.Header.Get("Docker-Content-Digest"); got != n.Desc.Digest.String() {
		return fmt.Errorf("%s: Docker-Content-Digest is %q, want %s", a.request, got, n.Desc.Digest)
	}
	if n.IsManifest() && a.Header.Get("Content-Type") != n.Desc.MediaType {
		return fmt.Errorf("%s: Content-Type is %q, want %s", a.request, a.Header.Get("Content-Type"), n.Desc.MediaType)
	}
	return nil
}
