package oci_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/oci"
)

func references(content string) (found []string, err error) {
	err = oci.References([]byte(content), func(d oci.Descriptor, child bool) {
		found = append(found, fmt.Sprintf("%s %s %v", d.Digest, d.MediaType, child))
	})
	return found, err
}

func TestReferences(t *testing.T) {
	image, list := oci.MediaTypeManifest, oci.MediaTypeIndex
	for content, want := range map[string][]string{
		`{}`: nil,
		`{"config":{"digest":"c","mediaType":"m"},"layers":[{"digest":"l1"},{"mediaType":"x","digest":"l2","size":"odd"}]}`: {"c m false", "l1  false", "l2 x false"},
		` {"manifests" : [ {"digest":"a","mediaType":"` + image + `"} , {"digest":"b"} ] } `:                                {"a " + image + " true", "b  true"},
		`{"blobs":[{"digest":"a","mediaType":"` + list + `"}],"fsLayers":[{"blobSum":"s"}]}`:                                {"a " + list + " true", "s  false"},
		`{"subject":{"digest":"s","data":{"digest":"t"}},"layers":[{"subject":{"digest":"u"},"digest":"l"}]}`:               {"u  false", "l  false"},
		`{"annotations":{"digest":"n"},"layers":[{"digest":"l","annotations":{"digest":"n","x":{"digest":"n"}}}]}`:          {"l  false"},
		`{"layers":[{"dig\u0065st":"\u006c"}],"layers":[{"digest":"twice"}]}`:                                               {"l  false", "twice  false"},
		`{"digest":"its own","x":["digest","no"],"y":{"digest":12},"z":null,"w":{"digest":"", "a":[[{"digest":"deep"}]]}}`:  {"deep  false"},
	} {
		got, err := references(content)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", content, got, err, want)
		}
	}
	for _, content := range []string{``, `[]`, `"x"`, `{`, `{"a":1}x`} {
		if got, err := references(content); err == nil {
			t.Errorf("%q: %q", content, got)
		}
	}
}

// TestReferencesDeep: the time does not grow with the square of the depth.
func TestReferencesDeep(t *testing.T) {
	deep := `{"a":` + strings.Repeat("[", 9000) + `{"digest":"d"}` + strings.Repeat("]", 9000) + `}`
	if got, err := references(deep); err != nil || len(got) != 1 {
		t.Errorf("%d, %v", len(got), err)
	}
}

// FuzzReferences: what a strict reader takes for a descriptor is found.
func FuzzReferences(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:` + strings.Repeat("a", 64) + `","size":1},"layers":[]}`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:` + strings.Repeat("b", 64) + `"}],"subject":{"digest":"x"}}`))
	f.Add([]byte(`{"a":{"b":[{"c":"\ud800"}]},"d`))
	f.Fuzz(func(t *testing.T, content []byte) {
		found := map[oci.Digest]bool{}
		err := oci.References(content, func(d oci.Descriptor, child bool) { found[d.Digest] = found[d.Digest] || child })
		m, bad := oci.InspectManifest(content, "")
		if err != nil || bad != nil {
			return
		}
		for _, child := range m.Manifests {
			if !found[child.Digest] {
				t.Errorf("child %s is missing", child.Digest)
			}
		}
		for _, d := range append(slices.Clone(m.Layers), m.Config) {
			if _, ok := found[d.Digest]; !ok && d.Digest != "" {
				t.Errorf("%s is missing", d.Digest)
			}
		}
	})
}
