package oci_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"berth/oci"
)

func manifest(content string) oci.Descriptor {
	return oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: oci.SHA256.FromString(content), Size: 1}
}

// entries lists an index in short: the contents' names with tags, in order.
func entries(x *oci.Index, contents ...string) string {
	var list []string
	for e := range x.Entries {
		for _, c := range contents {
			if e.Digest == oci.SHA256.FromString(c) {
				list = append(list, strings.TrimSuffix(c+":"+string(e.Tag), ":"))
			}
		}
	}
	return strings.Join(list, " ")
}

func TestEdits(t *testing.T) {
	put := func(content string, tags ...oci.Tag) func(*oci.Index) *oci.Index {
		return func(x *oci.Index) *oci.Index { return x.Put(manifest(content), "", tags...) }
	}
	untag := func(tag oci.Tag) func(*oci.Index) *oci.Index {
		return func(x *oci.Index) *oci.Index { return x.DeleteTag(tag) }
	}
	remove := func(content string) func(*oci.Index) *oci.Index {
		return func(x *oci.Index) *oci.Index { return x.DeleteManifest(oci.SHA256.FromString(content)) }
	}
	keep := func(content string) func(*oci.Index) *oci.Index {
		return func(x *oci.Index) *oci.Index { return x.Keep(manifest(content)) }
	}
	type edits []func(*oci.Index) *oci.Index
	for _, c := range []struct {
		name  string
		start string
		edits edits
		want  string
	}{
		{"a tag", "", edits{put("a", "x")}, "a:x"},
		{"no tag", "", edits{put("a")}, "a"},
		{"several tags", "", edits{put("a", "x", "y", "x")}, "a:x a:y"},
		{"a second tag", "", edits{put("a", "x"), put("a", "y")}, "a:x a:y"},
		{"a tag for an untagged manifest", "", edits{put("a"), put("b"), put("a", "x")}, "a:x b"},
		{"a tag that moves leaves the manifest", "", edits{put("a", "x"), put("b", "x")}, "a b:x"},
		{"a tag that moves off one of two", "", edits{put("a", "x", "y"), put("b", "x")}, "a:y b:x"},
		{"a tag that moves there and back", "", edits{put("a", "x"), put("b", "x"), put("a", "x")}, "a:x b"},
		{"a push by digest of what has a tag", "", edits{put("a", "x"), put("a")}, "a:x"},
		{"delete a tag", "", edits{put("a", "x", "y"), untag("x")}, "a:y"},
		{"delete the last tag", "", edits{put("a", "x"), untag("x")}, "a"},
		{"delete a manifest", "", edits{put("a", "x", "y"), put("b", "z"), remove("a")}, "b:z"},
		{"keep", "", edits{keep("a"), keep("a"), put("b"), keep("b")}, "a b"},
		{"a tag that several have", layout(entry("a", "x"), entry("b", "x"), entry("c", "quay.io/r:x")), edits{put("d", "x")}, "a b c d:x"},
		{"delete a tag that several have", layout(entry("a", "x"), entry("b", "x"), entry("c", "quay.io/r:x")), edits{untag("x")}, "a b c"},
		{"push again what a reference named", layout(entry("a", "quay.io/r:x")), edits{put("a", "x")}, "a:x"},
		{"a manifest with a reference gets a tag", layout(entry("a", "quay.io/r:x")), edits{put("a", "y")}, "a:x a:y"},
		{"the same tag twice", layout(entry("a", "x"), entry("a", "x"), entry("a", "")), edits{put("a", "x")}, "a:x a"},
	} {
		x := oci.NewIndex()
		if c.start != "" {
			x = parse(t, c.start)
		}
		for _, edit := range c.edits {
			before := string(x.JSON())
			y := edit(x)
			if string(x.JSON()) != before {
				t.Fatalf("%s: the edit changed the index that it was given", c.name)
			}
			if x = y; edit(x) != x {
				t.Errorf("%s: the same edit again changed something", c.name)
			}
			whole(t, x)
		}
		if got := entries(x, "a", "b", "c", "d"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEditsWithoutEffect(t *testing.T) {
	x := parse(t, layout(entry("a", "x"))).Put(manifest("a"), "", "x")
	for name, y := range map[string]*oci.Index{
		"put":             x.Put(manifest("a"), "", "x"),
		"put by digest":   x.Put(manifest("a"), ""),
		"delete tag":      x.DeleteTag("y"),
		"delete manifest": x.DeleteManifest(oci.SHA256.FromString("b")),
		"keep":            x.Keep(manifest("a")),
	} {
		if x != y {
			t.Errorf("%s: another index: %s", name, y.JSON())
		}
	}
}

// What somebody else wrote stays in its bytes, but for the annotations that
// have to change.
func TestEditsKeepForeignFields(t *testing.T) {
	d := string(oci.SHA256.FromString("a"))
	foreign := `{ "platform":{"os":"linux", "architecture":"arm" },"digest":"` + d + `", "mediaType":"` + oci.MediaTypeManifest + `",
	"x\u0041":[1, 2.50,"\u00e9"],"annotations":{"k\u0041":"v\/","org.opencontainers.image.ref.name":"x" , "l":"m"},"size":7}`
	xml := `{"mediaType":"application/xml","digest":"blake3:00","annotations":{"a" : "b"}}`
	x := parse(t, `{ "annotations":{ "top" : "level"}, "manifests" : [ `+foreign+` , `+xml+` ], "schemaVersion":2,"later":1.0 }`)

	same := string(x.JSON())
	want := `{ "annotations":{ "top" : "level"}, "manifests" : [` + "\n" + foreign + ",\n" + xml + "\n" + `], "schemaVersion":2,"later":1.0 }`
	if same != want {
		t.Errorf("written as\n%s, want\n%s", same, want)
	}
	moved := string(x.Put(manifest("b"), "", "x").JSON())
	wantMoved := `{ "annotations":{ "top" : "level"}, "manifests" : [` + "\n" +
		`{"platform":{"os":"linux", "architecture":"arm" },"digest":"` + d + `","mediaType":"` + oci.MediaTypeManifest + `","x\u0041":[1, 2.50,"\u00e9"],"annotations":{"k\u0041":"v\/","l":"m"},"size":7}` +
		",\n" + xml + ",\n" +
		`{"mediaType":"` + oci.MediaTypeManifest + `","digest":"` + string(oci.SHA256.FromString("b")) + `","size":1,"annotations":{"org.opencontainers.image.ref.name":"x","io.berth.subject":""}}` + "\n" +
		`], "schemaVersion":2,"later":1.0 }`
	if moved != wantMoved {
		t.Errorf("moved:\n%s, want\n%s", moved, wantMoved)
	}
	vetted := string(x.Put(manifest("a"), oci.Digest(d), "x").JSON())
	if !strings.Contains(vetted, `"annotations":{"k\u0041":"v\/","org.opencontainers.image.ref.name":"x","l":"m","io.berth.subject":"`+d+`"}`) || !strings.Contains(vetted, `"platform"`) {
		t.Errorf("pushed again:\n%s", vetted)
	}
}

func TestEmptyAnnotationsGo(t *testing.T) {
	x := parse(t, layout(entry("a", "x"))).DeleteTag("x")
	if got, want := string(x.JSON()), strings.Replace(layout("\n"+entry("a", "")+"\n"), " ", "", -1); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// whole checks that all ways of looking into an index agree, and that what is
// written reads the same.
func whole(t testing.TB, x *oci.Index) {
	t.Helper()
	y := parse(t, string(x.JSON()))
	if got := len(x.JSON()); got > x.JSONSize() {
		t.Fatalf("JSONSize %d, written %d", x.JSONSize(), got)
	}
	if x.Len() != y.Len() || x.Unvetted() != y.Unvetted() || x.Footprint() != y.Footprint() {
		t.Fatalf("%d %d %d, read again %d %d %d", x.Len(), x.Unvetted(), x.Footprint(), y.Len(), y.Unvetted(), y.Footprint())
	}
	xt, _ := x.Tags("", 1<<30)
	yt, _ := y.Tags("", 1<<30)
	if !slices.Equal(xt, yt) {
		t.Fatalf("tags %v, read again %v", xt, yt)
	}
	for _, tag := range xt {
		if x.Tagged(tag).Raw != y.Tagged(tag).Raw {
			t.Fatalf("%s is %s, read again %s", tag, x.Tagged(tag).Raw, y.Tagged(tag).Raw)
		}
	}
	var xr, yr []string
	for e := range x.Entries {
		xr = append(xr, e.Raw)
		if x.Named(e.Digest) == nil {
			t.Fatalf("%s is not found by its digest", e.Raw)
		}
	}
	for e := range y.Entries {
		yr = append(yr, e.Raw)
		if xs, ys := x.Referrers(e.Subject), y.Referrers(e.Subject); len(xs) != len(ys) {
			t.Fatalf("referrers of %s: %d, read again %d", e.Subject, len(xs), len(ys))
		}
	}
	if !slices.Equal(xr, yr) {
		t.Fatalf("entries %v, read again %v", xr, yr)
	}
}

// Random edits do what a plain model of tags and manifests does.
func TestEditsAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		x := oci.NewIndex()
		tagged := map[oci.Tag]oci.Digest{}
		known := map[oci.Digest]bool{}
		for range 150 {
			m := manifest(fmt.Sprint(rnd.IntN(6)))
			tag := oci.Tag(fmt.Sprint("t", rnd.IntN(8)))
			switch rnd.IntN(6) {
			case 0, 1, 2:
				tag2 := oci.Tag(fmt.Sprint("t", rnd.IntN(8)))
				x = x.Put(m, "", tag, tag2)
				tagged[tag], tagged[tag2], known[m.Digest] = m.Digest, m.Digest, true
			case 3:
				x = x.Put(m, "")
				known[m.Digest] = true
			case 4:
				x = x.DeleteTag(tag)
				delete(tagged, tag)
			case 5:
				x = x.DeleteManifest(m.Digest)
				delete(known, m.Digest)
				maps.DeleteFunc(tagged, func(_ oci.Tag, d oci.Digest) bool { return d == m.Digest })
			}
			whole(t, x)
			model(t, x, tagged, known)
		}
	}
}

func model(t *testing.T, x *oci.Index, tagged map[oci.Tag]oci.Digest, known map[oci.Digest]bool) {
	t.Helper()
	list, _ := x.Tags("", 100)
	if !slices.Equal(list, slices.Sorted(maps.Keys(tagged))) {
		t.Fatalf("tags %v, want %v", list, tagged)
	}
	want := len(tagged)
	for d := range known {
		if x.Named(d) == nil {
			t.Fatalf("%s is missing", d)
		}
		if !slices.Contains(slices.Collect(maps.Values(tagged)), d) {
			want++ // untagged
		}
	}
	for tag, d := range tagged {
		if x.Tagged(tag).Digest != d {
			t.Fatalf("%s names %s, want %s", tag, x.Tagged(tag).Digest, d)
		}
	}
	if x.Len() != want {
		t.Fatalf("%d entries, want %d:\n%s", x.Len(), want, x.JSON())
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(layout(entry("a", "x"), entry("b", "quay.io/r:x"), entry("a", ""), "null", "7")), "x", "a")
	f.Add([]byte(`{"manifests":null,"x":"}"}`), "latest", "b")
	f.Add([]byte(`{"annotations":{"manifests":"["}}`), "y", "c")
	f.Add([]byte(`{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"x"},"annotations":{"org.opencontainers.image.ref.name":"y"},"digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`), "x", "")
	f.Fuzz(func(t *testing.T, data []byte, tag, content string) {
		x, err := oci.ParseIndex(data)
		if err != nil {
			return
		}
		whole(t, x)
		good, err := oci.ParseTag(tag)
		if err != nil {
			return
		}
		m := manifest(content)
		y := x.Put(m, m.Digest, good)
		whole(t, y)
		if e := y.Tagged(good); e == nil || e.Digest != m.Digest || !e.Vetted || e.Subject != m.Digest {
			t.Fatalf("pushed, but %+v", e)
		}
		untouched(t, x, y, good, m.Digest)
		z := y.DeleteTag(good)
		whole(t, z)
		if z.Tagged(good) != nil || z.Named(m.Digest) == nil {
			t.Fatalf("tag deleted: %s", z.JSON())
		}
		z = z.DeleteManifest(m.Digest)
		whole(t, z)
		if z.Named(m.Digest) != nil {
			t.Fatalf("manifest deleted: %s", z.JSON())
		}
	})
}

// untouched checks that entries that have neither the tag nor the digest kept
// their bytes.
func untouched(t *testing.T, x, y *oci.Index, tag oci.Tag, d oci.Digest) {
	var now []string
	for e := range y.Entries {
		now = append(now, e.Raw)
	}
	for e := range x.Entries {
		if e.Tag != tag && e.Digest != d && !slices.Contains(now, e.Raw) {
			t.Fatalf("%s is gone", e.Raw)
		}
	}
}
