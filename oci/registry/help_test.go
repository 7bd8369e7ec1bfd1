package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
)

// fixture is a registry over a store in memory that can fail.
type fixture struct {
	*registry.Registry
	t     testing.TB
	store *ocitest.Faults
	log   *logged
}

const repo = oci.Repo("a/b")

func setUp(t testing.TB, opts registry.Options) *fixture {
	f := &fixture{t: t, store: ocitest.NewFaults(ocitest.NewMemory()), log: &logged{}}
	opts.Log = slog.New(slog.NewTextHandler(f.log, nil))
	f.Registry = registry.New(f.store, opts)
	return f
}

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (f *fixture) ctx() context.Context { return context.Background() }

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) is(err, kind error) {
	f.t.Helper()
	if !errors.Is(err, kind) {
		f.t.Fatalf("error is %v, want %v", err, kind)
	}
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// blob pushes a blob.
func (f *fixture) blob(content string) oci.Digest {
	f.t.Helper()
	d := oci.SHA256.FromString(content)
	f.ok(f.PushBlob(f.ctx(), repo, d, strings.NewReader(content)))
	return d
}

func descriptor(mediaType string, d oci.Digest, size int) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, d, size)
}

// image returns an image manifest whose config is pushed. name makes it one of
// its own, more are further fields, such as `"subject":{…}`.
func (f *fixture) image(name string, more ...string) []byte {
	f.t.Helper()
	config := "config of " + name
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]%s}`,
		oci.MediaTypeManifest, descriptor("application/x.config+json", f.blob(config), len(config)), fields(more)))
}

func fields(more []string) string {
	return strings.Join(append([]string{""}, more...), ",")
}

// index returns an image index of manifests.
func index(children [][]byte, more ...string) []byte {
	var list []string
	for _, c := range children {
		mediaType := oci.MediaTypeManifest
		if bytes.Contains(c, []byte(`"manifests"`)) {
			mediaType = oci.MediaTypeIndex
		}
		list = append(list, descriptor(mediaType, digest(c), len(c)))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]%s}`, oci.MediaTypeIndex, strings.Join(list, ","), fields(more)))
}

func digest(content []byte) oci.Digest { return oci.SHA256.FromBytes(content) }

// subject is the field that refers to a manifest.
func subject(d oci.Digest) string {
	return `"subject":` + descriptor(oci.MediaTypeManifest, d, 1)
}

func byTag(t oci.Tag) oci.Reference       { return oci.Reference{Tag: t} }
func byDigest(d oci.Digest) oci.Reference { return oci.Reference{Digest: d} }

// push pushes a manifest by tag, or by digest where that is "".
func (f *fixture) push(content []byte, tag oci.Tag) oci.Digest {
	f.t.Helper()
	ref := byTag(tag)
	if tag == "" {
		ref = byDigest(digest(content))
	}
	p, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: ref, Content: content})
	f.ok(err)
	return p.Digest
}

// pulls fails the test unless a reference stands for content.
func (f *fixture) pulls(ref oci.Reference, content []byte) {
	f.t.Helper()
	m, err := f.Manifest(f.ctx(), repo, ref)
	if err != nil {
		f.t.Fatalf("%s: %v", ref, err)
	}
	same(f.t, "content", string(m.Content), string(content))
	if m.MediaType != oci.MediaTypeManifest && m.MediaType != oci.MediaTypeIndex {
		f.t.Fatalf("%s: media type %q", ref, m.MediaType)
	}
}

// gone fails the test if a reference stands for something.
func (f *fixture) gone(ref oci.Reference) {
	f.t.Helper()
	_, err := f.Manifest(f.ctx(), repo, ref)
	if !errors.Is(err, oci.ErrManifestUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
		f.t.Fatalf("%s: %v", ref, err)
	}
}

func (f *fixture) tags() string {
	f.t.Helper()
	tags, more, err := f.Tags(f.ctx(), repo, registry.Page{N: -1})
	f.ok(err)
	same(f.t, "more", more, false)
	return fmt.Sprint(tags)
}

// foreign puts content and an index.json there as another tool would.
func (f *fixture) foreign(indexJSON string, contents ...[]byte) {
	f.t.Helper()
	for _, c := range contents {
		f.ok(f.store.PutBlob(f.ctx(), repo, digest(c), c))
	}
	_, v, err := f.store.LoadIndex(f.ctx(), repo, "")
	if !errors.Is(err, oci.ErrNameUnknown) {
		f.ok(err)
	}
	_, err = f.store.SwapIndex(f.ctx(), repo, v, []byte(indexJSON))
	f.ok(err)
}

// layout is an index.json with one untagged entry for each manifest.
func layout(contents ...[]byte) string { return string(index(contents)) }

// referrerList is the answer to a referrers query, read as a client reads it.
type referrerList struct {
	SchemaVersion int
	MediaType     string
	Manifests     []struct {
		MediaType, ArtifactType string
		Digest                  oci.Digest
		Size                    int64
		Annotations             map[string]string
	}
}

func (f *fixture) list(d oci.Digest, artifactType string, last oci.Digest) (referrerList, oci.Digest) {
	f.t.Helper()
	answer, err := f.Referrers(f.ctx(), repo, d, artifactType, last)
	f.ok(err)
	var list referrerList
	if err := json.Unmarshal(answer.Content, &list); err != nil {
		f.t.Fatalf("%s: %v", answer.Content, err)
	}
	same(f.t, "media type", list.MediaType, oci.MediaTypeIndex)
	same(f.t, "schemaVersion", list.SchemaVersion, 2)
	return list, answer.Next
}

// refers fails the test unless exactly these manifests refer to d.
func (f *fixture) refers(d oci.Digest, want ...oci.Digest) {
	f.t.Helper()
	list, next := f.list(d, "", "")
	same(f.t, "next", next, "")
	got := map[oci.Digest]bool{}
	for _, m := range list.Manifests {
		got[m.Digest] = true
	}
	for _, w := range want {
		if !got[w] {
			f.t.Fatalf("%s is not listed", w)
		}
	}
	same(f.t, "number of referrers", len(list.Manifests), len(want))
}
