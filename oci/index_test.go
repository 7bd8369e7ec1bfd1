package oci_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/oci"
)

// entry is a descriptor of index.json with a ref.name, "" for none.
func entry(content, refName string) string {
	annotations := ""
	if refName != "" {
		annotations = `,"annotations":{"org.opencontainers.image.ref.name":"` + refName + `"}`
	}
	return `{"mediaType":"` + oci.MediaTypeManifest + `","digest":"` + string(oci.SHA256.FromString(content)) + `","size":1` + annotations + `}`
}

func layout(entries ...string) string {
	return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
}

func parse(t testing.TB, s string) *oci.Index {
	t.Helper()
	x, err := oci.ParseIndex([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return x
}

// tags lists all tags with what they name: the content's first letter.
func tags(x *oci.Index, contents ...string) string {
	list, _ := x.Tags("", 1<<20)
	var b strings.Builder
	for _, t := range list {
		for _, c := range contents {
			if x.Tagged(t).Digest == oci.SHA256.FromString(c) {
				fmt.Fprintf(&b, "%s=%s ", t, c)
			}
		}
	}
	return strings.TrimSpace(b.String())
}

func TestRefNames(t *testing.T) {
	for refName, want := range map[string]oci.Tag{
		"latest":                       "latest",
		"v1.0-rc_1":                    "v1.0-rc_1",
		"docker.io/library/alpine:3.8": "3.8",
		"localhost:5000/x/y:v1@sha256:0000000000000000000000000000000000000000000000000000000000000000": "v1",
		"localhost/x":            "latest",
		"localhost:5000/x":       "latest",
		"quay.io/a/b":            "latest",
		"[::1]:5000/a:b":         "b",
		"alpine:3.8":             "3.8",
		"library/alpine:3.8":     "3.8",
		"quay.io/a/b@sha256:000": "",
		"feature/branch":         "",
		"a b":                    "",
		"quay.io/A/b:c":          "",
		"quay.io/a/b:":           "",
		":x":                     "",
		"quay.io/:x":             "",
		"a/b/":                   "",
		"-x":                     "",
	} {
		x := parse(t, layout(entry("m", refName)))
		list, _ := x.Tags("", 10)
		if want == "" && len(list) != 0 || want != "" && !slices.Equal(list, []oci.Tag{want}) {
			t.Errorf("%q: %v, want %q", refName, list, want)
		}
	}
}

func TestWhichTagCounts(t *testing.T) {
	for _, c := range []struct{ index, want string }{
		{layout(entry("a", "x"), entry("b", "x")), "x=a"},
		{layout(entry("a", "quay.io/r:x"), entry("b", "x")), "x=b"},
		{layout(entry("a", "quay.io/r:x"), entry("b", "quay.io/s:x")), "x=a"},
		{layout(strings.Replace(entry("a", "x"), oci.MediaTypeManifest, "text/xml", 1), entry("b", "x")), "x=b"},
		{layout(strings.Replace(entry("a", "x"), oci.MediaTypeManifest, "text/xml", 1)), ""},
		{layout(entry("a", "b"), entry("a", "a"), entry("b", "")), "a=a b=a"},
	} {
		if got := tags(parse(t, c.index), "a", "b"); got != c.want {
			t.Errorf("%s\ngives %q, want %q", c.index, got, c.want)
		}
	}
}

func TestTagPages(t *testing.T) {
	x := oci.NewIndex()
	for _, tag := range []oci.Tag{"b", "a", "C", "c", "a-", "a.b"} {
		x = x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString(string(tag))}, "", tag)
	}
	for _, c := range []struct {
		after oci.Tag
		n     int
		want  string
		more  bool
	}{
		{"", 9, "[C a a- a.b b c]", false}, {"", 6, "[C a a- a.b b c]", false}, {"", 2, "[C a]", true},
		{"a", 2, "[a- a.b]", true}, {"aa", 9, "[b c]", false}, {"c", 1, "[]", false}, {"b", 1, "[c]", false}, {"zzz", 1, "[]", false},
	} {
		got, more := x.Tags(c.after, c.n)
		if fmt.Sprint(got) != c.want || more != c.more {
			t.Errorf("%d after %q: %v %v", c.n, c.after, got, more)
		}
	}
}

func TestOddIndexes(t *testing.T) {
	m := entry("m", "x")
	for s, want := range map[string]int{
		`{}`:                      0,
		`{"manifests":null}`:      0,
		`{"manifests":[]}`:        0,
		" { } ":                   0,
		`{"a":{"manifests":[1]}}`: 0,
		layout(m, "null", "7", `"x"`, "{}", `{"mediaType":7}`, `{"digest":7}`): 1,
		layout(strings.Replace(m, `"size":1`, `"size":"x"`, 1)):                1,
		layout(strings.Replace(m, "sha256:", "blake3:", 1)):                    0,
		layout(strings.Replace(m, `"mediaType":`, `"x":`, 1)):                  1,
		layout(strings.Replace(m, `"mediaType":"`, `"mediaType":7,"x":"`, 1)):  0,
	} {
		x := parse(t, s)
		served := 0
		for range x.Entries {
			served++
		}
		if served != want {
			t.Errorf("%s: %d entries are served, want %d", s, served, want)
		}
		y := parse(t, string(x.JSON()))
		if y.Len() != x.Len() {
			t.Errorf("%s: written as %s", s, x.JSON())
		}
	}
	for _, s := range []string{"", "null", "[]", "7", "{", `{"manifests":{}}`, `{"manifests":"x"}`, `{"manifests":[],"manifests":[]}`, layout(m) + "x"} {
		if _, err := oci.ParseIndex([]byte(s)); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

func TestReferrersOfIndex(t *testing.T) {
	s, other := oci.SHA256.FromString("subject"), oci.SHA256.FromString("other")
	x := oci.NewIndex()
	for _, name := range []string{"d", "a", "c", "b"} {
		x = x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString(name)}, s, "1", "2")
		x = x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA512.FromString(name)}, other)
	}
	x = x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString("none")}, "")
	x = parse(t, string(x.JSON()))
	list := x.Referrers(s)
	if len(list) != 5 || !slices.IsSortedFunc(list, func(a, b *oci.Entry) int { return strings.Compare(string(a.Digest), string(b.Digest)) }) {
		t.Errorf("%d referrers", len(list))
	}
	if len(x.Referrers(other)) != 4 || len(x.Referrers("")) != 0 || x.Unvetted() != 0 {
		t.Error("referrers of others")
	}
	if parse(t, layout(entry("a", ""), entry("b", "x"))).Unvetted() != 2 {
		t.Error("entries made elsewhere are vetted")
	}
}

// large is an index.json of berth's own with n tags.
func large(n int) []byte {
	x := oci.NewIndex()
	entries := make([]string, n)
	for i := range n {
		y := x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString(fmt.Sprint(i)), Size: 1234}, "", oci.Tag(fmt.Sprintf("v1.%d", i)))
		for e := range y.Entries {
			entries[i] = e.Raw
		}
	}
	return []byte(layout(entries...))
}

func BenchmarkParseIndex10000(b *testing.B) {
	data := large(10_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oci.ParseIndex(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut10000(b *testing.B) {
	x, err := oci.ParseIndex(large(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		x.Put(oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString(fmt.Sprint(i)), Size: 1234}, "", "new")
	}
}

func BenchmarkWrite10000(b *testing.B) {
	x, err := oci.ParseIndex(large(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var data []byte
	for b.Loop() {
		data = x.AppendJSON(data[:0])
	}
}
