package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

func TestReferrersOfNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.refers(oci.SHA256.FromString("x")) // no repository
	f.push(f.image("m"), "v1")
	f.refers(oci.SHA256.FromString("x"))
	f.refers(digest(f.image("m")))
}

func TestReferrers(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := digest(f.image("s"))
	one := f.push(f.image("one", subject(s), `"artifactType":"a/sbom"`, `"annotations":{"k":"v"}`), "")
	two := f.push(f.image("two", subject(s)), "tagged")
	three := f.push(index(nil, subject(s)), "")
	four := f.push(index(nil, subject(s), `"artifactType":"a/sbom"`), "")
	f.push(f.image("other", subject(two)), "")
	f.push(f.image("s"), "s") // after its referrers

	list, next := f.list(s, "", "")
	same(t, "next", next, "")
	types := map[oci.Digest]string{one: "a/sbom", two: "application/x.config+json", three: "", four: "a/sbom"}
	for _, m := range list.Manifests {
		want, ok := types[m.Digest]
		if !ok || m.ArtifactType != want {
			t.Errorf("%s has artifact type %q", m.Digest, m.ArtifactType)
		}
		stored, err := f.Manifest(f.ctx(), repo, byDigest(m.Digest))
		f.ok(err)
		same(t, "size", m.Size, int64(len(stored.Content)))
		same(t, "media type", m.MediaType, stored.MediaType)
		if m.Digest == one && m.Annotations["k"] != "v" {
			t.Errorf("annotations: %v", m.Annotations)
		}
	}
	same(t, "number", len(list.Manifests), 4)
	if !slices.IsSortedFunc(list.Manifests, func(a, b struct {
		MediaType, ArtifactType string
		Digest                  oci.Digest
		Size                    int64
		Annotations             map[string]string
	}) int {
		return strings.Compare(string(a.Digest), string(b.Digest))
	}) {
		t.Error("not in the order of digests")
	}
	filtered, _ := f.list(s, "a/sbom", "")
	same(t, "number of that type", len(filtered.Manifests), 2)
	filtered, _ = f.list(s, "a/none", "")
	same(t, "number of no type", len(filtered.Manifests), 0)
	f.refers(two, digest(f.image("other", subject(two))))
}

func TestReferrerWithManyTagsIsListedOnce(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA256.FromString("s")
	m := f.image("m", subject(s))
	f.push(m, "x")
	f.push(m, "y")
	f.refers(s, digest(m))
}

func TestDeletedReferrersAreGone(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA256.FromString("s")
	one := f.push(f.image("one", subject(s)), "x")
	two := f.push(f.image("two", subject(s)), "")
	f.refers(s, one, two)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(two)))
	f.refers(s, one)
	f.ok(f.DeleteManifest(f.ctx(), repo, byTag("x"))) // the manifest stays
	f.refers(s, one)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(one)))
	f.refers(s)
	f.push(f.image("two", subject(s)), "")
	f.refers(s, two)
}

func TestReferrersOfSHA512(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA512.FromString("s")
	f.refers(s)
	d := f.push(f.image("one", subject(s)), "")
	f.refers(s, d)
}

// The list is cut at about 4 MiB, and the rest is had from there on.
func TestReferrersInPages(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA256.FromString("s")
	const each = 1 << 20
	want := map[oci.Digest]bool{}
	for i := range 9 {
		want[f.push(f.image(fmt.Sprint(i), subject(s), `"annotations":{"x":"`+strings.Repeat("x", each)+`"}`), "")] = true
	}
	var last oci.Digest
	for page := 0; ; page++ {
		list, next := f.list(s, "", last)
		for _, m := range list.Manifests {
			if !want[m.Digest] {
				t.Errorf("%s is listed twice", m.Digest)
			}
			delete(want, m.Digest)
		}
		if next == "" {
			same(t, "pages", page+1, 3)
			break
		}
		same(t, "next", next, list.Manifests[len(list.Manifests)-1].Digest)
		last = next
	}
	same(t, "not listed", len(want), 0)
}

func TestWarmReferrersReadNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA256.FromString("s")
	var all []oci.Digest
	for i := range 20 {
		all = append(all, f.push(f.image(fmt.Sprint(i), subject(s)), ""))
		f.push(f.image(fmt.Sprint("not ", i)), "")
	}
	fresh := registry.New(f.store, registry.Options{})
	f.Registry = fresh
	f.refers(s, all...)
	opens := f.store.Calls("OpenBlob")
	same(t, "manifests read", opens, 20) // only those that refer
	f.refers(s, all...)
	same(t, "manifests read", f.store.Calls("OpenBlob"), opens)
}

// fallbackTag is the tag of the referrers tag schema.
func fallbackTag(d oci.Digest) oci.Tag { return oci.Tag(strings.Replace(string(d), ":", "-", 1)) }

// Clients that do not know the referrers API push an index under a tag.
func TestReferrersByTheTagSchema(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := digest(f.image("s"))
	m := f.image("m", subject(s))
	f.push(m, "")
	f.push(index([][]byte{m}), fallbackTag(s))
	f.refers(s, digest(m))
}

// In a layout made elsewhere, referrers are found as entries, under the
// fallback tag, and in indexes in indexes.
func TestReferrersMadeElsewhere(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := f.image("s")
	entry := f.image("entry", subject(digest(s)))
	listed := f.image("listed", subject(digest(s)))
	nested := f.image("nested", subject(digest(s)))
	wrong := f.image("wrong", subject(digest(entry)))
	plain := f.image("plain")
	missing := f.image("missing", subject(digest(s)))
	inner := index([][]byte{nested}, subject(digest(s)))
	fallback := index([][]byte{listed, wrong, plain, missing, inner})
	f.foreign(layout(s, entry, fallback), s, entry, listed, nested, wrong, plain, inner, fallback)

	f.refers(digest(s), digest(entry), digest(listed), digest(nested), digest(inner))
	opens := f.store.Calls("OpenBlob")
	f.refers(digest(s), digest(entry), digest(listed), digest(nested), digest(inner))
	same(t, "manifests read when warm", f.store.Calls("OpenBlob"), opens)

	pushed := f.push(f.image("pushed", subject(digest(s))), "")
	f.refers(digest(s), digest(entry), digest(listed), digest(nested), digest(inner), pushed)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(digest(nested)))) // has no entry
	f.refers(digest(s), digest(entry), digest(listed), digest(inner), pushed)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(digest(entry))))
	f.refers(digest(s), digest(listed), digest(inner), pushed)
}

// A layout that lies about a subject is not believed.
func TestFalseSubject(t *testing.T) {
	f := setUp(t, registry.Options{})
	s := oci.SHA256.FromString("s")
	m := f.image("m")
	f.foreign(strings.Replace(layout(m), `}]`, `,"annotations":{"io.berth.subject":"`+string(s)+`"}}]`, 1), m)
	f.refers(s)
}

func TestReferrersFail(t *testing.T) {
	f := setUp(t, registry.Options{CacheBytes: 1})
	s := oci.SHA256.FromString("s")
	d := f.push(f.image("m", subject(s)), "")
	f.push(f.image("other"), "")
	for _, method := range []string{"LoadIndex", "OpenBlob"} {
		f.store.Once(method, ocitest.Before, oci.ErrUnavailable)
		_, err := f.Referrers(f.ctx(), repo, s, "", "")
		f.is(err, oci.ErrUnavailable)
	}
	f.refers(s, d)
}
