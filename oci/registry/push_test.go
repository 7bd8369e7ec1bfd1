package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

func TestPushKeepsTheExactBytes(t *testing.T) {
	f := setUp(t, registry.Options{})
	body := []byte(strings.Replace(string(f.image("m", `"x.unknown":{"a":[1, 2]}`)), "{", "{ \n\t", 1) + "\n")
	d := f.push(body, "v1")
	f.pulls(byDigest(d), body)
	info, err := f.StatBlob(f.ctx(), repo, d)
	f.ok(err)
	same(t, "size in the store", info.Size, int64(len(body)))
}

func TestPushByDigest(t *testing.T) {
	f := setUp(t, registry.Options{})
	body := f.image("m")
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		d := a.FromBytes(body)
		p, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byDigest(d), Content: body})
		f.ok(err)
		same(t, "digest", p.Digest, d)
		f.pulls(byDigest(d), body)
		other := a.FromString("other")
		_, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byDigest(other), Content: body})
		f.is(err, oci.ErrDigestInvalid)
		f.gone(byDigest(other))
	}
	same(t, "tags", f.tags(), "[]")
}

func TestPushWithTagParameters(t *testing.T) {
	f := setUp(t, registry.Options{})
	old, body := f.image("old"), f.image("m")
	f.push(old, "v1")
	tags := []oci.Tag{"v1", "v1.2", "latest"}
	for i := range 20 {
		tags = append(tags, oci.Tag(fmt.Sprint("t", i)))
	}
	swaps := f.store.Calls("SwapIndex")
	p, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byDigest(digest(body)), Tags: tags, Content: body})
	f.ok(err)
	same(t, "tags", fmt.Sprint(p.Tags), fmt.Sprint(tags))
	for _, tag := range tags {
		f.pulls(byTag(tag), body)
	}
	f.pulls(byDigest(digest(old)), old)
	same(t, "writings of the index", f.store.Calls("SwapIndex")-swaps, 1)
}

func TestPushMovesTheTag(t *testing.T) {
	f := setUp(t, registry.Options{})
	one, two := f.image("one"), f.image("two")
	f.push(one, "v1")
	f.push(two, "v1")
	f.pulls(byTag("v1"), two)
	f.pulls(byDigest(digest(one)), one)
	same(t, "tags", f.tags(), "[v1]")
}

func TestPushAgainWritesNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	body := f.image("m")
	f.push(body, "v1")
	f.push(body, "v1")
	f.push(body, "")
	same(t, "writings of the index", f.store.Calls("SwapIndex"), 1)
}

func TestPushTooLarge(t *testing.T) {
	f := setUp(t, registry.Options{MaxManifestSize: 600})
	same(t, "limit", f.MaxManifestSize(), 600)
	body := f.image("m", `"x":"`+strings.Repeat("x", 600)+`"`)
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("v1"), Content: body})
	f.is(err, oci.ErrTooLarge)
	same(t, "limit by default", registry.New(f.store, registry.Options{}).MaxManifestSize(), 4<<20)
}

func TestPushOfFourMegabytes(t *testing.T) {
	f := setUp(t, registry.Options{})
	head := f.image("m", `"annotations":{"x":""}`)
	body := []byte(strings.Replace(string(head), `"x":""`, `"x":"`+strings.Repeat("x", 4<<20-len(head))+`"`, 1))
	same(t, "size", len(body), 4<<20)
	f.push(body, "v1")
	f.pulls(byTag("v1"), body)
}

func TestPushInvalid(t *testing.T) {
	f := setUp(t, registry.Options{})
	for body, kind := range map[string]error{
		"":                    oci.ErrManifestInvalid,
		"{}":                  oci.ErrMediaType,
		`{"schemaVersion":2}`: oci.ErrMediaType,
		`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `"}`: oci.ErrManifestInvalid,
	} {
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("v1"), Content: []byte(body)})
		f.is(err, kind)
	}
	docker := []byte(strings.Replace(string(f.image("m")), oci.MediaTypeManifest, oci.MediaTypeDockerManifest, 1))
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("v1"), Content: docker})
	f.is(err, oci.ErrMediaType)
	same(t, "writings of the index", f.store.Calls("SwapIndex"), 0)
	f.gone(byTag("v1"))
}

// absent is a descriptor of content that nobody has.
func absent(mediaType, name string) string {
	return descriptor(mediaType, oci.SHA256.FromString("absent "+name), 7)
}

func TestWhatAManifestNames(t *testing.T) {
	const layer = "application/vnd.oci.image.layer.v1.tar"
	f := setUp(t, registry.Options{})
	config := descriptor("a/b", f.blob("{}"), 2)
	image := func(config string, layers ...string) string {
		return `{"schemaVersion":2,"config":` + config + `,"layers":[` + strings.Join(layers, ",") + `]}`
	}
	blake := strings.Replace(absent(layer, "x"), "sha256:", "blake3:", 1)
	for _, c := range []struct {
		name, body       string
		none, index, all bool // whether each value of sparse accepts it
	}{
		{"everything is there", image(config, config), true, true, true},
		{"no layers", image(config), true, true, true},
		{"no config", image(absent("a/b", "x")), false, false, true},
		{"no layer", image(config, absent(layer, "x")), false, false, true},
		{"a layer of an algorithm that is not known", image(config, blake), false, false, true},
		{"a layer that is not distributed", image(config, absent("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "x")), true, true, true},
		{"Docker's layer that is not distributed", image(config, absent("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "x")), true, true, true},
		{"a layer with URLs", image(config, strings.Replace(absent(layer, "x"), "{", `{"urls":["https://x"],`, 1)), true, true, true},
		{"no subject", `{"schemaVersion":2,"config":` + config + `,` + subject("sha256:"+oci.Digest(strings.Repeat("0", 64))) + `}`, true, true, true},
		{"an index of nothing", `{"schemaVersion":2,"manifests":[]}`, true, true, true},
		{"an index without its manifest", `{"schemaVersion":2,"manifests":[` + absent(oci.MediaTypeManifest, "x") + `]}`, false, true, true},
		{"an index of a blob that is no manifest", `{"schemaVersion":2,"manifests":[` + config + `]}`, true, true, true},
		{"an index of a blob that claims to be a manifest", `{"schemaVersion":2,"manifests":[` + strings.Replace(config, "a/b", oci.MediaTypeManifest, 1) + `]}`, false, true, true},
	} {
		for sparse, want := range map[registry.Sparse]bool{registry.SparseNone: c.none, registry.SparseIndex: c.index, "": c.index, registry.SparseAll: c.all} {
			r := registry.New(f.store, registry.Options{Sparse: sparse})
			_, err := r.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("x"), Content: []byte(c.body)})
			if want {
				if err != nil {
					t.Errorf("%s, sparse %q: %v", c.name, sparse, err)
				}
				continue
			}
			f.is(err, oci.ErrManifestBlobUnknown)
		}
	}
}

func TestAllThatIsMissingIsListed(t *testing.T) {
	f := setUp(t, registry.Options{})
	var layers []string
	for i := range 150 {
		layers = append(layers, absent("a/b", fmt.Sprint(i)))
	}
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("x"), Content: []byte(
		`{"schemaVersion":2,"config":` + descriptor("a/b", f.blob("x"), 1) + `,"layers":[` + strings.Join(append(layers, layers[0]), ",") + `]}`)})
	f.is(err, oci.ErrManifestBlobUnknown)
	detail := err.(*oci.Error).Detail.(map[string][]string)["digests"]
	same(t, "listed", len(detail), 100)
	same(t, "first", detail[0], string(oci.SHA256.FromString("absent 0")))
	if !strings.Contains(err.Error(), "and 50 more") {
		t.Errorf("%.200s", err)
	}
}

// An index may hold indexes, and be complete where nothing sparse is allowed.
func TestNestedIndexes(t *testing.T) {
	f := setUp(t, registry.Options{Sparse: registry.SparseNone})
	m := f.image("m")
	inner := index([][]byte{m})
	outer := index([][]byte{inner})
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("x"), Content: inner})
	f.is(err, oci.ErrManifestBlobUnknown)
	f.push(m, "")
	f.push(inner, "")
	f.push(outer, "x")
	f.pulls(byTag("x"), outer)
	f.pulls(byDigest(digest(inner)), inner)
	f.pulls(byDigest(digest(m)), m)
}

func TestConditions(t *testing.T) {
	one, two := "one", "two"
	for _, c := range []struct {
		name                 string
		now                  string // what the tag names; "" for nothing
		ifMatch, ifNoneMatch []string
		want                 bool
	}{
		{"none", "", nil, nil, true},
		{"If-Match of nothing", "", []string{"*"}, nil, false},
		{"If-Match of anything", one, []string{"*"}, nil, true},
		{"If-Match", one, []string{"x", "ONE"}, nil, true},
		{"If-Match of another", one, []string{"TWO"}, nil, false},
		{"If-Match of weak tags only", one, []string{}, nil, false},
		{"If-None-Match of nothing", "", nil, []string{"*"}, true},
		{"If-None-Match of anything", one, nil, []string{"*"}, false},
		{"If-None-Match", one, nil, []string{"ONE"}, false},
		{"If-None-Match of another", one, nil, []string{"TWO"}, true},
		{"both", one, []string{"ONE"}, []string{"TWO"}, true},
	} {
		f := setUp(t, registry.Options{})
		digests := map[string]string{"ONE": string(digest(f.image(one))), "TWO": string(digest(f.image(two)))}
		named := func(list []string) []string {
			for i, s := range list {
				if d, ok := digests[s]; ok {
					list[i] = d
				}
			}
			return list
		}
		if c.now != "" {
			f.push(f.image(c.now), "v1")
		}
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{
			Ref: byTag("v1"), Content: f.image("new"), IfMatch: named(c.ifMatch), IfNoneMatch: named(c.ifNoneMatch),
		})
		if c.want {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		f.is(err, oci.ErrPrecondition)
		if _, err := f.StatBlob(f.ctx(), repo, digest(f.image("new"))); err == nil {
			t.Errorf("%s: the manifest was stored", c.name)
		}
	}
}

func TestPushTellsTheSubject(t *testing.T) {
	f := setUp(t, registry.Options{})
	d := oci.SHA256.FromString("subject")
	p, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("x"), Content: f.image("m", subject(d))})
	f.ok(err)
	same(t, "subject", p.Subject, d)
	// One of an algorithm that berth does not know is a subject all the same.
	p, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("y"), Content: f.image("n", subject("blake3:00"))})
	f.ok(err)
	same(t, "subject", p.Subject, "blake3:00")
}
