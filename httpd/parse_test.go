package httpd

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"berth/oci"
)

func TestRoute(t *testing.T) {
	for path, want := range map[string]target{
		"/v2/": {end: endBase}, "/v2": {end: endBase}, "/": {end: endRoot}, "": {}, "/v3/": {}, "/v2x": {},
		"/v2/_catalog": {end: endCatalog}, "/v2/_oci/ext/discover": {end: endDiscover},
		"/v2/a/blobs/d":                        {endBlob, "a", "d"},
		"/v2/a/b/c/manifests/v1":               {endManifest, "a/b/c", "v1"},
		"/v2/a/manifests/sha256%3Aab%3acd%41":  {endManifest, "a", "sha256:ab:cd%41"},
		"/v2/a/blobs/uploads/":                 {end: endUploads, name: "a"},
		"/v2/a/blobs/uploads":                  {end: endUploads, name: "a"},
		"/v2/a/blobs/uploads/id":               {endUpload, "a", "id"},
		"/v2/a/tags/list":                      {end: endTags, name: "a"},
		"/v2/a/referrers/d":                    {endReferrers, "a", "d"},
		"/v2/blobs/blobs/d":                    {endBlob, "blobs", "d"},
		"/v2/a/manifests/blobs/d":              {endBlob, "a/manifests", "d"},
		"/v2/a/blobs/uploads/manifests/v1":     {endManifest, "a/blobs/uploads", "v1"},
		"/v2/a/blobs/uploads/blobs/uploads/":   {end: endUploads, name: "a/blobs/uploads"},
		"/v2/a/blobs/uploads/blobs/uploads/id": {endUpload, "a/blobs/uploads", "id"},
		"/v2/tags/list/tags/list":              {end: endTags, name: "tags/list"},
		"/v2/uploads/referrers/referrers/d":    {endReferrers, "uploads/referrers", "d"},
		"/v2/uploads/manifests/list":           {endManifest, "uploads", "list"},
		"/v2/a/tags/other":                     {}, "/v2/tags/list": {}, "/v2/blobs/d": {}, "/v2/a/blobs/": {}, "/v2/a/uploads/id": {},
		"/livez": {end: endLive}, "/readyz": {end: endReady}, "/startupz": {end: endStarted}, "/livez/": {},
	} {
		if got := route(path); got != want {
			t.Errorf("%q: %+v, want %+v", path, got, want)
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, path := range []string{"/v2/", "/v2/a/b/blobs/sha256%3Aaa", "/v2/a/blobs/uploads/", "/v2/a/../b/tags/list", "//v2/%2f", "/v2/a/blobs/uploads/x"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := route(path)
		if got.end >= endpoints {
			t.Fatalf("endpoint %d", got.end)
		}
		if got.name != "" && !strings.Contains(path, "/"+got.name+"/") {
			t.Errorf("name %q is no part of the path", got.name)
		}
		if strings.Contains(got.arg, "/") {
			t.Errorf("argument %q", got.arg)
		}
	})
}

func TestQuery(t *testing.T) {
	got, err := parseQuery("n=5&last=a%2Fb&artifactType=x+y%2Bz&tag=a&tag=b&digest=d&digest=e&mount=m&from=f&ns=x&%zz=1&n=7&&digest-algorithm=sha512")
	want := query{n: 5, last: "a/b", artifactType: "x+y+z", tags: []oci.Tag{"a", "b"}, digest: "d", mount: "m", from: "f",
		algorithm: "sha512", hasDigest: true, hasMount: true, hasFilter: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, raw := range []string{"n=-1", "n=", "n=x", "last=%", "last=%g1", "tag=.x", "tag=", strings.Repeat("a&", maxParameters+1), strings.Repeat("tag=a&", maxTags+1)} {
		if _, err := parseQuery(raw); err == nil {
			t.Errorf("%q was taken", clipped(raw))
		}
	}
	if got, err := parseQuery("last=%2561"); err != nil || got.last != "%61" {
		t.Errorf("decoded twice: %q", got.last)
	}
}

func FuzzQuery(f *testing.F) {
	for _, raw := range []string{"", "n=1&last=x", "digest=sha256%3Aaa&tag=a&tag=b", "mount=x&from=y", "artifactType=%", "n=99999999999999999999"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseQuery(raw)
		if err != nil {
			return
		}
		if got.n < -1 || len(got.tags) > maxTags {
			t.Errorf("%+v", got)
		}
		if back, err := parseQuery("last=" + escape(got.last)); err != nil || back.last != got.last {
			t.Errorf("%q came back as %q, %v", got.last, back.last, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, h := range []string{"bytes=0-0", "bytes=-5,1-2", "bytes=5-,-0", "bytes=0-9,5-20,30-", "bytes=99999999999999999999-", "lines=1", "bytes=,,"} {
		f.Add(h, int64(100))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		spans, ok := parseRange(header, size)
		checkFirstPart(t, header, size, spans)
		if !ok && len(spans) > 0 || len(spans) > maxRanges {
			t.Fatalf("%v, %t", spans, ok)
		}
		total := int64(0)
		for _, s := range spans {
			if s.start < 0 || s.end <= s.start || s.end > size {
				t.Errorf("span %v of %d bytes", s, size)
			}
			total += s.length()
		}
		if total > size {
			t.Errorf("%v are more than the whole", spans)
		}
	})
}

// checkFirstPart: of a single range, the store is asked for exactly that.
func checkFirstPart(t *testing.T, header string, size int64, spans []span) {
	t.Helper()
	offset, length := firstPart(header)
	if length < 0 || offset < 0 && length > 0 {
		t.Fatalf("%q asks for %d bytes from %d on", header, length, offset)
	}
	if len(spans) != 1 || strings.Contains(header, ",") {
		return
	}
	if offset < 0 {
		offset = max(0, size+offset)
	}
	if end := offset + length; offset != spans[0].start || length > 0 && min(end, size) != spans[0].end || length == 0 && spans[0].end != size {
		t.Errorf("%q of %d bytes asks for %d bytes from %d on, and is answered with %v", header, size, length, offset, spans[0])
	}
}

func TestFirstPart(t *testing.T) {
	for header, want := range map[string][2]int64{
		"": {}, "bytes=0-0": {0, 1}, "bytes=5-9": {5, 5}, "bytes= 5-9 ,": {5, 5}, "Bytes=5-": {5, 0}, "bytes=-5": {-5, 0}, "bytes=7-8,1-2": {7, 0},
		"bytes=9-5": {9, 0}, "lines=1-2": {}, "bytes=x-1": {}, "bytes=1-x": {}, "bytes=-": {}, "bytes=,": {}, "bytes=-0": {},
	} {
		if offset, length := firstPart(header); [2]int64{offset, length} != want {
			t.Errorf("%q asks for %d bytes from %d on, want %v", header, length, offset, want)
		}
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string]span{
		"0-0": {0, 1}, "5-9": {5, 10}, "bytes 5-9/10": {5, 10}, "bytes=5-9": {5, 10}, "Bytes 5-9/*": {5, 10}, "05-09": {5, 10},
	} {
		if got, err := parseContentRange(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-", "5", "5-", "-5", "9-5", "a-b", "0-1 ", " 0-1", "0-1-2", "+0-1", "bytes */5", "0x0-1"} {
		if _, err := parseContentRange(s); !errors.Is(err, oci.ErrUploadInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"0-0", "5-9", "bytes 5-9/10", "99999999999999999999-99999999999999999999", "9-5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseContentRange(s); err == nil && (got.start < 0 || got.length() <= 0) {
			t.Errorf("%q: %v", s, got)
		}
	})
}

func TestEntityTags(t *testing.T) {
	for _, c := range []struct {
		header string
		weak   bool
		want   []string
	}{
		{"", true, nil}, {"  ", true, nil}, {"*", true, []string{"*"}}, {`"a"`, false, []string{"a"}},
		{`"a", W/"b" ,"c"`, true, []string{"a", "b", "c"}}, {`"a", W/"b" ,"c"`, false, []string{"a", "c"}},
		{`W/"b"`, false, []string{}}, {"a", false, []string{"a"}}, {`,,""`, false, []string{}},
	} {
		if got := parseTags(c.header, c.weak); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %#v, want %#v", c.header, got, c.want)
		}
	}
}

func FuzzEntityTags(f *testing.F) {
	f.Add(`"a", W/"b"`, true)
	f.Add("*", false)
	f.Fuzz(func(t *testing.T, header string, weak bool) {
		got := parseTags(header, weak)
		if (got == nil) != (strings.TrimSpace(header) == "") {
			t.Errorf("%q: %#v", header, got)
		}
		anyTag(got, absent)
	})
}

// fields is headers for a test.
type fields map[string]string

func (f fields) get(name string) string { return f[name] }

func FuzzParse(f *testing.F) {
	f.Add("GET", "/v2/a/blobs/"+absent, "", "bytes=0-1", "*", "0-1", int64(0))
	f.Add("PUT", "/v2/a/manifests/"+absent, "tag=a&tag=b", "", `"x"`, "", int64(-1))
	f.Add("PATCH", "/v2/a/blobs/uploads/01234567-0123-0123-0123-012345678901", "", "", "", "0-1", int64(2))
	f.Add("POST", "/v2/a/blobs/uploads/", "mount="+absent+"&from=b", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, method, path, rawQuery, ranges, tags, chunk string, length int64) {
		h := fields{"Range": ranges, "If-Range": tags, "If-Match": tags, "If-None-Match": tags, "Content-Range": chunk, "Content-Type": ranges}
		r, err := parse(method, path, rawQuery, length, h)
		if err != nil {
			if _, known := explain(err, ""); !known {
				t.Errorf("no answer to %v", err)
			}
			return
		}
		m := table(r.end)
		if m.of(method) == nil {
			t.Errorf("%s %s has no handler", method, path)
		}
		if _, err := oci.ParseRepo(string(r.repo)); r.repo != "" && err != nil {
			t.Errorf("repository %q", r.repo)
		}
		for _, d := range []oci.Digest{r.digest, r.mount, r.last, r.ref.Digest} {
			if _, err := oci.ParseDigest(string(d)); d != "" && err != nil {
				t.Errorf("digest %q", d)
			}
		}
	})
}
