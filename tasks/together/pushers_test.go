package together_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
	"berth/oci/registry"
)

const (
	pushers      = 12
	tagsPerOwner = 1
	acts         = 30
)

// pusher is a client who alone pushes and deletes some tags of a repository
// that it shares with others.
type pusher struct {
	*fleet
	rng  *rand.Rand
	repo oci.Repo
	tags []*owned
	told time.Time // when it was first told of a manifest of the index that it pushes; zero: none
}

// owned is a tag as its owner knows it.
type owned struct {
	tag oci.Tag
	// may is what the tag may name: what was acknowledged last, or tried since.
	// "" stands for nothing.
	may []oci.Digest
	// tried numbers what was tried, and done is the number of what was
	// acknowledged last: nobody may read less from then on.
	tried int64
	done  atomic.Int64
}

// work has all clients act, with readers beside them.
func (f *fleet) work(seed uint64) {
	var clients, readers sync.WaitGroup
	over := make(chan struct{})
	var all []*pusher
	for i := range pushers {
		p := &pusher{fleet: f, rng: rand.New(rand.NewPCG(seed, uint64(i)+10)), repo: []oci.Repo{"one", "two/three"}[i%2]}
		for n := range tagsPerOwner {
			p.tags = append(p.tags, &owned{tag: oci.Tag(fmt.Sprintf("c%d-%d", i, n)), may: []oci.Digest{""}})
		}
		all = append(all, p)
	}
	for _, p := range all {
		clients.Go(func() {
			for range acts {
				if f.t.Failed() {
					return
				}
				p.act()
				time.Sleep(p.upTo(20 * time.Minute))
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				p := all[f.below(len(all))]
				p.glance(p.tags[f.below(tagsPerOwner)])
				time.Sleep(p.upTo(time.Minute))
			}
		})
	}
	clients.Wait()
	close(over)
	readers.Wait()
}

func (p *pusher) act() {
	o := p.tags[p.rng.IntN(len(p.tags))]
	o.tried++
	switch p.rng.IntN(8) {
	case 0, 1, 2:
		p.untag(o)
		// Its layers become garbage, and may go as the next push comes.
		if p.one(2) {
			p.lurk(3 * delay)
		}
	case 3:
		p.prune()
	default:
		p.push(o)
	}
	for _, o := range p.tags {
		p.check(o)
	}
}

// untag deletes a tag, or the manifest that it names.
func (p *pusher) untag(o *owned) {
	ref := oci.Reference{Tag: o.tag}
	if p.rng.IntN(2) == 0 && len(o.may) == 1 && o.may[0] != "" {
		ref = oci.Reference{Digest: o.may[0]}
	}
	o.may = append(o.may, "")
	err := p.try("delete", func(ctx context.Context, reg *registry.Registry) error { return reg.DeleteManifest(ctx, p.repo, ref) })
	if err != nil && !errors.Is(err, oci.ErrManifestUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
		p.t.Errorf("delete %s: %v", o.tag, err)
		return
	}
	o.may = []oci.Digest{""}
	o.done.Store(o.tried)
}

// prune deletes a blob that only this client's images have.
func (p *pusher) prune() {
	d := oci.SHA256.FromBytes(p.own(p.rng.IntN(3)))
	for _, o := range p.tags {
		if len(o.may) > 1 || o.may[0] != "" {
			return // something may need it
		}
	}
	err := p.try("delete a blob", func(ctx context.Context, reg *registry.Registry) error { return reg.DeleteBlob(ctx, p.repo, d) })
	if err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
		p.t.Errorf("delete a blob: %v", err)
	}
}

// own is a layer that no other client has.
func (p *pusher) own(n int) []byte { return []byte(fmt.Sprintf("own %s %d", p.tags[0].tag, n)) }

// push pushes an image, or an index of two, by whichever processes answer; it
// begins again where something that it was told of has gone.
func (p *pusher) push(o *owned) {
	name := fmt.Sprintf("%s %d", o.tag, o.tried)
	for range 200 {
		p.told = time.Time{}
		content, err := p.image(name, o.tried)
		if err == nil && p.rng.IntN(4) == 0 {
			content, err = p.index(content, o.tried)
		}
		if err == nil {
			o.may = append(o.may, oci.SHA256.FromBytes(content))
			err = p.manifest(oci.Reference{Tag: o.tag}, content)
		}
		switch {
		case err == nil && p.tooLate():
			p.repeated.Add(1)
		case err == nil:
			o.may = []oci.Digest{oci.SHA256.FromBytes(content)}
			o.done.Store(o.tried)
			return
		case isGone(err):
			p.repeated.Add(1)
		case isTrouble(err) && !p.t.Failed():
		default:
			p.t.Errorf("push %s: %v", name, err)
			return
		}
	}
	p.t.Errorf("push %s: it never succeeds", name)
}

// tooLate tells whether an index was pushed so long after its manifests that they
// may have gone, and so that nobody need have noticed.
func (p *pusher) tooLate() bool {
	return p.sparse != registry.SparseNone && !p.told.IsZero() && time.Since(p.told) > delay*7/10
}

func (p *pusher) manifest(ref oci.Reference, content []byte) error {
	return p.try("push a manifest", func(ctx context.Context, reg *registry.Registry) error {
		_, err := reg.PushManifest(ctx, p.repo, registry.ManifestPush{Ref: ref, Content: content})
		return err
	})
}

const layers = 30

func sharedLayer(n int) []byte { return []byte(fmt.Sprintf("shared %d", n)) }

// pick is a layer: one that is being deleted, or may be at this moment, where
// there is one.
func (p *pusher) pick() []byte {
	n := p.rng.IntN(layers)
	if p.rng.IntN(4) == 0 {
		return sharedLayer(n)
	}
	index, needed := p.state(p.repo)
	var garbage []byte
	for i := range layers {
		content := sharedLayer((n + i) % layers)
		d := oci.SHA256.FromBytes(content)
		if index.IsCondemned(d) {
			return content
		}
		if _, err := p.memory.StatBlob(context.Background(), p.repo, d); err == nil && !needed[d] {
			garbage = content
		}
	}
	if garbage != nil {
		return garbage
	}
	return sharedLayer(n)
}

// image delivers the blobs of an image, and returns its manifest.
func (p *pusher) image(name string, n int64) ([]byte, error) {
	var described []string
	for i := range 1 + p.rng.IntN(3) {
		content := p.own(p.rng.IntN(3))
		if i > 0 {
			content = p.pick()
		}
		d := oci.SHA256.FromBytes(content)
		if err := p.deliver(d, content); err != nil {
			return nil, err
		}
		described = append(described, fmt.Sprintf(`{"mediaType":"application/x","digest":%q,"size":%d}`, d, len(content)))
	}
	p.think()
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"annotations":{"n":"%d","name":%q}}`,
		oci.MediaTypeManifest, described[0], strings.Join(described[1:], ","), n, name)), nil
}

// think is what passes between the blobs and their manifest: most often little,
// at times so much that they may be gone, at times until it is the worst moment.
func (p *pusher) think() {
	switch n := p.rng.IntN(20); {
	case n < 8:
	case n < 15:
		p.lurk(2 * delay)
	case n < 19:
		time.Sleep(p.upTo(delay / 2))
	default:
		time.Sleep(p.upTo(3 * delay))
	}
	time.Sleep(p.upTo(3 * time.Second))
}

// index pushes an image and another one, and returns an index of both.
func (p *pusher) index(content []byte, n int64) ([]byte, error) {
	other, err := p.image("child "+string(p.tags[0].tag), 0)
	if err != nil {
		return nil, err
	}
	p.told = time.Now()
	var described []string
	for _, child := range [][]byte{content, other} {
		d := oci.SHA256.FromBytes(child)
		if err := p.manifest(oci.Reference{Digest: d}, child); err != nil {
			return nil, err
		}
		described = append(described, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, oci.MediaTypeManifest, d, len(child)))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"annotations":{"n":"%d"}}`,
		oci.MediaTypeIndex, strings.Join(described, ","), n)), nil
}

// deliver makes a blob appear, and sends nothing that a process says is there.
func (p *pusher) deliver(d oci.Digest, content []byte) error {
	way := max(0, p.rng.IntN(7)-3)
	return p.try("send a blob", func(ctx context.Context, reg *registry.Registry) error {
		switch way {
		case 0:
			if _, err := reg.StatBlob(ctx, p.repo, d); !errors.Is(err, oci.ErrBlobUnknown) {
				return err
			}
		case 1:
			if err := reg.Mount(ctx, p.repo, "", d); !errors.Is(err, oci.ErrBlobUnknown) {
				return err
			}
		case 2:
			id, err := reg.StartUpload(ctx, p.repo, oci.SHA256)
			if err == nil {
				_, err = reg.AppendUpload(ctx, p.repo, id, 0, bytes.NewReader(content[:3]))
			}
			if err == nil {
				_, err = reg.FinishUpload(ctx, p.repo, id, d, 3, bytes.NewReader(content[3:]))
			}
			return err
		}
		return reg.PushBlob(ctx, p.repo, d, bytes.NewReader(content))
	})
}

// read is a manifest as some process tells it; nil where there is none.
func (p *pusher) read(ref oci.Reference) (content []byte) {
	err := p.try("pull a manifest", func(ctx context.Context, reg *registry.Registry) error {
		m, err := reg.Manifest(ctx, p.repo, ref)
		content = m.Content
		return err
	})
	if err != nil && !errors.Is(err, oci.ErrManifestUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
		p.t.Errorf("pull %s: %v", ref, err)
	}
	return content
}

// check pulls whole what the owner's tag names, which has to be what he expects.
func (p *pusher) check(o *owned) {
	content := p.read(oci.Reference{Tag: o.tag})
	var d oci.Digest
	if content != nil {
		d = oci.SHA256.FromBytes(content)
	}
	if !slices.Contains(o.may, d) {
		p.t.Errorf("%s of %s is %q, not one of %q", o.tag, p.repo, d, o.may)
		return
	}
	o.may = []oci.Digest{d}
	if content != nil {
		p.pull(o, content)
	}
}

// pull pulls what a manifest names.
func (p *pusher) pull(o *owned, content []byte) {
	err := oci.References(content, func(d oci.Descriptor, child bool) {
		if child {
			if inner := p.read(oci.Reference{Digest: d.Digest}); inner != nil {
				p.pull(o, inner)
			} else {
				p.t.Errorf("%s of %s lacks its child %s", o.tag, p.repo, d.Digest)
			}
			return
		}
		err := p.try("pull a blob", func(ctx context.Context, reg *registry.Registry) error {
			c, err := reg.OpenBlob(ctx, p.repo, d.Digest, 0, 0)
			if err != nil {
				return err
			}
			defer c.Close()
			data, err := io.ReadAll(c)
			if err == nil && oci.SHA256.FromBytes(data) != d.Digest {
				err = errors.New("it has other content")
			}
			return err
		})
		if err != nil {
			p.t.Errorf("%s of %s: %s: %v", o.tag, p.repo, d.Digest, err)
		}
	})
	if err != nil {
		p.t.Errorf("%s of %s: %v", o.tag, p.repo, err)
	}
}

// glance looks, as anybody may, that a tag has not gone back.
func (p *pusher) glance(o *owned) {
	least := o.done.Load()
	m, err := p.any().reg.Manifest(context.Background(), p.repo, oci.Reference{Tag: o.tag})
	if err != nil {
		return // deleted, or trouble
	}
	var read struct {
		Annotations struct {
			N int64 `json:",string"`
		}
	}
	if err := json.Unmarshal(m.Content, &read); err != nil {
		p.t.Errorf("%s: %v", m.Content, err)
	}
	if read.Annotations.N < least {
		p.t.Errorf("%s of %s has gone back to %d, and was %d", o.tag, p.repo, read.Annotations.N, least)
	}
}

// settle waits until nothing is left but what the tags need.
func (f *fleet) settle() {
	f.t.Helper()
	var err error
	for range 100 {
		if err = f.exactly(); err == nil || f.t.Failed() {
			return
		}
		time.Sleep(delay / 4)
	}
	f.t.Errorf("not yet: nothing but what tags need is left: %v", err)
}

// exactly tells whether the store holds what its tags need, and no more.
func (f *fleet) exactly() error {
	for _, repo := range []oci.Repo{"one", "two/three"} {
		index, needed := f.state(repo)
		err := f.memory.WalkBlobs(context.Background(), repo, func(d oci.Digest, _ oci.BlobInfo) error {
			if !needed[d] {
				return fmt.Errorf("%s still holds %s", repo, d)
			}
			delete(needed, d)
			return nil
		})
		if errors.Is(err, oci.ErrNameUnknown) {
			continue
		}
		if err != nil {
			return err
		}
		for d := range needed {
			f.t.Errorf("%s lacks %s", repo, d)
		}
		if len(index.Condemned()) > 0 {
			return fmt.Errorf("%s announces %v", repo, index.Condemned())
		}
	}
	return nil
}

// state is the present index of a repository, and what its tags need.
func (f *fleet) state(repo oci.Repo) (*oci.Index, map[oci.Digest]bool) {
	index := oci.NewIndex()
	data, _, err := f.memory.LoadIndex(context.Background(), repo, "")
	if err == nil {
		index, err = oci.ParseIndex(data)
	}
	if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
		f.t.Errorf("the index of %s: %v", repo, err)
		return oci.NewIndex(), nil
	}
	return index, neededBy(index, func(d oci.Digest) []byte {
		c, err := f.memory.OpenBlob(context.Background(), repo, d, 0)
		if err != nil {
			return nil // it is missed by whoever looks for it
		}
		content, _ := io.ReadAll(c)
		return content
	})
}

// neededBy is what the tags of an index need.
func neededBy(index *oci.Index, read func(oci.Digest) []byte) map[oci.Digest]bool {
	needed := map[oci.Digest]bool{}
	var add func(oci.Digest)
	add = func(d oci.Digest) {
		needed[d] = true
		_ = oci.References(read(d), func(n oci.Descriptor, child bool) {
			needed[n.Digest] = true
			if child {
				add(n.Digest)
			}
		})
	}
	for e := range index.Entries {
		if e.Tag != "" {
			add(e.Digest)
		}
	}
	return needed
}
