package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// names reads a list of tags or repositories.
func names(a *wire.Answer) []string {
	var body struct {
		Name         string
		Tags         []string
		Repositories []string
	}
	a.Want(200).JSON(&body)
	return append(body.Tags, body.Repositories...)
}

func wantNames(t *testing.T, a *wire.Answer, want ...string) {
	t.Helper()
	if got := names(a); !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// follow reads a whole list page by page through Link.
func follow(t *testing.T, c *wire.Client, path string) (all []string, pages int) {
	t.Helper()
	for path != "" {
		a := c.Get(path)
		all = append(all, names(a)...)
		path = a.Next()
		if pages++; pages > 1000 {
			t.Fatal("the list does not end")
		}
	}
	return all, pages
}

// end-8a: "the tags MUST be in lexical ... or "ASCIIbetical" order"
func TestTagOrder(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("order")
	tags := []string{"b", "a", "B", "A", "_", "1", "10", "2", "v1.0", "v1.0-rc", "v1_0", "a-", "a."}
	c.Push("tags", tags[0], image)
	for _, tag := range tags {
		c.PutManifest("tags", tag, image).Want(201)
	}
	slices.Sort(tags)
	a := c.Get("/v2/tags/tags/list").WantHeader("Content-Type", "application/json")
	wantNames(t, a, tags...)
	var body struct{ Name string }
	if a.JSON(&body); body.Name != "tags" {
		t.Errorf("name is %q", body.Name)
	}
	if a.Next() != "" {
		t.Error("a whole list has a Link")
	}
}

// end-8b
func TestTagPages(t *testing.T) {
	c := serve(t)
	image := fixture.SimpleImage("pages")
	var tags []string
	c.Push("pages", "t00", image)
	for i := range 25 {
		tags = append(tags, fmt.Sprintf("t%02d", i))
		c.PutManifest("pages", tags[i], image).Want(201)
	}
	const list = "/v2/pages/tags/list"
	for _, n := range []int{1, 7, 10, 25, 26, 100} {
		got, pages := follow(t, c, fmt.Sprintf("%s?n=%d", list, n))
		if !slices.Equal(got, tags) {
			t.Errorf("n=%d: %v in %d pages", n, got, pages)
		}
	}
	wantNames(t, c.Get(list+"?n=3&last=t04"), "t05", "t06", "t07")
	wantNames(t, c.Get(list+"?last=t22"), "t23", "t24") // "the n parameter is OPTIONAL"
	wantNames(t, c.Get(list+"?n=2&last=t04x"), "t05", "t06")
	wantNames(t, c.Get(list+"?n=5&last=t24"))
	wantNames(t, c.Get(list+"?n=5&last=zzz"))

	// "When n is zero, this endpoint MUST return an empty list, and MUST NOT
	// include a Link header."
	wantNames(t, c.Get(list+"?n=0").WantNoHeader("Link"))
	for _, n := range []string{"-1", "x", "1.5"} {
		c.Get(list + "?n=" + n).Want(400)
	}
}

func TestTagsOfEmptyAndUnknown(t *testing.T) {
	c := serve(t)
	c.Push("untagged", "", fixture.SimpleImage("untagged"))
	a := c.Get("/v2/untagged/tags/list").Want(200)
	wantNames(t, a)
	if !strings.Contains(strings.ReplaceAll(string(a.Body), " ", ""), `"tags":[]`) {
		t.Errorf("no tags are %s, want an empty list", a.Body)
	}
	c.Get("/v2/unheard-of/tags/list").WantError(404, "NAME_UNKNOWN")
}

func TestCatalog(t *testing.T) {
	c := serve(t)
	wantNames(t, c.Get("/v2/_catalog"))
	image := fixture.SimpleImage("catalog")
	repos := []string{"a", "a/b", "a/b/c", "a-b", "b", "z/y/x", "a.b", "a0"}
	for _, repo := range repos {
		c.Push(repo, "v1", image)
	}
	slices.Sort(repos)
	wantNames(t, c.Get("/v2/_catalog"), repos...)
	for _, n := range []int{1, 3, 8, 9} {
		if got, pages := follow(t, c, fmt.Sprintf("/v2/_catalog?n=%d", n)); !slices.Equal(got, repos) {
			t.Errorf("n=%d: %v in %d pages", n, got, pages)
		}
	}
	wantNames(t, c.Get("/v2/_catalog?n=2&last=a"), "a-b", "a.b")
	wantNames(t, c.Get("/v2/_catalog?last=b"), "z/y/x")
	wantNames(t, c.Get("/v2/_catalog?n=0").WantNoHeader("Link"))
	c.Get("/v2/_catalog?n=x").Want(400)
}
