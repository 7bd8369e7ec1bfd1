package registry

import (
	"context"
	"errors"
	"slices"

	"berth/oci"
)

// ManifestPush is one push of a manifest (end-7a, end-7b).
type ManifestPush struct {
	Ref       oci.Reference
	Tags      []oci.Tag // of the tag parameters; only where Ref is a digest
	MediaType string    // of the Content-Type header, without parameters; "" where there is none
	Content   []byte    // kept by the registry
	// IfMatch and IfNoneMatch make the push conditional on the digest that
	// Ref stands for now, "" where it stands for nothing. nil: unconditional.
	// "*" matches any digest.
	IfMatch, IfNoneMatch []string
}

// Pushed is what a push stored.
type Pushed struct {
	Digest  oci.Digest
	Subject oci.Digest // "" where the manifest has none
	Tags    []oci.Tag  // of the tag parameters, those that were accepted: all
}

// PushManifest stores a manifest in its exact bytes and points tags at it.
// Errors: ErrManifestInvalid, ErrManifestBlobUnknown, ErrDigestInvalid,
// ErrMediaType, ErrTooLarge, ErrPrecondition.
func (r *Registry) PushManifest(ctx context.Context, repo oci.Repo, push ManifestPush) (Pushed, error) {
	d, err := r.checkContent(push)
	if err != nil {
		return Pushed{}, err
	}
	m, err := oci.ParseManifest(push.Content, push.MediaType, r.opts.Docker2S2)
	if err != nil {
		return Pushed{}, err
	}
	defer r.wrote()
	for tries := 0; ; tries++ {
		err := r.tryPush(ctx, repo, d, m, push)
		switch {
		case err == nil:
			return Pushed{Digest: d, Subject: m.Subject, Tags: push.Tags}, nil
		case !errors.Is(err, errCollected):
			return Pushed{}, err
		case tries == maxConflicts:
			return Pushed{}, oci.Errorf(oci.ErrUnavailable, "repository %s: garbage is collected there; try again", repo)
		}
	}
}

// tryPush checks what a manifest names, and stores it. It fails with
// errCollected where what it found may be gone since.
func (r *Registry) tryPush(ctx context.Context, repo oci.Repo, d oci.Digest, m *oci.Manifest, push ManifestPush) error {
	collected := r.collections.of(repo).Load()
	s, err := r.loadOrNew(ctx, repo)
	if err == nil {
		s, err = r.unannounced(ctx, repo, s, append(needed(m), d))
	}
	if err != nil {
		return err
	}
	if err := push.allowed(s.index); err != nil {
		return err
	}
	kept, err := r.checkReferences(ctx, repo, s, m)
	if err != nil {
		return err
	}
	unchanged := func(index *oci.Index) bool {
		return index.Epoch() == s.index.Epoch() && r.collections.of(repo).Load() == collected
	}
	return r.record(ctx, repo, d, m, push, kept, unchanged)
}

// checkContent holds a push to the limit and to its digest, which it returns.
func (r *Registry) checkContent(push ManifestPush) (oci.Digest, error) {
	if size := int64(len(push.Content)); size > r.opts.MaxManifestSize {
		return "", oci.Errorf(oci.ErrTooLarge, "the manifest has %d bytes, at most %d are accepted", size, r.opts.MaxManifestSize)
	}
	if push.Ref.Digest == "" {
		return oci.SHA256.FromBytes(push.Content), nil
	}
	a, err := oci.ParseAlgorithm(string(push.Ref.Digest.Algorithm()))
	if err != nil {
		return "", err
	}
	if d := a.FromBytes(push.Content); d != push.Ref.Digest {
		return "", oci.Errorf(oci.ErrDigestInvalid, "the manifest is %s, not %s", d, push.Ref.Digest)
	}
	return push.Ref.Digest, nil
}

// allowed evaluates the push's conditions.
func (push *ManifestPush) allowed(index *oci.Index) error {
	var now oci.Digest
	if e := find(index, push.Ref); e != nil {
		now = e.Digest
	}
	if push.IfMatch != nil && !matches(push.IfMatch, now) {
		return oci.Errorf(oci.ErrPrecondition, "If-Match: %s is %s now", push.Ref, orNothing(now))
	}
	if matches(push.IfNoneMatch, now) {
		return oci.Errorf(oci.ErrPrecondition, "If-None-Match: %s is %s now", push.Ref, now)
	}
	return nil
}

func matches(tags []string, d oci.Digest) bool {
	return d != "" && (slices.Contains(tags, "*") || slices.Contains(tags, string(d)))
}

func orNothing(d oci.Digest) string {
	if d == "" {
		return "nothing"
	}
	return string(d)
}

// record writes a checked manifest and puts it into the index. kept are
// manifests that get entries of their own with it. unchanged tells of the index
// that it is put into whether what was found when it was checked is there still.
func (r *Registry) record(ctx context.Context, repo oci.Repo, d oci.Digest, m *oci.Manifest, push ManifestPush, kept []oci.Descriptor, unchanged func(*oci.Index) bool) error {
	key := blobKey{repo, d}.owned()
	r.told.remember(repo, string(d))
	ticket := r.tickets.hold(key)
	if err := r.store.PutBlob(ctx, key.repo, d, push.Content); err != nil {
		r.tickets.release(key)
		return err
	}
	tags := push.Tags
	if push.Ref.Tag != "" {
		tags = []oci.Tag{push.Ref.Tag}
	}
	descriptor := oci.Descriptor{
		MediaType: m.MediaType, Digest: d, Size: int64(len(push.Content)), ArtifactType: m.ArtifactType,
	}
	err := r.edit(ctx, key.repo, &edit{
		apply: func(index *oci.Index) (*oci.Index, error) {
			if !unchanged(index) {
				return nil, errCollected
			}
			if err := push.allowed(index); err != nil {
				return nil, err
			}
			r.rememberMoved(key.repo, d, index, tags)
			for _, k := range kept {
				index = index.Keep(k)
			}
			return index.Put(descriptor, knownSubject(m), tags...), nil
		},
		before: func(ctx context.Context) error {
			r.noteUse(key.repo, tags)
			if !r.tickets.isGone(ticket) {
				return nil
			}
			return r.store.PutBlob(ctx, key.repo, d, push.Content)
		},
		finally: func() { r.tickets.release(key) },
	})
	if err == nil {
		r.hold(key, push.Content)
	}
	return err
}

// rememberMoved gives manifests that lose a tag to d the time that a new one
// has, before they are collected.
func (r *Registry) rememberMoved(repo oci.Repo, d oci.Digest, index *oci.Index, tags []oci.Tag) {
	for _, t := range tags {
		if e := index.Tagged(t); e != nil && e.Digest != d {
			r.told.remember(repo, string(e.Digest))
		}
	}
}

// noteUse tells of a push. That comes before any later edit of the repository,
// so that who removes tags that nobody uses sees it in time.
func (r *Registry) noteUse(repo oci.Repo, tags []oci.Tag) {
	if r.opts.Usage != nil {
		for _, t := range tags {
			r.opts.Usage.Pushed(repo, t)
		}
	}
}

// knownSubject is the subject that referrers can be asked for.
func knownSubject(m *oci.Manifest) oci.Digest {
	d, err := oci.ParseDigest(string(m.Subject))
	if err != nil {
		return ""
	}
	return d
}
