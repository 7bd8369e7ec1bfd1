package gc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/registry"
	"berth/tasks/gc"
)

func TestUnreferencedBlobs(t *testing.T) {
	w := newWorld(t)
	one := w.image("one")
	w.push("v1", one)
	w.blob("orphan")
	w.clock.advance(delay)
	w.blob("young")
	same(t, "went while a client may build on it", w.collect(), "")
	w.clock.advance(delay + time.Second)
	same(t, "went", w.collect(), "blob orphan")
	w.pass()
	same(t, "went", w.collect(), "blob young")
	same(t, "went", w.collect(), "")
	w.whole(one)
}

func TestDeletedImage(t *testing.T) {
	w := newWorld(t)
	one, two := w.image("one"), w.image("two")
	w.push("v1", one)
	w.push("v2", two)
	w.pass()
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Digest: digest(one)}))
	same(t, "went", w.collect(), "blob config one, blob layer one")
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Tag: "v2"}))
	same(t, "went right after a tag did", w.collect(), "")
	w.pass()
	same(t, "went", w.collect(), "blob config two, blob layer two, manifest "+short(digest(two))+", repository a/b")
	w.push("v1", w.image("one"))
	w.whole(one)
}

func TestNothingBeforeTheDelay(t *testing.T) {
	w := newWorld(t)
	w.ok(w.opts.Store.PutBlob(w.ctx(), repo, digest([]byte("old")), []byte("old")))
	w.clock.advance(3 * delay)
	w.Registry = registry.New(w.store, registry.Options{Remember: delay, Now: w.clock.Now}) // a start
	w.opts.Registry = w.Registry
	w.gc = gc.New(w.opts)
	w.clock.advance(delay - time.Second)
	report, went := w.round(false)
	if !report.Early || went != "" {
		t.Errorf("%+v, %q went", report, went)
	}
	w.clock.advance(time.Second)
	w.ok(swap(w, `{"schemaVersion":2,"manifests":[]}`))
	same(t, "went", w.collect(), "blob old")
}

// swap replaces the index, as another tool does.
func swap(w *world, content string) error {
	_, v, err := w.opts.Store.LoadIndex(w.ctx(), repo, "")
	if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
		return err
	}
	_, err = w.opts.Store.SwapIndex(w.ctx(), repo, v, []byte(content))
	return err
}

func keeps(untagged, referrers bool) func(oci.Repo) (bool, bool) {
	return func(oci.Repo) (bool, bool) { return untagged, referrers }
}

func TestUntagged(t *testing.T) {
	for _, keep := range []bool{false, true} {
		w := newWorld(t, func(o *gc.Options) { o.Keep = keeps(keep, false) })
		child, old, now := w.image("child"), w.image("old"), w.image("now")
		list := index(child)
		alone := w.image("alone")
		w.push("", child)
		w.push("list", list)
		w.push("", alone)
		w.push("v1", old)
		w.pass()
		w.push("v1", now)
		want := "blob config alone, blob layer alone, manifest " + short(digest(alone))
		wantOld := "blob config old, blob layer old, manifest " + short(digest(old))
		wantList := "blob config child, blob layer child, manifest " + short(digest(child)) + ", manifest " + short(digest(list))
		if keep {
			want, wantOld, wantList = "", "", ""
		}
		same(t, "went", w.collect(), want)
		w.whole(old) // its tag was moved just now
		w.pass()
		same(t, "went", w.collect(), wantOld)
		w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Tag: "list"}))
		w.pass()
		if got := sorted(w.collect()); got != sorted(wantList) {
			t.Fatalf("went %q, want %q", got, wantList)
		}
		w.whole(now)
	}
}

func sorted(list string) string {
	parts := strings.Split(list, ", ")
	for i := range parts {
		for j := i + 1; j < len(parts); j++ {
			if parts[j] < parts[i] {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
	}
	return strings.Join(parts, ", ")
}

// TestKeepByRepository: what is kept can be said for each repository.
func TestKeepByRepository(t *testing.T) {
	for name, keep := range map[string][2]bool{"untagged": {true, false}, "referrers": {false, true}} {
		w := newWorld(t, func(o *gc.Options) {
			o.Keep = func(r oci.Repo) (untagged, referrers bool) {
				same(t, "asked of", string(r), string(repo))
				return keep[0], keep[1]
			}
		})
		alone, referrer := w.image("alone"), w.image("referrer", subject([]byte("never")))
		w.push("", alone)
		w.push("", referrer)
		w.pass()
		went := map[string]string{"untagged": "referrer", "referrers": "alone"}[name]
		gone := map[string][]byte{"referrer": referrer, "alone": alone}[went]
		same(t, "went", w.collect(), "blob config "+went+", blob layer "+went+", manifest "+short(digest(gone)))
	}
}

func TestReferrers(t *testing.T) {
	w := newWorld(t, func(o *gc.Options) { o.Keep = keeps(true, false) })
	image := w.image("image")
	signature := w.image("signature", subject(image))
	endorsement := w.image("endorsement", subject(signature))
	early := w.image("early", subject([]byte("to come")))
	tagged := w.image("tagged", subject([]byte("never")))
	w.push("", signature) // before its subject
	w.push("", early)
	w.push("", endorsement)
	w.push("v1", image)
	w.push("kept", tagged)
	same(t, "went", w.collect(), "")
	w.pass()
	same(t, "went", w.collect(), "blob config early, blob layer early, manifest "+short(digest(early)))
	w.whole(endorsement)
	w.pass()
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Digest: digest(image)}))
	want := "blob config endorsement, blob config image, blob config signature, blob layer endorsement, blob layer image, blob layer signature, " +
		"manifest " + short(digest(signature)) + ", manifest " + short(digest(endorsement))
	w.pass()
	if got := sorted(w.collect()); got != sorted(want) {
		t.Fatalf("went %q, want %q", got, want)
	}
	w.whole(tagged)
}

func TestFallbackTags(t *testing.T) {
	w := newWorld(t)
	image := w.image("image")
	signature := w.image("signature", subject(image))
	list := index(signature)
	fallback := oci.Tag(strings.Replace(string(digest(image)), ":", "-", 1))
	other := w.image("other")
	w.push("v1", image)
	w.push("", signature)
	w.push(fallback, list)
	w.push(oci.Tag("sha256-"+strings.Repeat("0", 64)), other) // no index: somebody's tag
	w.push(oci.Tag("sha256-"+strings.Repeat("0", 64)+".sig"), index(other))
	w.pass()
	same(t, "went", w.collect(), "")
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Digest: digest(image)}))
	w.pass()
	want := "blob config image, blob config signature, blob layer image, blob layer signature, manifest " + short(digest(signature)) + ", manifest " + short(digest(list))
	if got := sorted(w.collect()); got != sorted(want) {
		t.Fatalf("went %q, want %q", got, want)
	}
	w.whole(other)
}

func TestUploads(t *testing.T) {
	w := newWorld(t)
	idle, err := w.StartUpload(w.ctx(), repo, oci.SHA256)
	w.ok(err)
	used, err := w.StartUpload(w.ctx(), "c", oci.SHA256)
	w.ok(err)
	_, err = w.AppendUpload(w.ctx(), repo, idle, 0, strings.NewReader("content"))
	w.ok(err)
	w.pass()
	_, err = w.AppendUpload(w.ctx(), "c", used, 0, strings.NewReader("content"))
	w.ok(err)
	report, _ := w.round(true)
	if report.Bytes != 7 {
		t.Errorf("%+v", report)
	}
	same(t, "went", w.collect(), "upload a/b")
	_, err = w.StatUpload(w.ctx(), "c", used)
	w.ok(err)
	w.pass()
	same(t, "went", w.collect(), "upload c")
}

// TestForeignLayouts: the index of another tool names top entries only, and
// things that berth does not know.
func TestForeignLayouts(t *testing.T) {
	w := newWorld(t)
	put := func(content []byte) oci.Digest {
		t.Helper()
		w.ok(w.opts.Store.PutBlob(w.ctx(), repo, digest(content), content))
		return digest(content)
	}
	var all [][]byte
	for _, name := range []string{"deep", "untagged", "artifact", "v1"} {
		put([]byte("config " + name))
		put([]byte("layer " + name))
		all = append(all, manifest(name))
	}
	put(all[0])
	put(all[1])
	inner := index(all[0])
	outer := index(inner)
	put(inner)
	put(outer)
	plain := put([]byte("a file that an index names"))
	artifact := put(fmt.Appendf(nil, `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"digest":%q},{"digest":%q}]}`,
		digest([]byte("config artifact")), digest([]byte("layer artifact"))))
	first := put(fmt.Appendf(nil, `{"schemaVersion":1,"fsLayers":[{"blobSum":%q},{"blobSum":%q}]}`,
		digest([]byte("config v1")), digest([]byte("layer v1"))))
	orphan := put([]byte("orphan"))
	w.ok(swap(w, fmt.Sprintf(`{"manifests":[
		{"mediaType":%q,"digest":%q,"size":1,"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/x:1"}},
		{"mediaType":%q,"digest":%q,"size":1},
		{"mediaType":"text/plain","digest":%q,"size":1},
		{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","digest":%q,"size":1},
		{"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws","digest":%q,"size":1},
		{"digest":"sha256:%064d","size":1}]}`,
		oci.MediaTypeIndex, digest(outer), oci.MediaTypeManifest, digest(all[1]), plain, artifact, first, 0)))
	w.pass()
	same(t, "went", w.collect(), "blob orphan")
	if _, err := w.opts.Store.StatBlob(w.ctx(), repo, orphan); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Error(err)
	}
	w.whole(outer)
	w.whole(all[1])
}

// TestWhatCannotBeRead: what berth cannot read or understand may need
// everything.
func TestWhatCannotBeRead(t *testing.T) {
	entry := func(kind string, d oci.Digest) string {
		return fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`, kind, d)
	}
	for name, prepare := range map[string]func(*world) string{
		"no JSON": func(w *world) string { return entry(oci.MediaTypeManifest, w.blob("no JSON")) },
		"rotten": func(w *world) string {
			d := digest([]byte("rotten"))
			w.ok(w.opts.Store.PutBlob(w.ctx(), repo, d, []byte("{}")))
			return entry(oci.MediaTypeManifest, d)
		},
		"too large": func(w *world) string {
			return entry(oci.MediaTypeManifest, w.blob(`{"a":"`+strings.Repeat("x", 17<<20)+`"}`))
		},
		"another algorithm in the index": func(*world) string {
			return entry(oci.MediaTypeManifest, "blake3:"+oci.Digest(strings.Repeat("a", 64)))
		},
		"another algorithm in a manifest": func(w *world) string {
			return entry(oci.MediaTypeIndex, w.blob(`{"manifests":[{"digest":"blake3:`+strings.Repeat("a", 64)+`"}]}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ok(swap(w, prepare(w)))
			w.blob("unreferenced")
			w.pass()
			report, went := w.round(false)
			if went != "" || report.Failed != 1 || !strings.Contains(w.log.String(), "is not collected") {
				t.Errorf("%q went, %+v, log %s", went, report, w.log)
			}
			w.ok(swap(w, `{"manifests":[]}`))
			if _, went := w.round(false); !strings.Contains(went, "blob unreferenced") {
				t.Errorf("%q went", went)
			}
		})
	}
}

// TestReadError: nor does anything go where a manifest cannot be read now.
func TestReadError(t *testing.T) {
	w := newWorld(t)
	faulty := w.opts
	faulty.Store = w.store
	w.gc = gc.New(faulty)
	w.push("v1", w.image("one"))
	w.blob("orphan")
	w.pass()
	broken := errors.New("the medium is broken")
	for _, method := range []string{"OpenBlob", "LoadIndex"} {
		w.store.Once(method, 1, broken)
		if report, went := w.round(false); went != "" || report.Failed != 1 {
			t.Errorf("%s: %q went, %+v", method, went, report)
		}
	}
	w.store.Decide(nil)
	same(t, "went", w.collect(), "blob orphan")
}

// TestSharedBytes: what other names share is freed with the last.
func TestSharedBytes(t *testing.T) {
	w := newWorld(t)
	d := w.blob("shared content")
	w.ok(w.Mount(w.ctx(), "other", repo, d))
	w.ok(swap(w, `{"manifests":[]}`))
	w.pass()
	if report, _ := w.round(true); report.Bytes != 0 {
		t.Errorf("%+v", report)
	}
	_, err := w.opts.Store.SwapIndex(w.ctx(), "other", "", []byte(`{"manifests":[]}`))
	w.ok(err)
	w.pass()
	report, went := w.round(true)
	same(t, "would go", went, "blob shared content, blob shared content, repository a/b, repository other")
	if report.Bytes != int64(len("shared content")) {
		t.Errorf("%+v", report)
	}
	w.collect()
}

func TestUnchangedIsPassedOver(t *testing.T) {
	w := newWorld(t)
	one := w.image("one")
	w.push("v1", one)
	w.pass()
	for i, want := range []int64{0, 1, 1} {
		if report, _ := w.round(false); report.Unchanged != want {
			t.Errorf("round %d: %+v", i, report)
		}
	}
	w.blob("orphan")
	w.pass()
	same(t, "went", w.collect(), "blob orphan")
	w.clock.advance(time.Minute)
	w.round(false)
	if report, _ := w.round(false); report.Unchanged != 1 {
		t.Errorf("%+v", report)
	}
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Digest: digest(one)}))
	same(t, "went", w.collect(), "blob config one, blob layer one")
}

// TestClocks: what has a time in the future is young, and so is, without a
// server, what has one from before the clock was set.
func TestClocks(t *testing.T) {
	w := newWorld(t)
	w.ok(swap(w, `{"manifests":[]}`))
	w.blob("from the future")
	w.clock.advance(-24 * time.Hour)
	report, went := w.round(false)
	if went != "" {
		t.Errorf("%q went, %+v", went, report)
	}
	w.clock.advance(24*time.Hour + 3*delay)
	same(t, "went", w.collect(), "blob from the future, repository a/b")

	w = newWorld(t, func(o *gc.Options) { o.Offline = true })
	w.clock.now = time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	w.Registry = registry.New(w.store, registry.Options{})
	w.opts.Registry = w.Registry
	w.gc = gc.New(w.opts)
	w.ok(swap(w, `{"manifests":[]}`))
	w.blob("from 1970")
	w.clock.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	same(t, "went", w.collect(), "")
	w.blob("from 2026")
	w.clock.advance(delay)
	same(t, "went", w.collect(), "blob from 2026")
}

// TestClockIsSet: the clock jumps from 1970 to now while a registry serves; what
// came a minute ago looks old.
func TestClockIsSet(t *testing.T) {
	wall := &clock{now: time.Date(1970, 1, 1, 0, 0, 30, 0, time.UTC)}
	w := newWorld(t, func(o *gc.Options) { o.Now = wall.Now })
	w.clock.now = wall.now // of the store; the registry's clock is monotonic
	monotonic := &clock{now: time.Unix(0, 0)}
	w.Registry = registry.New(w.store, registry.Options{Remember: delay, Now: monotonic.Now})
	w.opts.Registry = w.Registry
	w.gc = gc.New(w.opts)
	monotonic.advance(10 * delay)
	w.ok(swap(w, `{"manifests":[]}`))
	w.blob("a minute old")
	id, err := w.StartUpload(w.ctx(), repo, oci.SHA256)
	w.ok(err)
	monotonic.advance(time.Minute)
	wall.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	same(t, "went", w.collect(), "")
	_, err = w.StatUpload(w.ctx(), repo, id)
	w.ok(err)
	monotonic.advance(2 * delay)
	same(t, "went", w.collect(), "blob a minute old, repository a/b, upload a/b")
}

func TestElsewhere(t *testing.T) {
	w := newWorld(t, func(o *gc.Options) {
		o.Elsewhere = func(r oci.Repo) bool { return strings.HasPrefix(string(r), "a/") }
	})
	w.ok(swap(w, `{"manifests":[]}`))
	w.blob("orphan")
	w.pass()
	same(t, "went", w.collect(), "")
}

// TestLater: a round tells whether something is left for a later one.
func TestLater(t *testing.T) {
	w := newWorld(t)
	later := func(want int64) {
		t.Helper()
		report, err := w.gc.Run(w.ctx(), nil, gc.Request{})
		w.ok(err)
		if report.Later != want {
			t.Errorf("%d later, want %d: %v", report.Later, want, report)
		}
	}
	w.clock.advance(2 * delay)
	later(0)
	old, now := w.image("old"), w.image("now")
	w.push("v1", old)
	w.push("v1", now)
	later(1) // it is young
	w.pass()
	later(0)
	_, err := w.StartUpload(w.ctx(), repo, oci.SHA256)
	w.ok(err)
	later(1)
	w.pass()
	later(0)
	w.ok(w.DeleteManifest(w.ctx(), repo, oci.Reference{Digest: digest(now)}))
	w.pass()
	later(0)
}
