package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/registry"
)

// Layouts made by other tools list top entries only.
func TestChildrenOfIndexes(t *testing.T) {
	f := setUp(t, registry.Options{})
	arm, x86, deep := f.image("arm"), f.image("x86"), f.image("deep")
	inner := index([][]byte{deep})
	top := index([][]byte{arm, x86, inner})
	f.foreign(layout(top), arm, x86, deep, inner, top)
	for _, m := range [][]byte{top, arm, x86, inner, deep} {
		f.pulls(byDigest(digest(m)), m)
	}
	f.gone(byDigest(oci.SHA256.FromString("config of arm"))) // is here, but is no manifest
	same(t, "tags", f.tags(), "[]")
}

func TestChildThatIsNotHere(t *testing.T) {
	f := setUp(t, registry.Options{})
	arm, x86 := f.image("arm"), f.image("x86")
	top := index([][]byte{arm, x86})
	f.foreign(layout(top), arm, top)
	f.pulls(byDigest(digest(arm)), arm)
	f.gone(byDigest(digest(x86)))
	f.blob(string(x86)) // it arrives
	f.pulls(byDigest(digest(x86)), x86)
}

// A child that was reachable through an index that nobody pushed must not be
// lost when that index is pushed.
func TestPushOfAnIndexThatWasThereBefore(t *testing.T) {
	for _, sparse := range []registry.Sparse{registry.SparseNone, registry.SparseIndex, registry.SparseAll} {
		f := setUp(t, registry.Options{Sparse: sparse})
		deep, arm := f.image("deep"), f.image("arm")
		inner := index([][]byte{deep})
		top := index([][]byte{arm, inner})
		f.foreign(layout(top), arm, deep, inner, top)
		f.push(top, "v1")
		for _, m := range [][]byte{top, arm, inner, deep} {
			f.pulls(byDigest(digest(m)), m)
		}
		f.push(inner, "v2")
		f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(digest(top))))
		for _, m := range [][]byte{arm, inner, deep} {
			f.pulls(byDigest(digest(m)), m)
		}
	}
}

func TestDeleteOfAChild(t *testing.T) {
	f := setUp(t, registry.Options{})
	arm, x86 := f.image("arm"), f.image("x86")
	top := index([][]byte{arm, x86})
	f.foreign(layout(top), arm, x86, top)
	f.pulls(byDigest(digest(arm)), arm)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(digest(arm))))
	f.gone(byDigest(digest(arm)))
	f.is(f.DeleteManifest(f.ctx(), repo, byDigest(digest(arm))), oci.ErrManifestUnknown)
	f.pulls(byDigest(digest(x86)), x86)
	f.push(arm, "")
	f.pulls(byDigest(digest(arm)), arm)
}

// What is reachable only through an index that was deleted is deleted with it.
func TestDeleteOfAnIndexInAnIndex(t *testing.T) {
	f := setUp(t, registry.Options{})
	deep := f.image("deep")
	inner := index([][]byte{deep})
	top := index([][]byte{inner})
	f.foreign(layout(top), deep, inner, top)
	f.pulls(byDigest(digest(deep)), deep)
	f.ok(f.DeleteManifest(f.ctx(), repo, byDigest(digest(inner))))
	f.gone(byDigest(digest(inner)))
	f.gone(byDigest(digest(deep)))
	f.pulls(byDigest(digest(top)), top)
}

// An entry that lacks its media type gets the one that its content tells.
func TestEntryWithoutMediaType(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	bare := []byte(strings.Replace(string(f.image("bare")), `"mediaType":"`+oci.MediaTypeManifest+`",`, "", 1))
	neither := []byte(`{"x":"neither one nor the other"}`)
	f.foreign(strings.ReplaceAll(layout(m, bare, neither), `"mediaType":"`+oci.MediaTypeManifest+`",`, ""), m, bare, neither)
	f.pulls(byDigest(digest(m)), m)
	f.pulls(byDigest(digest(bare)), bare)
	f.gone(byDigest(digest(neither)))
}

// A layout that lies about content is not believed.
func TestContentThatDoesNotMatchItsDigest(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	f.foreign(layout(m))
	f.ok(f.store.PutBlob(f.ctx(), repo, digest(m), []byte("something else")))
	f.gone(byDigest(digest(m)))
	if !strings.Contains(f.log.String(), "does not match its digest") {
		t.Errorf("log: %s", f.log)
	}
	f.ok(f.store.PutBlob(f.ctx(), repo, digest(m), m)) // repaired
	f.pulls(byDigest(digest(m)), m)
}

func TestForeignManifestsMayBeLarger(t *testing.T) {
	f := setUp(t, registry.Options{MaxManifestSize: 1000})
	large := f.image("large", `"x":"`+strings.Repeat("x", 10_000)+`"`)
	huge := f.image("huge", `"x":"`+strings.Repeat("x", 17<<20)+`"`)
	f.foreign(layout(large, huge), large, huge)
	f.pulls(byDigest(digest(large)), large)
	f.gone(byDigest(digest(huge)))
	if !strings.Contains(f.log.String(), "too large") {
		t.Errorf("log: %s", f.log)
	}
}

// A layout that is replaced under the running server is served at once.
func TestLayoutIsReplaced(t *testing.T) {
	f := setUp(t, registry.Options{})
	one, two := f.image("one"), f.image("two")
	tagged := func(m []byte) string {
		return strings.Replace(layout(m), "}]", `,"annotations":{"org.opencontainers.image.ref.name":"quay.io/x/y:v1"}}]`, 1)
	}
	f.foreign(tagged(one), one)
	f.pulls(byTag("v1"), one)
	f.foreign(tagged(two), two)
	f.pulls(byTag("v1"), two)
	f.gone(byDigest(digest(one)))
	f.push(one, "v1")
	f.pulls(byTag("v1"), one)
	f.pulls(byDigest(digest(two)), two)
}

func TestBrokenIndex(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.foreign(`{"manifests":7}`)
	_, err := f.Manifest(f.ctx(), repo, byTag("x"))
	if err == nil || !strings.Contains(err.Error(), string(repo)) {
		t.Errorf("the error does not name the repository: %v", err)
	}
	m := f.image("m")
	_, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("x"), Content: m})
	if err == nil {
		t.Error("a push replaced what could not be read")
	}
}

// Indexes that name one another, or themselves, cannot exist: but a layout may
// be deep.
func TestDeepIndexes(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	contents := [][]byte{m}
	for range 40 {
		contents = append(contents, index([][]byte{contents[len(contents)-1]}))
	}
	f.foreign(layout(contents[len(contents)-1]), contents...)
	f.pulls(byDigest(digest(contents[30])), contents[30])
	f.gone(byDigest(digest(m)))
	if !strings.Contains(f.log.String(), "nested too deep") {
		t.Errorf("log: %s", f.log)
	}
}

// Entries that were pushed cost nothing to find children and referrers among:
// only what somebody else made is read.
func TestOnlyForeignEntriesAreRead(t *testing.T) {
	f := setUp(t, registry.Options{CacheBytes: 1})
	foreign := f.image("foreign")
	f.foreign(layout(foreign), foreign)
	for i := range 20 {
		f.push(f.image(fmt.Sprint(i)), "")
	}
	opens := f.store.Calls("OpenBlob")
	f.refers(oci.SHA256.FromString("x"))
	same(t, "manifests read", f.store.Calls("OpenBlob")-opens, 1)
	f.push(f.image("one more"), "")
	f.refers(oci.SHA256.FromString("x"))
	same(t, "manifests read after a push", f.store.Calls("OpenBlob")-opens, 1)
}
