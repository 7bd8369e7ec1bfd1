package registry

import (
	"context"
	"maps"
	"slices"

	"berth/oci"
)

// graph is what can be reached from the entries of an index that somebody else
// made: children of image indexes, and referrers. A manifest that was pushed
// has an entry of its own, which tells its subject, and is not looked at.
type graph struct {
	facts map[oci.Digest]*fact
	// reached holds what an image index names, here or not, by its descriptor.
	reached map[oci.Digest]oci.Descriptor
	// referrers are sorted by digest.
	referrers map[oci.Digest][]oci.Digest
}

// fact is what never changes of a manifest: it follows from its digest.
type fact struct {
	mediaType string
	subject   oci.Digest
	children  []oci.Descriptor // that are manifests by their media type
}

const (
	maxDepth   = 16    // of image indexes in image indexes
	maxReached = 50000 // manifests looked at in one repository
)

func (g *graph) footprint() int64 {
	return int64(len(g.facts)+len(g.reached)) * 400
}

// without returns facts without one, and leaves the map that it was given.
func without(facts map[oci.Digest]*fact, d oci.Digest) map[oci.Digest]*fact {
	if _, ok := facts[d]; !ok {
		return facts
	}
	facts = maps.Clone(facts)
	delete(facts, d)
	return facts
}

// graph returns a state's graph, and makes it the first time.
func (r *Registry) graph(ctx context.Context, repo oci.Repo, s *state) (*graph, error) {
	if g := s.graph.Load(); g != nil {
		return g, nil
	}
	s.building.Lock()
	defer s.building.Unlock()
	if g := s.graph.Load(); g != nil {
		return g, nil
	}
	b := graphBuilder{registry: r, repo: repo, past: s.past, graph: &graph{
		facts:     map[oci.Digest]*fact{},
		reached:   map[oci.Digest]oci.Descriptor{},
		referrers: map[oci.Digest][]oci.Digest{},
	}}
	if err := b.build(ctx, s.index); err != nil {
		return nil, err
	}
	s.graph.Store(b.graph)
	r.states.replace(repo, s, s, s.footprint())
	return b.graph, nil
}

type graphBuilder struct {
	*graph
	registry *Registry
	repo     oci.Repo
	past     map[oci.Digest]*fact
}

func (b *graphBuilder) build(ctx context.Context, index *oci.Index) error {
	var level []oci.Descriptor
	for e := range index.Entries {
		if !e.Vetted {
			level = append(level, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
		}
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth || len(b.facts) > maxReached {
			b.registry.opts.Log.Warn("image indexes of a repository are nested too deep or name too much; not all is served", "repository", b.repo)
			break
		}
		var next []oci.Descriptor
		for _, d := range level {
			children, err := b.visit(ctx, d)
			if err != nil {
				return err
			}
			next = append(next, children...)
		}
		level = next
	}
	for _, list := range b.referrers {
		slices.Sort(list)
	}
	return nil
}

// visit learns of a manifest and returns the children that are new.
func (b *graphBuilder) visit(ctx context.Context, d oci.Descriptor) ([]oci.Descriptor, error) {
	if b.facts[d.Digest] != nil {
		return nil, nil
	}
	f := b.past[d.Digest]
	if f == nil {
		var err error
		if f, err = b.learn(ctx, d); err != nil || f == nil {
			return nil, err
		}
	}
	b.facts[d.Digest] = f
	if f.subject != "" {
		b.referrers[f.subject] = append(b.referrers[f.subject], d.Digest)
	}
	var fresh []oci.Descriptor
	for _, child := range f.children {
		if _, ok := b.reached[child.Digest]; !ok && len(b.reached) < maxReached {
			b.reached[child.Digest] = child
			fresh = append(fresh, child)
		}
	}
	return fresh, nil
}

// learn reads a manifest; nil when it is not here or is none. It asks the
// store: what is in memory may have been deleted just now.
func (b *graphBuilder) learn(ctx context.Context, d oci.Descriptor) (*fact, error) {
	content, err := b.registry.read(ctx, blobKey{b.repo, d.Digest})
	if err != nil {
		if isUnknownManifest(err) {
			return nil, nil
		}
		return nil, err
	}
	m, err := oci.InspectManifest(content, d.MediaType)
	if err != nil {
		return nil, nil // kept, not served
	}
	f := &fact{mediaType: m.MediaType, subject: m.Subject}
	for _, child := range m.Manifests {
		if _, err := oci.ParseDigest(string(child.Digest)); err == nil && (child.MediaType == "" || oci.IsManifestType(child.MediaType)) {
			f.children = append(f.children, child)
		}
	}
	return f, nil
}
