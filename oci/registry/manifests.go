package registry

import (
	"context"
	"errors"
	"io"

	"berth/oci"
)

// Manifest is a stored manifest. Content is shared: nobody may change it.
type Manifest struct {
	Digest    oci.Digest
	MediaType string
	Content   []byte
}

// maxForeign is the largest manifest served that was not pushed, in bytes.
const maxForeign = 16 << 20

// Manifest returns a manifest by tag or digest (end-3).
// Errors: ErrManifestUnknown, ErrNameUnknown.
func (r *Registry) Manifest(ctx context.Context, repo oci.Repo, ref oci.Reference) (Manifest, error) {
	if ref.Digest != "" {
		defer r.told.promise(repo, string(ref.Digest)).kept()
		if err := r.awaitDoom(ctx, blobKey{repo, ref.Digest}); err != nil {
			return Manifest{}, err
		}
	}
	s, err := r.load(ctx, repo)
	if err != nil {
		return Manifest{}, err
	}
	var d, mediaType = ref.Digest, ""
	e := find(s.index, ref)
	if e != nil {
		d, mediaType = e.Digest, e.MediaType
	} else if mediaType, err = r.child(ctx, repo, s, ref); err != nil {
		return Manifest{}, err
	}
	if ref.Digest == "" {
		r.told.remember(repo, string(d)) // it may lose its tag while it is pulled
	}
	content, err := r.content(ctx, blobKey{repo, d})
	if err != nil {
		return Manifest{}, err
	}
	if mediaType == "" {
		m, err := oci.InspectManifest(content, "")
		if err != nil {
			return Manifest{}, unknown(repo, ref)
		}
		mediaType = m.MediaType
	}
	if r.opts.Usage != nil && e != nil && e.Tag != "" {
		r.opts.Usage.Pulled(repo, ref)
	}
	return Manifest{Digest: d, MediaType: mediaType, Content: content}, nil
}

// find returns the entry that a reference names; nil where there is none.
func find(index *oci.Index, ref oci.Reference) *oci.Entry {
	if ref.Digest != "" {
		return index.Named(ref.Digest)
	}
	return index.Tagged(ref.Tag)
}

func unknown(repo oci.Repo, ref oci.Reference) error {
	return oci.Errorf(oci.ErrManifestUnknown, "repository %s has no manifest %s", repo, ref)
}

// child finds a manifest that has no entry but is here and named by an image
// index that somebody else made. It returns the media type that the image index
// tells, which may be "". Errors: ErrManifestUnknown.
func (r *Registry) child(ctx context.Context, repo oci.Repo, s *state, ref oci.Reference) (mediaType string, err error) {
	if ref.Digest == "" || s.index.Unvetted() == 0 {
		return "", unknown(repo, ref)
	}
	if _, err := r.store.StatBlob(ctx, repo, ref.Digest); isUnknown(err) {
		return "", unknown(repo, ref)
	} else if err != nil {
		return "", err
	}
	g, err := r.graph(ctx, repo, s)
	if err != nil {
		return "", err
	}
	d, ok := g.reached[ref.Digest]
	if !ok {
		return "", unknown(repo, ref)
	}
	return d.MediaType, nil
}

// content returns a manifest's content from memory or the store. The caller
// knows that the manifest was not deleted. Errors: ErrManifestUnknown.
func (r *Registry) content(ctx context.Context, key blobKey) ([]byte, error) {
	if content, ok := r.manifests.get(key); ok {
		return *content, nil
	}
	defer r.reading.lock(key)()
	if content, ok := r.manifests.get(key); ok {
		return *content, nil
	}
	content, err := r.read(ctx, key)
	if err != nil {
		return nil, err
	}
	r.hold(key, content)
	return content, nil
}

// hold keeps a manifest in memory.
func (r *Registry) hold(key blobKey, content []byte) {
	key = key.owned()
	r.manifests.put(key, &content, int64(len(content)+len(key.repo)+len(key.digest))+200)
}

// read reads a manifest from the store. Somebody else may have put it there, so
// that it is held to its digest.
func (r *Registry) read(ctx context.Context, key blobKey) ([]byte, error) {
	blob, err := r.store.OpenBlob(ctx, key.repo, key.digest, 0)
	if isUnknown(err) {
		return nil, unknown(key.repo, oci.Reference{Digest: key.digest})
	}
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	size := blob.Info().Size
	if size > max(maxForeign, r.opts.MaxManifestSize) {
		r.opts.Log.Warn("a manifest is too large to be served", "repository", key.repo, "digest", key.digest, "bytes", size)
		return nil, unknown(key.repo, oci.Reference{Digest: key.digest})
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(blob, content); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if key.digest.Algorithm().FromBytes(content) != key.digest {
		r.opts.Log.Warn("a manifest does not match its digest and is not served", "repository", key.repo, "digest", key.digest)
		return nil, unknown(key.repo, oci.Reference{Digest: key.digest})
	}
	return content, nil
}

func isUnknownManifest(err error) bool { return errors.Is(err, oci.ErrManifestUnknown) }
