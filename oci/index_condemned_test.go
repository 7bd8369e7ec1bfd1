package oci_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"berth/oci"
)

func named(s string) oci.Digest { return oci.SHA256.FromString(s) }

// condemn is Condemn of an index.json, read back from its bytes.
func condemn(t *testing.T, data, epoch string, blobs ...oci.Digest) string {
	t.Helper()
	x, err := oci.ParseIndex([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	y, err := x.Condemn(epoch, blobs)
	if err != nil {
		t.Fatal(err)
	}
	z, err := oci.ParseIndex(y.JSON())
	if err != nil {
		t.Fatalf("%s: %v", y.JSON(), err)
	}
	want := slices.Compact(slices.Sorted(slices.Values(blobs)))
	for _, i := range []*oci.Index{y, z} {
		if i.Epoch() != epoch || !slices.Equal(i.Condemned(), want) {
			t.Fatalf("%s: epoch %q, condemned %v", i.JSON(), i.Epoch(), i.Condemned())
		}
		for _, d := range blobs {
			if !i.IsCondemned(d) {
				t.Fatalf("%s is not condemned", d)
			}
		}
		if i.IsCondemned(named("something else")) {
			t.Fatal("something else is condemned")
		}
	}
	return string(y.JSON())
}

func TestCondemn(t *testing.T) {
	a, b := named("a"), named("b")
	marks := func(epoch string, blobs ...oci.Digest) string {
		s := `"io.berth.epoch":"` + epoch + `"`
		if len(blobs) > 0 {
			var list []string
			for _, d := range slices.Sorted(slices.Values(blobs)) {
				list = append(list, string(d))
			}
			s += `,"io.berth.condemned":"` + strings.Join(list, " ") + `"`
		}
		return s
	}
	for _, c := range []struct{ name, data, want, after string }{
		{"none", `{"manifests":[]}`,
			`{"manifests":[],"annotations":{` + marks("1", a, b) + `}}`,
			`{"manifests":[],"annotations":{` + marks("2") + `}}`},
		{"no manifests", `{ }`,
			`{"manifests":[],"annotations":{` + marks("1", a, b) + `}}`,
			`{"manifests":[],"annotations":{` + marks("2") + `}}`},
		{"before the manifests", `{"annotations" : { "x" : 1 , "y":"\u0041"} , "manifests":[],"z":{"annotations":{}}}`,
			`{"annotations" : {"x":1,"y":"\u0041",` + marks("1", a, b) + `} , "manifests":[],"z":{"annotations":{}}}`,
			`{"annotations" : {"x":1,"y":"\u0041",` + marks("2") + `} , "manifests":[],"z":{"annotations":{}}}`},
		{"after them", `{"manifests":[], "annotations":{"io.berth.\u0065poch":"0","x":[1, 2]},"z": 1 }`,
			`{"manifests":[], "annotations":{"x":[1, 2],` + marks("1", a, b) + `},"z": 1 }`,
			`{"manifests":[], "annotations":{"x":[1, 2],` + marks("2") + `},"z": 1 }`},
		{"null", `{"manifests":[],"annotations":null}`,
			`{"manifests":[],"annotations":{` + marks("1", a, b) + `}}`,
			`{"manifests":[],"annotations":{` + marks("2") + `}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := condemn(t, c.data, "1", b, a, b)
			if first != c.want {
				t.Fatalf("condemned:\n%s\nwant\n%s", first, c.want)
			}
			if after := condemn(t, first, "2"); after != c.after {
				t.Fatalf("cleared:\n%s\nwant\n%s", after, c.after)
			}
			if again := condemn(t, first, "1", a, b); again != first {
				t.Fatalf("the same again:\n%s\nwant\n%s", again, first)
			}
		})
	}
}

// What is no list of digests condemns nothing, and what is none of the
// specification's annotations is left alone.
func TestCondemnOddities(t *testing.T) {
	x, err := oci.ParseIndex([]byte(`{"annotations":{"io.berth.condemned":" sha256:1 x  ` + string(named("a")) + ` ","io.berth.epoch":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	if x.Epoch() != "" || !slices.Equal(x.Condemned(), []oci.Digest{named("a")}) {
		t.Fatalf("epoch %q, condemned %v", x.Epoch(), x.Condemned())
	}
	for _, odd := range []string{
		`{"annotations":[]}`, `{"annotations":"x"}`, `{"annotations":{},"manifests":[],"annotations":{}}`,
	} {
		x, err := oci.ParseIndex([]byte(odd))
		if err != nil {
			t.Fatal(err)
		}
		if y, err := x.Condemn("1", nil); err == nil {
			t.Errorf("%s became %s", odd, y.JSON())
		}
	}
}

// An edit leaves the announcement as it is, and the announcement the entries.
func TestCondemnBesideEdits(t *testing.T) {
	x, err := oci.NewIndex().Condemn("1", []oci.Digest{named("a")})
	if err != nil {
		t.Fatal(err)
	}
	m := manifest("m")
	y := x.Put(m, "", "tag")
	if y.Epoch() != "1" || !y.IsCondemned(named("a")) {
		t.Fatalf("after a push: %s", y.JSON())
	}
	z, err := y.Condemn("1", nil)
	if err != nil || z.Tagged("tag") == nil || z.IsCondemned(named("a")) || !y.IsCondemned(named("a")) {
		t.Fatalf("cleared: %s, %v", z.JSON(), err)
	}
	whole(t, z)
}

// A stamp changes nothing but itself, and stays until the next one.
func TestStamp(t *testing.T) {
	x, err := oci.NewIndex().Put(manifest("m"), "", "tag").Condemn("1", []oci.Digest{named("a")})
	if err != nil {
		t.Fatal(err)
	}
	stamp := func(x *oci.Index, text string) *oci.Index {
		t.Helper()
		y, err := x.Stamp(text)
		if err != nil {
			t.Fatal(err)
		}
		whole(t, y)
		if y.Epoch() != "1" || !y.IsCondemned(named("a")) || y.Tagged("tag") == nil || strings.Count(string(y.JSON()), oci.AnnotationWrite) != 1 {
			t.Fatalf("stamped: %s", y.JSON())
		}
		return y
	}
	one, two := stamp(x, "one"), stamp(stamp(x, "one"), "two")
	if string(one.JSON()) == string(two.JSON()) || strings.Contains(string(x.JSON()), oci.AnnotationWrite) {
		t.Fatalf("%s, %s, %s", x.JSON(), one.JSON(), two.JSON())
	}
	if again := stamp(two, "one"); string(again.JSON()) != string(one.JSON()) {
		t.Fatalf("%s, want %s", again.JSON(), one.JSON())
	}
	cleared, err := two.Condemn("2", nil)
	if err != nil || !strings.Contains(string(cleared.JSON()), `"io.berth.write":"two"`) {
		t.Fatalf("%s, %v", cleared.JSON(), err)
	}
	odd, err := oci.ParseIndex([]byte(`{"annotations":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if y, err := odd.Stamp("1"); err == nil {
		t.Errorf("annotations that are none became %s", y.JSON())
	}
}

func FuzzCondemn(f *testing.F) {
	f.Add([]byte(`{"manifests":[{}],"annotations":{"x":"y"}}`), "1", "a")
	f.Add([]byte(`{"annotations":{"io.berth.epoch":"0","io.berth.condemned":"x"},"a":"annotations"}`), "\"\u2028", "")
	f.Add([]byte(` {"manifests": null , "annotations":null} `), "", "b")
	f.Fuzz(func(t *testing.T, data []byte, epoch, content string) {
		x, err := oci.ParseIndex(data)
		if err != nil {
			return
		}
		y, err := x.Condemn(strings.ToValidUTF8(epoch, "?"), []oci.Digest{named(content)})
		if err == nil {
			y, err = y.Stamp(content)
		}
		if err != nil {
			return
		}
		whole(t, y)
		read, err := oci.ParseIndex(y.JSON())
		if err != nil || read.Epoch() != y.Epoch() || !slices.Equal(read.Condemned(), y.Condemned()) || read.Len() != x.Len() {
			t.Fatalf("%s: %v", y.JSON(), err)
		}
		before, after := topLevel(t, x), topLevel(t, y)
		delete(before, "annotations")
		delete(after, "annotations")
		if !maps.EqualFunc(before, after, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Fatalf("%s became %s", x.JSON(), y.JSON())
		}
	})
}

func topLevel(t *testing.T, x *oci.Index) map[string]json.RawMessage {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(x.JSON(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
