package oci_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"berth/oci"
)

var (
	emptyConfig = `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}`
	aLayer      = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + string(oci.SHA512.FromString("layer")) + `","size":5}`
	aManifest   = `{"mediaType":"` + oci.MediaTypeManifest + `","digest":"` + string(oci.SHA256.FromString("m")) + `","size":1}`
)

// image is an image manifest with more fields.
func image(more string) string {
	return `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":[` + aLayer + `]` + more + `}`
}

func TestParseManifest(t *testing.T) {
	subject := `{"mediaType":"m/t","digest":"sha256:` + strings.Repeat("0", 64) + `","size":0}`
	m, err := oci.ParseManifest([]byte(image(`,"artifactType":"a/t","subject":`+subject+`,"annotations":{"b": "\u0041<", "a":"x"},"unknown":[{"a":[1,2]}],"mediaType":"`+oci.MediaTypeManifest+`"`)), oci.MediaTypeManifest, false)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.MediaType, m.ArtifactType, m.Config.MediaType, m.Config.Size, len(m.Layers), m.Layers[0].Digest, m.Subject, m.Annotations, m.IsIndex())
	want := fmt.Sprint(oci.MediaTypeManifest, "a/t", "application/vnd.oci.empty.v1+json", 2, 1, oci.SHA512.FromString("layer"), "sha256:"+strings.Repeat("0", 64), `{"b":"\u0041<","a":"x"}`, false)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	x, err := oci.ParseManifest([]byte(`{"schemaVersion":2,"manifests":[`+aManifest+`]}`), "", false)
	if err != nil {
		t.Fatal(err)
	}
	if !x.IsIndex() || len(x.Manifests) != 1 || x.Manifests[0].MediaType != oci.MediaTypeManifest {
		t.Errorf("index: %+v", x)
	}
}

func TestManifestMediaTypes(t *testing.T) {
	index := `{"schemaVersion":2,"manifests":[]}`
	with := func(body, mediaType string) string {
		return strings.Replace(body, "{", `{"mediaType":"`+mediaType+`",`, 1)
	}
	for _, c := range []struct {
		name, body, contentType string
		docker                  bool
		want                    any // a media type or an error
	}{
		{"of the header", image(""), oci.MediaTypeManifest, false, oci.MediaTypeManifest},
		{"of the body", with(image(""), oci.MediaTypeManifest), "", false, oci.MediaTypeManifest},
		{"of both", with(index, oci.MediaTypeIndex), oci.MediaTypeIndex, false, oci.MediaTypeIndex},
		{"of the shape", image(""), "", false, oci.MediaTypeManifest},
		{"of the shape, an index", index, "", false, oci.MediaTypeIndex},
		{"of the shape, an index of null", `{"schemaVersion":2,"manifests":null}`, "", false, oci.MediaTypeIndex},
		{"they differ", with(image(""), oci.MediaTypeManifest), oci.MediaTypeIndex, false, oci.ErrManifestInvalid},
		{"unknown, of the header", image(""), "application/json", false, oci.ErrMediaType},
		{"unknown, of the body", with(image(""), "application/json"), "", false, oci.ErrMediaType},
		{"nothing tells", `{"schemaVersion":2}`, "", false, oci.ErrMediaType},
		{"Docker, off", with(image(""), oci.MediaTypeDockerManifest), oci.MediaTypeDockerManifest, false, oci.ErrMediaType},
		{"Docker, off, of the body", with(image(""), oci.MediaTypeDockerManifest), "", false, oci.ErrMediaType},
		{"Docker, on", with(image(""), oci.MediaTypeDockerManifest), oci.MediaTypeDockerManifest, true, oci.MediaTypeDockerManifest},
		{"Docker list, on", with(index, oci.MediaTypeDockerList), oci.MediaTypeDockerList, true, oci.MediaTypeDockerList},
		{"Docker, without mediaType", image(""), oci.MediaTypeDockerManifest, true, oci.ErrManifestInvalid},
		{"Docker schema 1", `{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", true, oci.ErrMediaType},
	} {
		m, err := oci.ParseManifest([]byte(c.body), c.contentType, c.docker)
		if kind, ok := c.want.(error); ok {
			if !errors.Is(err, kind) {
				t.Errorf("%s: %v, want %v", c.name, err, kind)
			}
		} else if err != nil || m.MediaType != c.want {
			t.Errorf("%s: %v, %v", c.name, m, err)
		}
	}
	_, err := oci.ParseManifest([]byte(image("")), oci.MediaTypeDockerManifest, false)
	if !strings.Contains(fmt.Sprint(err), `http.compat = ["docker2s2"]`) {
		t.Errorf("the message does not say how to accept Docker's types: %v", err)
	}
	_, err = oci.ParseManifest([]byte(image("")), "x/y", false)
	if !strings.Contains(fmt.Sprint(err), oci.MediaTypeManifest) {
		t.Errorf("the message does not say what is accepted: %v", err)
	}
}

func TestManifestsAccepted(t *testing.T) {
	for name, body := range map[string]string{
		"no layers":                 `{"schemaVersion":2,"config":` + emptyConfig + `}`,
		"layers are null":           `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":null}`,
		"layers are empty":          `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":[]}`,
		"white space around":        "\n\t " + image("") + " \r\n",
		"unknown media types":       `{"schemaVersion":2,"artifactType":"x","config":{"mediaType":"y","digest":"` + string(oci.SHA256.FromString("")) + `","size":0},"layers":[]}`,
		"unregistered algorithm":    `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"multihash+base58:QmRZxt2b1F"}]}`,
		"null fields":               image(`,"subject":null,"annotations":null,"artifactType":null`),
		"null in a descriptor":      `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"` + string(oci.SHA256.FromString("")) + `","annotations":null,"urls":null}]}`,
		"unknown fields twice":      image(`,"x":1,"x":2`),
		"strings that look like it": image(`,"x":"}]\"{\\","y":"\\\\"`),
		"an escaped name":           `{"schemaVersion":2,"c\u006fnfig":` + emptyConfig + `}`,
	} {
		if _, err := oci.ParseManifest([]byte(body), "", false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestsRefused(t *testing.T) {
	d := `"digest":"` + string(oci.SHA256.FromString("")) + `"`
	for name, body := range map[string]string{
		"empty":                      "",
		"not JSON":                   "{",
		"an array":                   "[]",
		"a string":                   `"x"`,
		"two objects":                image("") + image(""),
		"trailing garbage":           image("") + "x",
		"not UTF-8":                  image(`,"x":"` + "\xff" + `"`),
		"no schemaVersion":           `{"config":` + emptyConfig + `}`,
		"schemaVersion 1":            `{"schemaVersion":1,"config":` + emptyConfig + `}`,
		"schemaVersion a string":     `{"schemaVersion":"2","config":` + emptyConfig + `}`,
		"mediaType no string":        image(`,"mediaType":1`),
		"mediaType twice":            image(`,"mediaType":"` + oci.MediaTypeManifest + `","mediaType":"` + oci.MediaTypeIndex + `"`),
		"config twice":               image(`,"config":` + emptyConfig),
		"layers in other letters":    image(`,"Layers":[]`),
		"escaped and twice":          image(`,"l\u0061yers":[]`),
		"no config":                  `{"schemaVersion":2,"layers":[]}`,
		"config is null":             `{"schemaVersion":2,"config":null,"layers":[]}`,
		"config is an array":         `{"schemaVersion":2,"config":[]}`,
		"layers is an object":        `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":{}}`,
		"a layer is null":            `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":[null]}`,
		"a layer is a string":        `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":["x"]}`,
		"both layers and manifests":  image(`,"manifests":[]`),
		"no mediaType in descriptor": `{"schemaVersion":2,"manifests":[{"size":1,` + d + `}]}`,
		"no digest":                  `{"schemaVersion":2,"manifests":[{"size":1,"mediaType":"a/b"}]}`,
		"no size":                    `{"schemaVersion":2,"manifests":[{"mediaType":"a/b",` + d + `}]}`,
		"negative size":              `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":-1,` + d + `}]}`,
		"fractional size":            `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1.5,` + d + `}]}`,
		"huge size":                  `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":99999999999999999999,` + d + `}]}`,
		"size a string":              `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":"1",` + d + `}]}`,
		"digest twice":               `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,` + d + `,` + d + `}]}`,
		"DIGEST too":                 `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,` + d + `,"DIGEST":"x"}]}`,
		"malformed digest":           `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"sha256:xyz"}]}`,
		"malformed subject":          image(`,"subject":{"mediaType":"a/b","size":1}`),
		"subject a string":           image(`,"subject":"sha256:x"`),
		"annotations an array":       image(`,"annotations":[]`),
		"an annotation no string":    image(`,"annotations":{"a":1}`),
		"artifactType no string":     image(`,"artifactType":{}`),
	} {
		if m, err := oci.ParseManifest([]byte(body), oci.MediaTypeManifest, false); !errors.Is(err, oci.ErrManifestInvalid) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m, err := oci.ParseManifest([]byte(body), "", false); err == nil {
			t.Errorf("%s, without a Content-Type: %+v", name, m)
		}
	}
}

func TestDistributable(t *testing.T) {
	for mediaType, want := range map[string]bool{
		"application/vnd.oci.image.layer.v1.tar+gzip":                  true,
		"application/vnd.oci.image.layer.nondistributable.v1.tar":      false,
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": false,
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":    false,
		"text/plain": true,
	} {
		if got := (oci.Descriptor{MediaType: mediaType}).Distributable(); got != want {
			t.Errorf("%s: %v", mediaType, got)
		}
	}
	for urls, want := range map[string]bool{`["https://x"]`: false, "[]": true, "[ ]": true, "null": true} {
		body := `{"schemaVersion":2,"config":` + emptyConfig + `,"layers":[` + strings.Replace(aLayer, "{", `{"urls":`+urls+",", 1) + `]}`
		m, err := oci.ParseManifest([]byte(body), "", false)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Layers[0].Distributable(); got != want {
			t.Errorf("urls %s: %v", urls, got)
		}
	}
}

func TestInspectManifest(t *testing.T) {
	m, err := oci.InspectManifest([]byte(`{"manifests":[`+aManifest+`,null,{"digest":"x"},{"digest":"`+string(oci.SHA256.FromString("n"))+`"}],"subject":7,"annotations":3}`), "")
	if err != nil || !m.IsIndex() || len(m.Manifests) != 2 || m.Manifests[1].Size != -1 || m.Annotations != "" || m.Subject != "" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = oci.InspectManifest([]byte(image("")), oci.MediaTypeDockerManifest)
	if err != nil || m.MediaType != oci.MediaTypeDockerManifest || m.ReferrerType() != "application/vnd.oci.empty.v1+json" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "{", "[]", "{}", `{"mediaType":"text/plain","layers":[]}`} {
		if m, err := oci.InspectManifest([]byte(bad), ""); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func TestReferrerDescriptor(t *testing.T) {
	m, err := oci.ParseManifest([]byte(image(`,"annotations":{"k" : "v\"<"}`)), "", false)
	if err != nil {
		t.Fatal(err)
	}
	d := oci.SHA256.FromString("x")
	want := `{"mediaType":"` + oci.MediaTypeManifest + `","digest":"` + string(d) + `","size":7,"artifactType":"application/vnd.oci.empty.v1+json","annotations":{"k":"v\"<"}}`
	if got := string(m.Referrer(d, 7)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	x, err := oci.ParseManifest([]byte(`{"schemaVersion":2,"manifests":[]}`), "", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(x.Referrer(d, 7)); strings.Contains(got, "artifactType") || strings.Contains(got, "annotations") {
		t.Errorf("an index without artifactType: %s", got)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(image(`,"annotations":{"a":"b"},"subject":`+aManifest)), oci.MediaTypeManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[`+aManifest+`]}`), "")
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"`+oci.MediaTypeDockerManifest+`","config":`+emptyConfig+`}`), "")
	f.Add([]byte(`{"a":"\\\"","b":[[{}]],"c":1e9}`), "x")
	f.Fuzz(func(t *testing.T, content []byte, mediaType string) {
		m, err := oci.ParseManifest(content, mediaType, true)
		if err != nil {
			if !errors.Is(err, oci.ErrManifestInvalid) && !errors.Is(err, oci.ErrMediaType) {
				t.Fatalf("error of no kind: %v", err)
			}
			_, _ = oci.InspectManifest(content, mediaType)
			return
		}
		if !oci.IsManifestType(m.MediaType) || mediaType != "" && m.MediaType != mediaType {
			t.Fatalf("media type %q", m.MediaType)
		}
		for _, d := range append(append(m.Layers, m.Manifests...), oci.Descriptor{Digest: m.Subject}) {
			if d.Digest != "" && !digestGrammar.MatchString(string(d.Digest)) {
				t.Fatalf("digest %q", d.Digest)
			}
		}
		agree(t, content, m)
		if !json.Valid(m.Referrer(oci.SHA256.FromBytes(content), 1)) {
			t.Fatalf("referrer: %s", m.Referrer("x", 1))
		}
	})
}

// agree fails the test where encoding/json, with which most clients read, sees
// another manifest in the same bytes.
func agree(t *testing.T, content []byte, m *oci.Manifest) {
	type descriptor struct {
		Digest string
		Size   int64
	}
	var other struct {
		MediaType         string
		ArtifactType      string
		Config            descriptor
		Layers, Manifests []descriptor
		Subject           descriptor
		Annotations       map[string]string
	}
	if err := json.Unmarshal(content, &other); err != nil {
		t.Fatalf("accepted, but clients cannot read it: %v", err)
	}
	if other.MediaType != "" && other.MediaType != m.MediaType || other.ArtifactType != m.ArtifactType ||
		other.Config.Digest != string(m.Config.Digest) || other.Subject.Digest != string(m.Subject) ||
		len(other.Layers) != len(m.Layers) || len(other.Manifests) != len(m.Manifests) {
		t.Fatalf("clients read %+v, berth %+v", other, m)
	}
	for i, d := range other.Layers {
		if d.Digest != string(m.Layers[i].Digest) || d.Size != m.Layers[i].Size {
			t.Fatalf("clients read %+v, berth %+v", d, m.Layers[i])
		}
	}
}
