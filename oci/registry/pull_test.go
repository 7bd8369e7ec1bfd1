package registry_test

import (
	"strings"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

func TestPullByTagAndDigest(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	d := f.push(m, "v1")
	f.pulls(byTag("v1"), m)
	f.pulls(byDigest(d), m)
	same(t, "digest", d, digest(m))
}

func TestPullGivesTheTypeThatWasPushed(t *testing.T) {
	f := setUp(t, registry.Options{Docker2S2: true})
	body := []byte(strings.Replace(string(f.image("m")), oci.MediaTypeManifest, oci.MediaTypeDockerManifest, 1))
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: byTag("v1"), MediaType: oci.MediaTypeDockerManifest, Content: body})
	f.ok(err)
	m, err := f.Manifest(f.ctx(), repo, byTag("v1"))
	f.ok(err)
	same(t, "media type", m.MediaType, oci.MediaTypeDockerManifest)
}

func TestPullOfWhatIsNotThere(t *testing.T) {
	f := setUp(t, registry.Options{})
	_, err := f.Manifest(f.ctx(), repo, byTag("v1"))
	f.is(err, oci.ErrNameUnknown)
	f.push(f.image("m"), "v1")
	_, err = f.Manifest(f.ctx(), repo, byTag("v2"))
	f.is(err, oci.ErrManifestUnknown)
	_, err = f.Manifest(f.ctx(), repo, byDigest(oci.SHA256.FromString("x")))
	f.is(err, oci.ErrManifestUnknown)
}

// A blob is no manifest, even where its content looks like one.
func TestPullOfABlobAsManifest(t *testing.T) {
	f := setUp(t, registry.Options{})
	body := f.image("never pushed as a manifest")
	f.blob(string(body))
	f.push(f.image("m"), "v1")
	f.gone(byDigest(digest(body)))
}

// A warm pull asks the store whether the index is current, and nothing else.
func TestWarmPullReadsNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	m := f.image("m")
	f.push(m, "v1")
	f.pulls(byTag("v1"), m)
	opens, loads := f.store.Calls("OpenBlob"), f.store.Calls("LoadIndex")
	for range 10 {
		f.pulls(byTag("v1"), m)
		f.pulls(byDigest(digest(m)), m)
	}
	same(t, "blobs read", f.store.Calls("OpenBlob")-opens, 0)
	same(t, "loads of the index", f.store.Calls("LoadIndex")-loads, 20)
	same(t, "stats", f.store.Calls("StatBlob"), 1) // of the config, for the push
}

func TestPullAllocatesNothing(t *testing.T) {
	f := setUp(t, registry.Options{})
	f.push(f.image("m"), "v1")
	if n := testing.AllocsPerRun(100, func() { _, _ = f.Manifest(f.ctx(), repo, byTag("v1")) }); n > 2 { // closures of the store's wrapper
		t.Errorf("%v allocations", n)
	}
}

// What the cache cannot hold is served all the same.
func TestPullWithoutRoomInMemory(t *testing.T) {
	f := setUp(t, registry.Options{CacheBytes: 1})
	var all [][]byte
	for _, name := range []string{"a", "b", "c"} {
		m := f.image(name)
		f.push(m, oci.Tag(name))
		all = append(all, m)
	}
	for range 3 {
		for i, name := range []oci.Tag{"a", "b", "c"} {
			f.pulls(byTag(name), all[i])
			f.pulls(byDigest(digest(all[i])), all[i])
		}
	}
}

func TestStoreUnavailable(t *testing.T) {
	f := setUp(t, registry.Options{CacheBytes: 1})
	f.push(f.image("m"), "v1")
	f.push(f.image("n"), "v2") // drops m from memory
	for _, method := range []string{"LoadIndex", "OpenBlob"} {
		f.store.Once(method, ocitest.Before, oci.ErrUnavailable)
		_, err := f.Manifest(f.ctx(), repo, byTag("v1"))
		f.is(err, oci.ErrUnavailable)
		f.push(f.image("n"), "v2")
	}
	f.pulls(byTag("v1"), f.image("m"))
}
