package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"berth/oci"
)

// Referrers is the answer to a referrers query.
type Referrers struct {
	Content []byte     // an image index, JSON
	Next    oci.Digest // pass it as last for the rest; "" where this is all
}

// referrer is what the list says of one manifest.
type referrer struct {
	subject      oci.Digest
	artifactType string
	raw          []byte // its descriptor, JSON
}

const (
	// referrersSize is about how large an answer gets, in bytes: what a
	// manifest may have everywhere.
	referrersSize = 4 << 20
	referrersHead = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[`
	referrersTail = `]}`
)

// Referrers lists the manifests whose subject is d (end-12), filtered by
// artifact type unless that is "", after the referrer named last, as one image
// index of at most about 4 MiB. A repository that does not exist has none.
func (r *Registry) Referrers(ctx context.Context, repo oci.Repo, d oci.Digest, artifactType string, last oci.Digest) (Referrers, error) {
	found, err := r.referrersOf(ctx, repo, d)
	if err != nil {
		return Referrers{}, err
	}
	list := Referrers{Content: []byte(referrersHead)}
	var listed oci.Digest
	for _, f := range found {
		if f.Digest <= last {
			continue
		}
		ref, err := r.referrer(ctx, blobKey{repo, f.Digest}, f.MediaType)
		if err != nil {
			return Referrers{}, err
		}
		if ref == nil || ref.subject != d || artifactType != "" && ref.artifactType != artifactType {
			continue
		}
		if listed != "" {
			if len(list.Content)+len(ref.raw) > referrersSize {
				list.Next = listed
				break
			}
			list.Content = append(list.Content, ',')
		}
		list.Content = append(list.Content, ref.raw...)
		listed = f.Digest
	}
	list.Content = append(list.Content, referrersTail...)
	return list, nil
}

// referrersOf finds the manifests that have, or seem to have, a subject: each
// once, in the order of their digests.
func (r *Registry) referrersOf(ctx context.Context, repo oci.Repo, subject oci.Digest) ([]oci.Descriptor, error) {
	s, err := r.load(ctx, repo)
	if errors.Is(err, oci.ErrNameUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []oci.Descriptor
	for _, e := range s.index.Referrers(subject) {
		if n := len(found); n == 0 || found[n-1].Digest != e.Digest {
			found = append(found, oci.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
		}
	}
	if s.index.Unvetted() == 0 {
		return found, nil
	}
	g, err := r.graph(ctx, repo, s)
	if err != nil {
		return nil, err
	}
	for _, d := range g.referrers[subject] {
		found = append(found, oci.Descriptor{MediaType: g.facts[d].mediaType, Digest: d})
	}
	byDigest := func(a, b oci.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) }
	slices.SortStableFunc(found, byDigest)
	return slices.CompactFunc(found, func(a, b oci.Descriptor) bool { return a.Digest == b.Digest }), nil
}

// referrer describes a manifest, from memory or from its content; nil where it
// is not here or is no manifest.
func (r *Registry) referrer(ctx context.Context, key blobKey, mediaType string) (*referrer, error) {
	if ref, ok := r.referrers.get(key); ok {
		return ref, nil
	}
	content, err := r.read(ctx, key)
	if isUnknownManifest(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := oci.InspectManifest(content, mediaType)
	if err != nil {
		return nil, nil
	}
	ref := &referrer{
		subject:      m.Subject,
		artifactType: m.ReferrerType(),
		raw:          m.Referrer(key.digest, int64(len(content))),
	}
	key = key.owned()
	r.referrers.put(key, ref, int64(len(ref.raw)+len(key.repo)+2*len(key.digest))+200)
	return ref, nil
}
