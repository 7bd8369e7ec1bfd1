package spec

import (
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// RFC 9110, section 13.1.2
func TestIfNoneMatch(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("etag")
	c.Push("etag", "v1", image)
	for _, path := range []string{
		wire.ManifestPath("etag", "v1"), wire.ManifestPath("etag", image.Desc.Digest.String()),
		wire.BlobPath("etag", image.Children[1].Desc.Digest),
	} {
		tag := c.Get(path).Want(200).Header.Get("ETag")
		if tag == "" || c.Head(path).Want(200).Header.Get("ETag") != tag {
			t.Errorf("%s: ETag %q on GET and another on HEAD", path, tag)
		}
		for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			for _, method := range []string{"GET", "HEAD"} {
				a := c.Do(wire.Request{Method: method, Path: path, Header: map[string]string{"If-None-Match": match, "Accept": wire.Accept}}).
					Want(304).WantHeader("ETag", tag)
				if len(a.Body) > 0 {
					t.Errorf("%s %s: 304 has a body", method, path)
				}
			}
		}
		c.Do(wire.Request{Method: "GET", Path: path, Header: map[string]string{"If-None-Match": `"other"`}}).Want(200)
	}
}

// A tag that moved has another ETag.
func TestETagFollowsTheTag(t *testing.T) {
	c := serve(t)
	c.Push("moves", "v1", fixture.SimpleImage("one"))
	tag := c.Get(wire.ManifestPath("moves", "v1")).Want(200).Header.Get("ETag")
	two := fixture.SimpleImage("two")
	c.Push("moves", "v1", two)
	c.Do(wire.Request{Method: "GET", Path: wire.ManifestPath("moves", "v1"), Header: map[string]string{"If-None-Match": tag}}).Want(200).WantBody(two.Content)
}

// "Clients MAY use a conditional HTTP push for registries that support ETag
// conditions to avoid conflicts with other clients."
func TestConditionalPush(t *testing.T) {
	c := serve(t)
	one, two := fixture.SimpleImage("cp1"), fixture.SimpleImage("cp2")
	c.Push("cp", "v1", one)
	c.Push("cp", "", two)
	tag := c.Get(wire.ManifestPath("cp", "v1")).Want(200).Header.Get("ETag")
	put := func(header, value string) *wire.Answer {
		r := wire.ManifestRequest("cp", "v1", two)
		r.Header[header] = value
		return c.Do(r)
	}
	put("If-Match", `"other"`).Want(412)
	put("If-None-Match", "*").Want(412)
	put("If-None-Match", tag).Want(412)
	c.PullWhole("cp", "v1", one)
	put("If-Match", tag).Want(201)
	c.PullWhole("cp", "v1", two)

	r := wire.ManifestRequest("cp", "fresh", two)
	r.Header["If-Match"] = "*"
	c.Do(r).Want(412)
	r = wire.ManifestRequest("cp", "fresh", two)
	r.Header["If-None-Match"] = "*"
	c.Do(r).Want(201)
}
