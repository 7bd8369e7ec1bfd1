package gc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/gc"
)

const (
	delay = time.Hour
	repo  = oci.Repo("a/b")
)

// clock is a clock that stands.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a registry over a store in memory, and the collector of both.
type world struct {
	t testing.TB
	*registry.Registry
	store *ocitest.Faults
	clock *clock
	log   *bytes.Buffer
	gc    *gc.Collector
	opts  gc.Options
}

func newWorld(t testing.TB, change ...func(*gc.Options)) *world {
	w := &world{t: t, clock: &clock{now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}}
	memory := ocitest.NewMemory()
	memory.Now = w.clock.Now
	w.store = ocitest.NewFaults(memory)
	w.Registry = registry.New(w.store, registry.Options{Remember: delay, Now: w.clock.Now, Docker2S2: true})
	w.opts = gc.Options{Registry: w.Registry, Store: memory, Delay: delay, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, c := range change {
		c(&w.opts)
	}
	w.gc = gc.New(w.opts)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ctx() context.Context { return context.Background() }

// pass lets so much time pass that all is old, and that nobody remembers what
// was told.
func (w *world) pass() { w.clock.advance(2*delay + time.Second) }

func digest(content []byte) oci.Digest { return oci.SHA256.FromBytes(content) }

// blob pushes a blob.
func (w *world) blob(content string) oci.Digest {
	w.t.Helper()
	d := digest([]byte(content))
	w.ok(w.PushBlob(w.ctx(), repo, d, strings.NewReader(content)))
	return d
}

// image pushes the blobs of an image, and returns its manifest.
func (w *world) image(name string, more ...string) []byte {
	w.t.Helper()
	w.blob("config " + name)
	w.blob("layer " + name)
	return manifest(name, more...)
}

// manifest is that of an image; more are members of the object.
func manifest(name string, more ...string) []byte {
	d := func(kind string) string {
		content := kind + " " + name
		return fmt.Sprintf(`{"mediaType":"application/x.%s","digest":%q,"size":%d}`, kind, digest([]byte(content)), len(content))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`,
		oci.MediaTypeManifest, d("config"), d("layer"), strings.Join(append([]string{""}, more...), ",")))
}

// subject is the member of a manifest that has one.
func subject(content []byte) string {
	return fmt.Sprintf(`"subject":{"mediaType":%q,"digest":%q,"size":%d}`, oci.MediaTypeManifest, digest(content), len(content))
}

// index is an image index of manifests.
func index(children ...[]byte) []byte {
	var list []string
	for _, c := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType(c), digest(c), len(c)))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, oci.MediaTypeIndex, strings.Join(list, ",")))
}

func mediaType(content []byte) string {
	var m struct{ MediaType string }
	_ = json.Unmarshal(content, &m)
	return m.MediaType
}

// push pushes a manifest, by its digest where the tag is "".
func (w *world) push(tag oci.Tag, content []byte) {
	w.t.Helper()
	w.ok(w.tryPush(tag, content))
}

func (w *world) tryPush(tag oci.Tag, content []byte) error {
	ref := oci.Reference{Tag: tag}
	if tag == "" {
		ref.Digest = digest(content)
	}
	_, err := w.PushManifest(w.ctx(), repo, registry.ManifestPush{Ref: ref, Content: content})
	return err
}

// collect does a round, and returns what went: "kind content" each, sorted. It
// does a dry round first, which has to tell the same.
func (w *world) collect() string {
	w.t.Helper()
	before := w.content()
	dry, dried := w.round(true)
	if now := w.content(); now != before {
		w.t.Fatalf("a dry round changed\n%s\ninto\n%s", before, now)
	}
	report, went := w.round(false)
	if dry.Bytes != report.Bytes || dried != went {
		w.t.Fatalf("a dry round told %q, %d bytes; the round %q, %d bytes", dried, dry.Bytes, went, report.Bytes)
	}
	if report.Failed > 0 {
		w.t.Logf("left alone: %s", w.log)
	}
	return went
}

func (w *world) round(dry bool) (gc.Report, string) {
	w.t.Helper()
	names := w.names()
	var went []string
	report, err := w.gc.Run(w.ctx(), nil, gc.Request{Dry: dry, Each: func(i gc.Item) error {
		name := names[i.Name]
		if name == "" {
			name = string(i.Repo)
		}
		went = append(went, string(i.Kind)+" "+name)
		return nil
	}})
	w.ok(err)
	slices.Sort(went)
	return report, strings.Join(went, ", ")
}

// names are the contents by their digests; of manifests, the end of the layer's
// name would be lost, so that they are called by their digest's first digits.
func (w *world) names() map[string]string {
	names := map[string]string{}
	w.each(func(r oci.Repo, d oci.Digest) {
		c, err := w.opts.Store.OpenBlob(w.ctx(), r, d, 0)
		w.ok(err)
		var b bytes.Buffer
		_, err = b.ReadFrom(c)
		w.ok(err)
		names[string(d)] = b.String()
		if b.Len() > 40 {
			names[string(d)] = short(d)
		}
	})
	return names
}

func short(d oci.Digest) string { return d.Encoded()[:6] }

func (w *world) each(fn func(oci.Repo, oci.Digest)) {
	w.ok(w.opts.Store.WalkRepos(w.ctx(), "", func(r oci.Repo) error {
		return w.opts.Store.WalkBlobs(w.ctx(), r, func(d oci.Digest, _ oci.BlobInfo) error {
			fn(r, d)
			return nil
		})
	}))
}

// content is everything in the store.
func (w *world) content() string {
	var all []string
	w.each(func(r oci.Repo, d oci.Digest) { all = append(all, string(r)+"@"+string(d)) })
	w.ok(w.opts.Store.WalkRepos(w.ctx(), "", func(r oci.Repo) error {
		data, _, err := w.opts.Store.LoadIndex(w.ctx(), r, "")
		if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
			return err
		}
		all = append(all, string(r)+" "+string(data))
		return nil
	}))
	w.ok(w.opts.Store.WalkUploads(w.ctx(), func(u oci.UploadInfo) error {
		all = append(all, string(u.Repo)+" "+string(u.ID))
		return nil
	}))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// whole fails the test unless a manifest can be pulled with all it names.
func (w *world) whole(content []byte) {
	w.t.Helper()
	if err := w.tryPull(digest(content)); err != nil {
		w.t.Error(err)
	}
}

func (w *world) tryPull(d oci.Digest) error {
	m, err := w.Manifest(w.ctx(), repo, oci.Reference{Digest: d})
	if err != nil {
		return err
	}
	var named error
	err = oci.References(m.Content, func(n oci.Descriptor, child bool) {
		var err error
		if child {
			err = w.tryPull(n.Digest)
		} else if _, err = w.opts.Store.StatBlob(w.ctx(), repo, n.Digest); err != nil {
			err = fmt.Errorf("%s of %s: %w", n.Digest, d, err)
		}
		named = errors.Join(named, err)
	})
	return errors.Join(err, named)
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %q, want %q", what, got, want)
	}
}
