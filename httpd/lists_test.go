package httpd

import (
	"fmt"
	"strings"
	"testing"
)

// end-8
func TestTags(t *testing.T) {
	s := start(t, Options{})
	for _, tag := range []string{"c", "a", "B", "d"} {
		s.image("x/y", tag)
	}
	get := func(query string) reply { return s.do("GET", "/v2/x/y/tags/list"+query, nil) }
	for _, c := range []struct{ query, tags, link string }{
		{"", `"B","a","c","d"`, ""},
		{"?n=2", `"B","a"`, `</v2/x/y/tags/list?n=2&last=a>; rel="next"`},
		{"?n=2&last=a", `"c","d"`, ""},
		{"?n=2&last=aa", `"c","d"`, ""},
		{"?last=c", `"d"`, ""},
		{"?last=zz&n=1", ``, ""},
		{"?n=0", ``, ""},
		{"?n=4", `"B","a","c","d"`, ""},
		{"?n=99999999999999999999", `"B","a","c","d"`, ""},
	} {
		got := get(c.query).expect(t, 200, "Link", c.link, "Content-Type", "application/json")
		if want := `{"name":"x/y","tags":[` + c.tags + `]}`; got.body != want {
			t.Errorf("%s: %s, want %s", c.query, got.body, want)
		}
	}
	for _, query := range []string{"?n=-1", "?n=x", "?n=", "?n=1.5", "?n=%zz", "?n=%1"} {
		get(query).expect(t, 400)
	}
	s.do("GET", "/v2/nobody/tags/list", nil).expect(t, 404).code(t, "NAME_UNKNOWN")
	s.do("GET", "/v2/A/tags/list", nil).expect(t, 404).code(t, "NAME_UNKNOWN")
	s.do("HEAD", "/v2/x/y/tags/list", nil).expect(t, 200)
}

func TestCatalog(t *testing.T) {
	s := start(t, Options{})
	if got := s.do("GET", "/v2/_catalog", nil).expect(t, 200); got.body != `{"repositories":[]}` {
		t.Errorf("empty: %s", got.body)
	}
	for _, repo := range []string{"c", "a/b", "a"} {
		s.image(repo, "v1")
	}
	for _, c := range []struct{ query, repos, link string }{
		{"", `"a","a/b","c"`, ""},
		{"?n=2", `"a","a/b"`, `</v2/_catalog?n=2&last=a/b>; rel="next"`},
		{"?n=2&last=a/b", `"c"`, ""},
		{"?n=2&last=a%2Fb", `"c"`, ""},
		{"?n=0", ``, ""},
	} {
		got := s.do("GET", "/v2/_catalog"+c.query, nil).expect(t, 200, "Link", c.link)
		if want := `{"repositories":[` + c.repos + `]}`; got.body != want {
			t.Errorf("%s: %s, want %s", c.query, got.body, want)
		}
	}
	s.do("GET", "/v2/_catalog?n=-1", nil).expect(t, 400)
}

// end-12
func TestReferrers(t *testing.T) {
	s := start(t, Options{})
	_, subject := s.image("a", "v1")
	signature := manifestOf(s.blob("a", "{}"), 2, fmt.Sprintf(
		`,"artifactType":"application/vnd.example.sig+json","annotations":{"k":"v"},"subject":{"mediaType":%q,"digest":%q,"size":1}`, manifestType, subject))
	s.do("PUT", "/v2/a/manifests/sig", signature, "Content-Type", manifestType).expect(t, 201, "OCI-Subject", string(subject))

	path := "/v2/a/referrers/" + string(subject)
	const index = "application/vnd.oci.image.index.v1+json"
	has := func(query string, want bool, filters string) {
		t.Helper()
		got := s.do("GET", path+query, nil).expect(t, 200, "Content-Type", index, "OCI-Filters-Applied", filters, "Link", "")
		if strings.Contains(got.body, "application/vnd.example.sig+json") != want {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	has("", true, "")
	has("?artifactType=application/vnd.example.sig%2Bjson", true, "artifactType")
	has("?artifactType=application/vnd.example.sig+json", true, "artifactType")
	has("?artifactType=application/other", false, "artifactType")
	has("?artifactType=", true, "")

	for _, path := range []string{"/v2/a/referrers/" + absent, "/v2/nobody/referrers/" + absent} {
		if got := s.do("GET", path, nil).expect(t, 200, "Content-Type", index); !strings.Contains(got.body, `"manifests":[]`) {
			t.Errorf("none: %s", got.body)
		}
	}
	for _, path := range []string{"/v2/a/referrers/sha256:short", "/v2/a/referrers/v1", "/v2/A/referrers/" + absent, "/v2/a/referrers/" + absent + "?last=x"} {
		s.do("GET", path, nil).expect(t, 400)
	}
}

func TestReferrersPages(t *testing.T) {
	s := start(t, Options{})
	config := s.blob("a", "{}")
	const each, count = 1 << 20, 6
	for i := range count {
		m := manifestOf(config, 2, fmt.Sprintf(`,"annotations":{"n%d":%q},"subject":{"mediaType":%q,"digest":%q,"size":1}`,
			i, strings.Repeat("x", each), manifestType, absent))
		s.do("PUT", fmt.Sprintf("/v2/a/manifests/v%d", i), m, "Content-Type", manifestType).expect(t, 201)
	}
	seen, pages := 0, 0
	for path := "/v2/a/referrers/" + absent + "?artifactType=application/vnd.example%2Bjson"; path != ""; pages++ {
		got := s.do("GET", path, nil).expect(t, 200, "OCI-Filters-Applied", "artifactType")
		seen += strings.Count(got.body, `"annotations"`)
		path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">; rel=\"next\"")
		if pages > count {
			t.Fatal("the pages never end")
		}
	}
	if seen != count || pages < 2 {
		t.Errorf("%d referrers on %d pages", seen, pages)
	}
}

func TestDiscover(t *testing.T) {
	s := start(t, Options{})
	if got := s.do("GET", "/v2/_oci/ext/discover", nil).expect(t, 200); got.body != `{"extensions":[]}` {
		t.Errorf("none: %s", got.body)
	}
	s = start(t, Options{Extensions: []Extension{{Name: "_x", URL: "https://x.test", Description: "d", Endpoints: []string{"/v2/_x/y"}}}})
	want := `{"extensions":[{"name":"_x","url":"https://x.test","description":"d","endpoints":["/v2/_x/y"]}]}`
	if got := s.do("GET", "/v2/_oci/ext/discover", nil).expect(t, 200); got.body != want {
		t.Errorf("one: %s", got.body)
	}
}
