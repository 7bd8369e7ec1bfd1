package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/registry"
)

const delay = time.Hour

// ticker is a clock that stands until it is set.
type ticker struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *ticker) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticker) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func remembering(t testing.TB) (*fixture, *ticker) {
	c := &ticker{now: time.Unix(1e9, 0)}
	return setUp(t, registry.Options{Remember: delay, Now: c.Now}), c
}

// version is the present one of an index.
func (f *fixture) version(r oci.Repo) oci.Version {
	f.t.Helper()
	_, v, err := f.Snapshot(f.ctx(), r)
	f.ok(err)
	return v
}

// collect has a blob collected, and tells whether it was.
func (f *fixture) collect(d oci.Digest) bool {
	f.t.Helper()
	gone, err := f.CollectBlobs(f.ctx(), repo, f.version(repo), []oci.Digest{d})
	f.ok(err)
	return slices.Contains(gone, d)
}

func (f *fixture) swap(r oci.Repo, index string) {
	f.t.Helper()
	_, v, err := f.store.LoadIndex(f.ctx(), r, "")
	if !errors.Is(err, oci.ErrNameUnknown) {
		f.ok(err)
	}
	_, err = f.store.SwapIndex(f.ctx(), r, v, []byte(index))
	f.ok(err)
}

// TestToldIsKept: whatever tells a client that something is there keeps it from
// being collected for the delay, and no longer than twice that.
func TestToldIsKept(t *testing.T) {
	for name, tell := range map[string]func(*fixture, oci.Digest) error{
		"HEAD": func(f *fixture, d oci.Digest) error {
			_, err := f.StatBlob(f.ctx(), repo, d)
			return err
		},
		"GET": func(f *fixture, d oci.Digest) error {
			c, err := f.OpenBlob(f.ctx(), repo, d, 0, 0)
			if err == nil {
				err = c.Close()
			}
			return err
		},
		"mount": func(f *fixture, d oci.Digest) error { return f.Mount(f.ctx(), repo, "other", d) },
		"mount from itself": func(f *fixture, d oci.Digest) error {
			return f.Mount(f.ctx(), repo, repo, d)
		},
		"mount from anywhere": func(f *fixture, d oci.Digest) error { return f.Mount(f.ctx(), repo, "", d) },
		"push": func(f *fixture, d oci.Digest) error {
			return f.PushBlob(f.ctx(), repo, d, strings.NewReader("content"))
		},
		"upload": func(f *fixture, d oci.Digest) error {
			id, err := f.StartUpload(f.ctx(), repo, oci.SHA256)
			if err == nil {
				_, err = f.FinishUpload(f.ctx(), repo, id, d, 0, strings.NewReader("content"))
			}
			return err
		},
		"a manifest that lacks something else": func(f *fixture, d oci.Digest) error {
			content := image(d, oci.SHA256.FromString("missing"))
			_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "x"}, Content: content})
			if errors.Is(err, oci.ErrManifestBlobUnknown) {
				return nil
			}
			return errors.Join(errors.New("the push succeeded"), err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, c := remembering(t)
			d := oci.SHA256.FromString("content")
			f.ok(f.store.PutBlob(f.ctx(), repo, d, []byte("content")))
			f.ok(f.store.PutBlob(f.ctx(), "other", d, []byte("content")))
			f.swap(repo, `{"manifests":[]}`)
			c.advance(3*delay - time.Minute)
			f.ok(tell(f, d))
			for range 2 {
				if f.collect(d) {
					t.Fatal("it is collected though a client was told of it")
				}
				c.advance(delay)
			}
			c.advance(delay)
			if !f.collect(d) {
				t.Fatal("it is not collected")
			}
		})
	}
}

// image is a manifest of a config and a layer.
func image(config, layer oci.Digest) []byte {
	d := func(d oci.Digest) string {
		return `{"mediaType":"application/x","digest":"` + string(d) + `","size":7}`
	}
	return []byte(`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":` + d(config) + `,"layers":[` + d(layer) + `]}`)
}

// TestHeadProtects: a HEAD of an old blob that nothing names keeps it until the
// manifest comes, also when what is collected was decided before.
func TestHeadProtects(t *testing.T) {
	f, c := remembering(t)
	blobs := []oci.Digest{oci.SHA256.FromString("config"), oci.SHA256.FromString("content")}
	for i, content := range []string{"config", "content"} {
		f.ok(f.store.PutBlob(f.ctx(), repo, blobs[i], []byte(content)))
	}
	f.swap(repo, `{"manifests":[]}`)
	c.advance(10 * delay)
	v := f.version(repo)
	for _, d := range blobs {
		_, err := f.StatBlob(f.ctx(), repo, d)
		f.ok(err)
	}
	c.advance(delay / 2)
	if gone, err := f.CollectBlobs(f.ctx(), repo, v, blobs); err != nil || len(gone) > 0 {
		t.Fatalf("%v went, %v", gone, err)
	}
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: image(blobs[0], blobs[1])})
	f.ok(err)
	c.advance(10 * delay)
	if _, err := f.CollectBlobs(f.ctx(), repo, v, blobs); !errors.Is(err, oci.ErrConflict) {
		t.Fatalf("under the version from before the push: %v", err)
	}
}

// TestCollectionDuringPush: what a push has found is collected before it comes
// to write its manifest; it looks again and fails as if it had come later.
func TestCollectionDuringPush(t *testing.T) {
	f, c := remembering(t)
	config, layer := oci.SHA256.FromString("config"), oci.SHA256.FromString("content")
	f.ok(f.store.PutBlob(f.ctx(), repo, config, []byte("config")))
	f.ok(f.store.PutBlob(f.ctx(), repo, layer, []byte("content")))
	f.swap(repo, `{"manifests":[]}`)
	v := f.version(repo)
	f.store.Next("PutBlob", func() { // the manifest: what it names was found
		c.advance(10 * delay)
		if gone, err := f.CollectBlobs(context.Background(), repo, v, []oci.Digest{layer}); err != nil || len(gone) != 1 {
			t.Errorf("%v went, %v", gone, err)
		}
	})
	push := registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: image(config, layer)}
	_, err := f.PushManifest(f.ctx(), repo, push)
	f.is(err, oci.ErrManifestBlobUnknown)
	f.ok(f.PushBlob(f.ctx(), repo, layer, strings.NewReader("content")))
	_, err = f.PushManifest(f.ctx(), repo, push)
	f.ok(err)
}

// TestManifestCollectedDuringPush: the same with a child that is an entry of the
// index.
func TestManifestCollectedDuringPush(t *testing.T) {
	c := &ticker{now: time.Unix(1e9, 0)}
	f := setUp(t, registry.Options{Remember: delay, Now: c.Now, Sparse: registry.SparseNone})
	child := f.image("child")
	_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Digest: digest(child)}, Content: child})
	f.ok(err)
	v := f.version(repo)
	f.store.Next("PutBlob", func() {
		c.advance(10 * delay)
		if gone, err := f.CollectManifests(context.Background(), repo, v, []oci.Digest{digest(child)}); err != nil || len(gone) != 1 {
			t.Errorf("%v went, %v", gone, err)
		}
	})
	list := index([][]byte{child})
	_, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "list"}, Content: list})
	f.is(err, oci.ErrManifestBlobUnknown)
	_, err = f.Manifest(f.ctx(), repo, oci.Reference{Digest: digest(child)})
	f.is(err, oci.ErrManifestUnknown)
}

// TestManifestAskedForWhileCollected: who asks for a manifest that is being
// removed waits for the end of that, and is told the truth.
func TestManifestAskedForWhileCollected(t *testing.T) {
	for _, fails := range []bool{false, true} {
		f, c := remembering(t)
		content := f.image("one")
		ref := oci.Reference{Digest: digest(content)}
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: ref, Content: content})
		f.ok(err)
		c.advance(10 * delay)
		v, answered := f.version(repo), make(chan error, 1)
		if fails {
			f.store.Once("SwapIndex", 1, errors.New("the medium is broken"))
		}
		f.store.Next("SwapIndex", func() {
			asking := make(chan struct{})
			go func() {
				close(asking)
				_, err := f.Manifest(context.Background(), repo, ref)
				answered <- err
			}()
			<-asking
			select {
			case err := <-answered:
				t.Errorf("answered while it is removed: %v", err)
			case <-time.After(20 * time.Millisecond): // an answer now would be wrong, none is right
			}
		})
		gone, err := f.CollectManifests(f.ctx(), repo, v, []oci.Digest{ref.Digest})
		answer := <-answered
		switch {
		case fails && (err == nil || len(gone) > 0 || answer != nil):
			t.Errorf("%v went, %v; the answer is %v", gone, err, answer)
		case !fails && (err != nil || len(gone) != 1 || !errors.Is(answer, oci.ErrManifestUnknown)):
			t.Errorf("%v went, %v; the answer is %v", gone, err, answer)
		}
	}
}

// TestMovedTagIsKept: a manifest that loses its tag has the delay from then on.
func TestMovedTagIsKept(t *testing.T) {
	f, c := remembering(t)
	one, two := f.image("one"), f.image("two")
	push := func(content []byte) {
		t.Helper()
		_, err := f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: content})
		f.ok(err)
	}
	collect := func(content []byte) int {
		t.Helper()
		gone, err := f.CollectManifests(f.ctx(), repo, f.version(repo), []oci.Digest{digest(content)})
		f.ok(err)
		return len(gone)
	}
	push(one)
	c.advance(10 * delay)
	push(two)
	if collect(one) != 0 {
		t.Error("collected right after its tag was moved")
	}
	c.advance(2 * delay)
	if collect(one) != 1 {
		t.Error("not collected")
	}
	c.advance(10 * delay)
	f.ok(f.DeleteManifest(f.ctx(), repo, oci.Reference{Tag: "v1"}))
	if collect(two) != 0 {
		t.Error("collected right after its tag was deleted")
	}
}

// TestUploadInUse: a session that is written to, or was lately, stays.
func TestUploadInUse(t *testing.T) {
	f, c := remembering(t)
	id, err := f.StartUpload(f.ctx(), repo, oci.SHA256)
	f.ok(err)
	c.advance(10 * delay)
	reader := &stopping{reading: make(chan struct{}), resume: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := f.AppendUpload(context.Background(), repo, id, 0, reader)
		done <- err
	}()
	<-reader.reading
	c.advance(10 * delay)
	if ended, err := f.CollectUpload(f.ctx(), repo, id); ended || err != nil {
		t.Errorf("ended while it is written to: %v, %v", ended, err)
	}
	close(reader.resume)
	f.ok(<-done)
	if ended, err := f.CollectUpload(f.ctx(), repo, id); ended || err != nil {
		t.Errorf("ended right after: %v, %v", ended, err)
	}
	c.advance(10 * delay)
	if ended, err := f.CollectUpload(f.ctx(), repo, id); !ended || err != nil {
		t.Errorf("%v, %v", ended, err)
	}
}

// stopping is a body that comes when it may.
type stopping struct{ reading, resume chan struct{} }

func (s *stopping) Read([]byte) (int, error) {
	close(s.reading)
	<-s.resume
	return 0, io.EOF
}

// TestCollectRepo: a repository that holds nothing goes, and what comes at the
// same time makes it anew.
func TestCollectRepo(t *testing.T) {
	f, _ := remembering(t)
	f.swap(repo, `{"manifests":[]}`)
	old := f.version(repo)
	f.swap(repo, `{"manifests":[],"annotations":{}}`)
	f.is(f.CollectRepo(f.ctx(), repo, old), oci.ErrConflict)
	f.ok(f.CollectRepo(f.ctx(), repo, f.version(repo)))
	_, _, err := f.Tags(f.ctx(), repo, registry.Page{N: -1})
	f.is(err, oci.ErrNameUnknown)
	content := f.image("one")
	_, err = f.PushManifest(f.ctx(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: "v1"}, Content: content})
	f.ok(err)
	f.is(f.CollectRepo(f.ctx(), repo, f.version(repo)), oci.ErrConflict)
}

// TestManyAreTold: so many that the filters fill up; what was told is never
// forgotten, and the log says that less is collected.
func TestManyAreTold(t *testing.T) {
	f, c := remembering(t)
	const many = 200_000
	names := make([]oci.Digest, many)
	for i := range names {
		names[i] = oci.Digest(fmt.Sprintf("sha256:%064x", i))
		_, _ = f.StatBlob(f.ctx(), repo, names[i])
	}
	for i := 0; i < many; i += 7 {
		if !f.Told(repo, string(names[i])) {
			t.Fatal("what was told is forgotten")
		}
	}
	c.advance(delay)
	f.Told(repo, "x")
	if !strings.Contains(f.log.String(), "more blobs than can be remembered") {
		t.Errorf("nothing is logged: %s", f.log)
	}
	c.advance(10 * delay)
	if f.Told(repo, string(names[0])) {
		t.Error("it is remembered for too long")
	}
}

func BenchmarkTold(b *testing.B) {
	for name, remember := range map[string]time.Duration{"off": 0, "on": delay} {
		b.Run(name, func(b *testing.B) {
			f := setUp(b, registry.Options{Remember: remember})
			d := oci.SHA256.FromString("content")
			f.ok(f.PushBlob(f.ctx(), repo, d, strings.NewReader("content")))
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					_, _ = f.StatBlob(f.ctx(), repo, d)
				}
			})
		})
	}
}
