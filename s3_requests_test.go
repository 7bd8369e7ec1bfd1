package main

import (
	"net/http"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// counted is a server over a bucket whose requests are counted.
type counted struct {
	*testing.T
	bucket *s3test.Server
	base   string
}

func newCounted(t *testing.T) counted {
	bucket := s3Bucket(t)
	c := counted{t, bucket, "http://" + start(t, keysOfS3, guide(t, "s3.json", bucket, ""), "--address", "127.0.0.1:0").addresses()[0]}
	c.image("the first write of all") // costs more
	return c
}

// costs fails where something takes other requests than are told.
func (c counted) costs(what, want string, do func()) []s3test.Seen {
	c.Helper()
	c.bucket.Reset()
	do()
	var ops []string
	for _, s := range c.bucket.Seen() {
		ops = append(ops, s.Op)
	}
	if got := strings.Join(ops, " "); got != want {
		c.Errorf("%s takes %d requests: %s; want: %s", what, len(ops), got, want)
	}
	return c.bucket.Seen()
}

// image pushes one of a layer, and returns its manifest.
func (c counted) image(layer string) string {
	c.Helper()
	return pushTo(c.T, strings.TrimPrefix(c.base, "http://"), "app", "v1", layer)
}

// put pushes a blob by POST and PUT.
func (c counted) put(blob string) {
	c.Helper()
	status, answer, header := ask(c.T, "POST", c.base+"/v2/app/blobs/uploads/", "")
	if status != http.StatusAccepted {
		c.Fatalf("POST: %d %s", status, answer)
	}
	where := header.Get("Location")
	if strings.HasPrefix(where, "/") {
		where = c.base + where
	}
	mark := "?"
	if strings.Contains(where, "?") {
		mark = "&"
	}
	if status, answer, _ := ask(c.T, "PUT", where+mark+"digest="+string(oci.SHA256.FromString(blob)), blob); status != http.StatusCreated {
		c.Fatalf("PUT: %d %s", status, answer)
	}
}

// get reads something of the repository.
func (c counted) get(method, path, want string, header ...string) func() {
	return func() {
		c.Helper()
		if status, answer, _ := ask(c.T, method, c.base+"/v2/app/"+path, "", header...); status >= 300 || answer != want {
			c.Fatalf("%s %s: %d, and %d other bytes", method, path, status, len(answer))
		}
	}
}

// TestBucketRequests holds what docs/FORMAT.md says that requests of clients
// cost, from HTTP to the bucket.
func TestBucketRequests(t *testing.T) {
	c := newCounted(t)
	small, large := "a small layer", strings.Repeat("a large layer\n", 100_000)
	c.costs("a small blob, by POST and PUT", "PutObject PutObject DeleteObject", func() { c.put(small) })
	c.costs("a large blob, by POST and PUT", "PutObject ListObjectsV2 PutObject PutObject ListObjectsV2 DeleteObject", func() { c.put(large) })
	var manifest string
	c.costs("an image of two small blobs", "PutObject PutObject DeleteObject PutObject PutObject DeleteObject GetObject PutObject PutObject",
		func() { manifest = c.image(small) })
	c.costs("a manifest by its tag", "GetObject", c.get("GET", "manifests/v1", manifest))
	c.costs("a manifest by its tag, asked for by HEAD", "GetObject", c.get("HEAD", "manifests/v1", ""))
	for _, blob := range []string{small, large} {
		path := "blobs/" + string(oci.SHA256.FromString(blob))
		c.costs("HEAD of a blob", "HeadObject", c.get("HEAD", path, ""))
		c.costs("GET of a blob", "GetObject", c.get("GET", path, blob))
	}
	path := "blobs/" + string(oci.SHA256.FromString(large))
	for asked, want := range map[string]string{
		"bytes=0-9": large[:10], "bytes=500-899": large[500:900], "bytes=1000-": large[1000:], "bytes=-7": large[len(large)-7:],
	} {
		c.get("HEAD", path, "")() // what was seen is remembered for a while
		seen := c.costs("GET of "+asked, "GetObject", c.get("GET", path, want, "Range", asked))
		if got := seen[0].Header.Get("Range"); got != asked {
			t.Errorf("of %s the bucket is asked for %q", asked, got)
		}
	}
}
