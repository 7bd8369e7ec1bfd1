package registry_test

import (
	"fmt"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

func TestTags(t *testing.T) {
	f := setUp(t, registry.Options{})
	_, _, err := f.Tags(f.ctx(), repo, registry.Page{N: -1})
	f.is(err, oci.ErrNameUnknown)
	for _, tag := range []oci.Tag{"b", "a", "B", "c.1", "c"} {
		f.push(f.image("m"), tag)
	}
	for _, c := range []struct {
		page registry.Page
		want string
		more bool
	}{
		{registry.Page{N: -1}, "[B a b c c.1]", false},
		{registry.Page{N: 5}, "[B a b c c.1]", false},
		{registry.Page{N: 2}, "[B a]", true},
		{registry.Page{N: 0}, "[]", false}, // MUST be empty, and without a Link
		{registry.Page{N: 2, Last: "a"}, "[b c]", true},
		{registry.Page{N: 2, Last: "b"}, "[c c.1]", false},
		{registry.Page{N: -1, Last: "bb"}, "[c c.1]", false},
		{registry.Page{N: 9, Last: "c.1"}, "[]", false},
		{registry.Page{N: 9, Last: "zz"}, "[]", false},
	} {
		tags, more, err := f.Tags(f.ctx(), repo, c.page)
		f.ok(err)
		same(t, fmt.Sprintf("tags of %+v", c.page), fmt.Sprint(tags), c.want)
		same(t, "more", more, c.more)
	}
}

func TestTagsOfARepositoryWithoutAny(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.push(f.image("m"), "")
	same(t, "tags", f.tags(), "[]")
}

func TestCatalog(t *testing.T) {
	f := setUp(t, registry.Options{})
	for _, name := range []oci.Repo{"b", "a/b", "a", "a-b"} {
		f.ok(f.store.PutBlob(f.ctx(), name, oci.SHA256.FromString("x"), []byte("x")))
	}
	for _, c := range []struct {
		page registry.Page
		want string
		more bool
	}{
		{registry.Page{N: -1}, "[a a-b a/b b]", false},
		{registry.Page{N: 4}, "[a a-b a/b b]", false},
		{registry.Page{N: 0}, "[]", false},
		{registry.Page{N: 2}, "[a a-b]", true},
		{registry.Page{N: 2, Last: "a-b"}, "[a/b b]", false},
		{registry.Page{N: 2, Last: "b"}, "[]", false},
	} {
		repos, more, err := f.Catalog(f.ctx(), c.page)
		f.ok(err)
		same(t, fmt.Sprintf("catalog of %+v", c.page), fmt.Sprint(repos), c.want)
		same(t, "more", more, c.more)
	}
	f.store.Once("WalkRepos", ocitest.Before, oci.ErrUnavailable)
	_, _, err := f.Catalog(f.ctx(), registry.Page{N: 1})
	f.is(err, oci.ErrUnavailable)
}
