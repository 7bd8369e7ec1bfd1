package spec

import (
	"net/http"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// end-1
func TestSupport(t *testing.T) {
	c := serve(t)
	c.Get("/v2/").Want(200).WantHeader("Docker-Distribution-Api-Version", "registry/2.0")
	c.Head("/v2/").Want(200)
}

func TestHealth(t *testing.T) {
	c := serve(t)
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		c.Get(path).Want(200)
	}
}

func TestExtensionDiscovery(t *testing.T) {
	c := serve(t)
	var found struct {
		Extensions []struct{ Name string }
	}
	a := c.Get("/v2/_oci/ext/discover").Want(200)
	if !strings.Contains(string(a.Body), `"extensions"`) {
		t.Errorf("discovery answers %s", a.Body)
	}
	a.JSON(&found)
}

func TestUnknownPathsAndMethods(t *testing.T) {
	c := serve(t)
	for _, path := range []string{"/v1/", "/v2/a", "/v2/a/b", "/v2/a/blobs", "/v2/a/tags", "/v3/a/tags/list"} {
		c.Get(path).Want(404)
	}
	c.Push("m", "v1", fixture.SimpleImage("methods"))
	for _, r := range []wire.Request{
		{Method: "PUT", Path: "/v2/"},
		{Method: "POST", Path: wire.ManifestPath("m", "v1")},
		{Method: "PUT", Path: "/v2/m/tags/list"},
		{Method: "PATCH", Path: wire.BlobPath("m", fixture.Raw("", nil).Desc.Digest)},
		{Method: "DELETE", Path: "/v2/m/tags/list"},
	} {
		c.Do(r).Want(405)
	}
}

func TestNames(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("names")
	long := strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)
	for _, name := range []string{"a", "0", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a---b", "a1/b2", "blobs/manifests/tags", "uploads", "v2", "a/blobs/uploads", long} {
		c.Push(name, "v1", image)
		c.PullWhole(name, "v1", image)
	}
	for _, name := range []string{"A", "a_", "_a", "a..b", "a___b", "a/", "a//b", "-a", ".a", "a/-b", "ä", "a%20b", "%2e%2e", "a/%2e%2e/b", ".berth", "a/blobs%2fx", strings.Repeat("a", 256)} {
		a := c.Get("/v2/"+name+"/tags/list").Want(400, 404)
		if a.Status == 400 {
			a.WantError(400, "NAME_INVALID")
		}
		c.Do(wire.ManifestRequest(name, "v1", image)).Want(400, 404)
	}
}

func TestNamespaceQueryIsIgnored(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("ns")
	c.Push("ns", "v1", image)
	c.Get(wire.ManifestPath("ns", "v1") + "?ns=registry.example.org").Want(200).WantBody(image.Content)
	c.Get(wire.BlobPath("ns", image.Children[0].Desc.Digest) + "?ns=registry.example.org").Want(200).WantBody(image.Children[0].Content)
}

// Error Codes: the code fits the failure, in the specification's form.
func TestErrorBodies(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("errors")
	c.Push("e", "v1", image)
	unknown := "sha256:" + strings.Repeat("0", 64)
	for _, check := range []struct {
		request wire.Request
		status  int
		codes   []string
	}{
		{wire.Request{Method: "GET", Path: wire.ManifestPath("e", "nope")}, 404, []string{"MANIFEST_UNKNOWN"}},
		{wire.Request{Method: "GET", Path: wire.ManifestPath("e", unknown)}, 404, []string{"MANIFEST_UNKNOWN"}},
		{wire.Request{Method: "GET", Path: wire.ManifestPath("nobody", "v1")}, 404, []string{"NAME_UNKNOWN", "MANIFEST_UNKNOWN"}},
		{wire.Request{Method: "GET", Path: "/v2/e/blobs/" + unknown}, 404, []string{"BLOB_UNKNOWN"}},
		{wire.Request{Method: "GET", Path: "/v2/nobody/tags/list"}, 404, []string{"NAME_UNKNOWN"}},
		{wire.Request{Method: "PATCH", Path: wire.UploadsPath("e") + "00000000-0000-4000-8000-000000000000", Bytes: []byte("x")}, 404, []string{"BLOB_UPLOAD_UNKNOWN"}},
		{wire.Request{Method: "PUT", Path: wire.ManifestPath("e", ".bad"), Bytes: image.Content, Header: map[string]string{"Content-Type": image.Desc.MediaType}}, 400, nil},
		{wire.Request{Method: "PUT", Path: wire.ManifestPath("e", strings.Repeat("t", 129)), Bytes: image.Content, Header: map[string]string{"Content-Type": image.Desc.MediaType}}, 400, nil},
	} {
		c.Do(check.request).WantError(check.status, check.codes...)
	}
	// What follows a refused body on the same connection is a request of its own.
	c.Get("/v2/").Want(http.StatusOK)
}
