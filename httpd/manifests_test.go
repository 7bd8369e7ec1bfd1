package httpd

import (
	"fmt"
	"strings"
	"testing"

	"berth/oci"
)

// The checklist of end-3.
func TestPullManifest(t *testing.T) {
	s := start(t, Options{})
	m, d := s.image("a/b", "v1")
	common := []string{
		"Docker-Content-Digest", string(d), "Content-Length", fmt.Sprint(len(m)), "Content-Type", manifestType,
		"ETag", `"` + string(d) + `"`, "Docker-Distribution-API-Version", apiVersion,
	}
	for _, c := range []struct{ ref, cache string }{
		{"v1", "no-cache"}, {string(d), immutable}, {strings.Replace(string(d), ":", "%3a", 1), immutable},
	} {
		path := "/v2/a/b/manifests/" + c.ref
		if got := s.do("GET", path, nil).expect(t, 200, append(common, "Cache-Control", c.cache)...); got.body != m {
			t.Errorf("%s: other bytes: %q", c.ref, got.body)
		}
		s.do("HEAD", path, nil).expect(t, 200, append(common, "Cache-Control", c.cache)...)
		// What is stored is the answer, whatever is asked for.
		for _, accept := range []string{manifestType, "*/*", "application/*", "application/vnd.oci.image.index.v1+json", manifestType + ";q=0", "text/html"} {
			s.do("GET", path, nil, "Accept", accept).expect(t, 200, common...)
		}
		s.do("GET", path+"?ns=docker.io", nil).expect(t, 200)
	}
}

func TestPullManifestThatIsNotThere(t *testing.T) {
	s := start(t, Options{})
	s.image("a", "v1")
	for _, ref := range []string{"v2", absent, ".INVALID_MANIFEST_NAME", "sha256:short", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		s.do("GET", "/v2/a/manifests/"+ref, nil).expect(t, 404).code(t, "MANIFEST_UNKNOWN")
		s.do("HEAD", "/v2/a/manifests/"+ref, nil).expect(t, 404)
	}
	if got := s.do("GET", "/v2/nobody/manifests/v1", nil); got.status != 404 {
		t.Errorf("repository that is not there: %d", got.status)
	}
	s.do("GET", "/v2/a/UPPER/manifests/v1", nil).expect(t, 404).code(t, "NAME_UNKNOWN")
}

func TestConditionalPullOfManifest(t *testing.T) {
	s := start(t, Options{})
	_, d := s.image("a", "v1")
	tag := `"` + string(d) + `"`
	for _, ref := range []string{"v1", string(d)} {
		path := "/v2/a/manifests/" + ref
		s.do("GET", path, nil, "If-None-Match", `"x", W/`+tag).expect(t, 304, "ETag", tag, "Docker-Content-Digest", string(d))
		s.do("HEAD", path, nil, "If-None-Match", "*").expect(t, 304)
		s.do("GET", path, nil, "If-None-Match", `"x"`).expect(t, 200)
		s.do("GET", path, nil, "If-Match", `"x"`).expect(t, 412)
		s.do("GET", path, nil, "If-Match", tag).expect(t, 200)
	}
}

// The checklist of end-7a.
func TestPushManifest(t *testing.T) {
	s := start(t, Options{})
	config := s.blob("a", "{}")
	m := manifestOf(config, 2, `,"unknown":{"kept":  "byte for byte"}`)
	d := oci.SHA256.FromString(m)
	s.do("PUT", "/v2/a/manifests/v1", m, "Content-Type", manifestType+"; charset=utf-8").expect(t, 201,
		"Location", "/v2/a/manifests/v1", "Docker-Content-Digest", string(d), "OCI-Subject", "", "OCI-Tag", "",
		"Docker-Distribution-API-Version", apiVersion)
	s.do("PUT", "/v2/a/manifests/"+string(d), strings.NewReader(m), "Content-Type", manifestType).expect(t, 201,
		"Location", "/v2/a/manifests/"+string(d))
	got := s.do("GET", "/v2/a/manifests/v1", nil).expect(t, 200, "Content-Type", manifestType)
	if got.body != m {
		t.Errorf("came back as %q", got.body)
	}
}

func TestPushManifestWithSubject(t *testing.T) {
	s := start(t, Options{})
	m := manifestOf(s.blob("a", "{}"), 2, fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":1}`, manifestType, absent))
	s.do("PUT", "/v2/a/manifests/v1", m, "Content-Type", manifestType).expect(t, 201, "OCI-Subject", absent)
}

// The checklist of end-7b.
func TestPushManifestWithTags(t *testing.T) {
	s := start(t, Options{})
	m := manifestOf(s.blob("a", "{}"), 2, "")
	path := "/v2/a/manifests/" + string(oci.SHA256.FromString(m))
	put := func(query string) reply { return s.do("PUT", path+query, m, "Content-Type", manifestType) }
	put("?tag=1.2.3&tag=1.2&tag=1&tag=latest").expect(t, 201, "OCI-Tag", "1.2.3, 1.2, 1, latest", "Location", path)
	for _, tag := range []string{"1.2.3", "1.2", "1", "latest"} {
		s.do("GET", "/v2/a/manifests/"+tag, nil).expect(t, 200)
	}
	put("?tag=good&tag=not%20good").expect(t, 400)
	put("?tag=").expect(t, 400)
	s.do("GET", "/v2/a/manifests/good", nil).expect(t, 404)
	put("?"+strings.Repeat("tag=x&", maxTags)).expect(t, 201)
	put("?"+strings.Repeat("tag=x&", maxTags+1)).expect(t, 414)
	s.do("PUT", "/v2/a/manifests/v1?tag=v2", m, "Content-Type", manifestType).expect(t, 400)
}

func TestRefusedPushOfManifest(t *testing.T) {
	s := start(t, Options{})
	m := manifestOf(s.blob("a", "{}"), 2, "")
	put := func(path string, body any, fields ...string) reply {
		return s.do("PUT", path, body, append(fields, "Content-Type", manifestType)...)
	}
	put("/v2/a/manifests/not*valid", m).expect(t, 400)
	put("/v2/a/manifests/sha256:short", m).expect(t, 400).code(t, "DIGEST_INVALID")
	put("/v2/a/manifests/"+absent, m).expect(t, 400).code(t, "DIGEST_INVALID")
	put("/v2/A/manifests/v1", m).expect(t, 400).code(t, "NAME_INVALID")
	put("/v2/a/manifests/v1", "{").expect(t, 400).code(t, "MANIFEST_INVALID")
	put("/v2/a/manifests/v1", nil).expect(t, 400).code(t, "MANIFEST_INVALID")
	put("/v2/a/manifests/v1", manifestOf(absent, 1, "")).expect(t, 404).code(t, "MANIFEST_BLOB_UNKNOWN")
	s.do("PUT", "/v2/a/manifests/v1", `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}`,
		"Content-Type", "application/vnd.docker.distribution.manifest.v2+json").expect(t, 415)
}

func TestManifestOverTheLimit(t *testing.T) {
	s := start(t, Options{})
	limit := int(s.server.reg.MaxManifestSize())
	big := strings.Repeat(" ", limit+1)
	s.do("PUT", "/v2/a/manifests/v1", big).expect(t, 413).code(t, "SIZE_INVALID")
	s.do("PUT", "/v2/a/manifests/v1", strings.NewReader(big)).expect(t, 413).code(t, "SIZE_INVALID")
	m := manifestOf(s.blob("a", "{}"), 2, "")
	whole := m + strings.Repeat(" ", limit-len(m))
	s.do("PUT", "/v2/a/manifests/v1", whole, "Content-Type", manifestType).expect(t, 201)
	if got := s.do("GET", "/v2/a/manifests/v1", nil).expect(t, 200); got.body != whole {
		t.Errorf("%d bytes came back", len(got.body))
	}
}

func TestConditionalPush(t *testing.T) {
	s := start(t, Options{})
	config := s.blob("a", "{}")
	one, two := manifestOf(config, 2, ""), manifestOf(config, 2, " ")
	tag := `"` + string(oci.SHA256.FromString(one)) + `"`
	put := func(m, name, value string) reply {
		return s.do("PUT", "/v2/a/manifests/v1", m, "Content-Type", manifestType, name, value)
	}
	put(one, "If-Match", "*").expect(t, 412)
	put(one, "If-None-Match", "*").expect(t, 201)
	put(one, "If-None-Match", "*").expect(t, 412)
	put(two, "If-Match", `"`+absent+`"`).expect(t, 412)
	put(two, "If-Match", "W/"+tag).expect(t, 412)
	put(two, "If-Match", tag).expect(t, 201)
	put(one, "If-Match", tag).expect(t, 412)
}

// end-9
func TestDeleteManifest(t *testing.T) {
	s := start(t, Options{})
	_, d := s.image("a", "v1")
	s.image("a", "v2")
	s.do("DELETE", "/v2/a/manifests/v1", nil).expect(t, 202)
	s.do("GET", "/v2/a/manifests/v1", nil).expect(t, 404).code(t, "MANIFEST_UNKNOWN")
	s.do("GET", "/v2/a/manifests/v2", nil).expect(t, 200)
	s.do("DELETE", "/v2/a/manifests/"+string(d), nil).expect(t, 202)
	s.do("GET", "/v2/a/manifests/v2", nil).expect(t, 404)
	s.do("GET", "/v2/a/manifests/"+string(d), nil).expect(t, 404)
	s.do("DELETE", "/v2/a/manifests/"+string(d), nil).expect(t, 404).code(t, "MANIFEST_UNKNOWN")
	if got := s.do("DELETE", "/v2/nobody/manifests/v1", nil); got.status != 404 {
		t.Errorf("in a repository that is not there: %d", got.status)
	}
	s.do("DELETE", "/v2/a/manifests/sha256:short", nil).expect(t, 400)
}
