package gc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/fsstore"
	"berth/oci"
	"berth/oci/ocitest"
	"berth/oci/registry"
	"berth/tasks/gc"
)

// racing is time that goes by fast, but stands while a client is between its
// first look and its manifest.
type racing struct {
	stands sync.RWMutex // held shared by clients
	ahead  atomic.Int64 // of the real time, nanoseconds
}

func (r *racing) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func (r *racing) leap() {
	r.stands.Lock()
	defer r.stands.Unlock()
	r.ahead.Add(int64(delay / 3))
}

// TestNothingBreaks: clients push, mount, move tags and delete, as garbage is
// collected without a pause. What was acknowledged and not deleted can be pulled
// whole at any time, and what a client was told is true until its manifest is
// there.
func TestNothingBreaks(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *racing) oci.Store{
		"memory": func(_ *testing.T, r *racing) oci.Store {
			m := ocitest.NewMemory()
			m.Now = r.now
			return m
		},
		// The files' times are real, so that all looks old at once: only what
		// clients were told protects anything.
		"files": func(t *testing.T, _ *racing) oci.Store {
			s, err := fsstore.Open(fsstore.Options{Root: t.TempDir(), MinFree: 1, Dedupe: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &racing{}
			store := open(t, clock)
			reg := registry.New(store, registry.Options{Remember: delay, Now: clock.now, Sparse: registry.SparseNone})
			collector := gc.New(gc.Options{Registry: reg, Store: store, Delay: delay, Now: clock.now})
			clock.ahead.Add(int64(10 * delay))
			unneeded := []byte("nobody needs it")
			if err := reg.PushBlob(t.Context(), "one", digest(unneeded), bytes.NewReader(unneeded)); err != nil {
				t.Fatal(err)
			}
			var clients, others sync.WaitGroup
			over := make(chan struct{})
			for i := range 6 {
				clients.Go(func() { newClient(t, reg, clock, i).run(60) })
			}
			collected := int64(0)
			collect := func() {
				report, err := collector.Run(context.Background(), nil, gc.Request{})
				if err != nil {
					t.Errorf("collect: %v", err)
				}
				collected += report.Items()
			}
			others.Go(func() {
				for {
					collect()
					select {
					case <-over:
						return
					default:
					}
				}
			})
			others.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Millisecond):
						clock.leap()
					}
				}
			})
			clients.Wait()
			close(over)
			others.Wait()
			clock.ahead.Add(int64(10 * delay)) // for where the clients were faster
			collect()
			if collected == 0 {
				t.Error("nothing was collected")
			}
		})
	}
}

// client owns some tags, and shares layers with others.
type client struct {
	t     *testing.T
	reg   *registry.Registry
	clock *racing
	n     int
	rng   *rand.Rand
	holds map[oci.Tag]pushed // acknowledged, and not deleted
}

type pushed struct {
	repo   oci.Repo
	digest oci.Digest
}

func newClient(t *testing.T, reg *registry.Registry, clock *racing, n int) *client {
	return &client{t: t, reg: reg, clock: clock, n: n, rng: rand.New(rand.NewPCG(uint64(n), 1)), holds: map[oci.Tag]pushed{}}
}

func (c *client) run(steps int) {
	for range steps {
		if c.t.Failed() {
			return
		}
		tag := oci.Tag(fmt.Sprintf("c%d-%d", c.n, c.rng.IntN(3)))
		if c.rng.IntN(3) == 0 {
			c.delete(tag)
		} else {
			c.push(tag)
		}
		c.check()
	}
}

func (c *client) failed(doing string, err error) {
	if err != nil {
		c.t.Errorf("client %d: %s: %v", c.n, doing, err)
	}
}

// push pushes an image, or an index of two, and sends nothing that it is told
// is there.
func (c *client) push(tag oci.Tag) {
	c.clock.stands.RLock()
	defer c.clock.stands.RUnlock()
	repo := []oci.Repo{"one", "two/three"}[c.rng.IntN(2)]
	if old, ok := c.holds[tag]; ok {
		repo = old.repo
	}
	content := c.image(repo)
	if c.rng.IntN(3) == 0 {
		other := c.image(repo)
		for _, child := range [][]byte{content, other} {
			ref := oci.Reference{Digest: digest(child)}
			if _, err := c.reg.Manifest(context.Background(), repo, ref); errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown) {
				_, err = c.reg.PushManifest(context.Background(), repo, registry.ManifestPush{Ref: ref, Content: child})
				c.failed("push a child", err)
			} else {
				c.failed("look for a child", err)
			}
		}
		content = index(content, other)
	}
	_, err := c.reg.PushManifest(context.Background(), repo, registry.ManifestPush{Ref: oci.Reference{Tag: tag}, Content: content})
	c.failed("push", err)
	if err == nil {
		c.holds[tag] = pushed{repo, digest(content)}
	}
}

// image makes sure that an image's blobs are there.
func (c *client) image(repo oci.Repo) []byte {
	name := fmt.Sprint("shared ", c.rng.IntN(8))
	for _, kind := range []string{"config ", "layer "} {
		content := kind + name
		d := digest([]byte(content))
		_, err := c.reg.StatBlob(context.Background(), repo, d)
		if errors.Is(err, oci.ErrBlobUnknown) && c.rng.IntN(2) == 0 {
			err = c.reg.Mount(context.Background(), repo, "", d)
		}
		if errors.Is(err, oci.ErrBlobUnknown) {
			err = c.reg.PushBlob(context.Background(), repo, d, strings.NewReader(content))
		}
		c.failed("send a blob", err)
	}
	return manifest(name)
}

// delete deletes a tag; the manifest may be somebody else's too.
func (c *client) delete(tag oci.Tag) {
	old, ok := c.holds[tag]
	if !ok {
		return
	}
	delete(c.holds, tag)
	c.failed("delete", c.reg.DeleteManifest(context.Background(), old.repo, oci.Reference{Tag: tag}))
}

// check pulls whole what the client has pushed.
func (c *client) check() {
	for tag, p := range c.holds {
		m, err := c.reg.Manifest(context.Background(), p.repo, oci.Reference{Tag: tag})
		if err == nil && m.Digest != p.digest {
			err = fmt.Errorf("it is %s, not %s", m.Digest, p.digest)
		}
		c.failed("pull "+string(tag), err)
		if err == nil {
			c.pull(p.repo, m.Content)
		}
	}
}

func (c *client) pull(repo oci.Repo, content []byte) {
	var all []oci.Descriptor
	c.failed("read", oci.References(content, func(d oci.Descriptor, _ bool) { all = append(all, d) }))
	for _, d := range all {
		if oci.IsManifestType(d.MediaType) {
			m, err := c.reg.Manifest(context.Background(), repo, oci.Reference{Digest: d.Digest})
			if c.failed("pull a child", err); err == nil {
				c.pull(repo, m.Content)
			}
			continue
		}
		blob, err := c.reg.OpenBlob(context.Background(), repo, d.Digest, 0, 0)
		if c.failed("pull a blob", err); err == nil {
			_ = blob.Close()
		}
	}
}
