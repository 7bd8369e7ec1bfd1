package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/oci"
)

// maxListed bounds how many missing digests an error lists.
const maxListed = 100

// checkReferences checks that what a manifest names is here, as far as
// Options.Sparse asks for it. It returns the children of an index that are here
// without an entry of their own, which they need once the index is pushed.
// Errors: ErrManifestBlobUnknown.
func (r *Registry) checkReferences(ctx context.Context, repo oci.Repo, s *state, m *oci.Manifest) (kept []oci.Descriptor, err error) {
	var missing []oci.Digest
	if m.IsIndex() {
		kept, missing, err = r.checkChildren(ctx, repo, s, m.Manifests)
	} else if r.opts.Sparse != SparseAll {
		missing, err = r.checkBlobs(ctx, repo, s, m)
	}
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, missingError(repo, missing)
	}
	return kept, nil
}

// checkChildren looks for the manifests of an index.
func (r *Registry) checkChildren(ctx context.Context, repo oci.Repo, s *state, children []oci.Descriptor) (kept []oci.Descriptor, missing []oci.Digest, err error) {
	for _, child := range children {
		r.told.remember(repo, string(child.Digest))
		if s.index.Named(child.Digest) != nil {
			continue
		}
		_, err := r.child(ctx, repo, s, oci.Reference{Digest: child.Digest})
		if isUnknownManifest(err) && !oci.IsManifestType(child.MediaType) {
			// What is no manifest is a blob to us.
			if _, err = r.stat(ctx, repo, child.Digest); err == nil {
				continue
			}
		}
		switch {
		case err == nil:
			kept = append(kept, child)
		case !isUnknownManifest(err) && !isUnknown(err):
			return nil, nil, err
		default:
			lacks, err := r.mayNotLack(ctx, repo, child)
			if err != nil {
				return nil, nil, err
			}
			if lacks {
				missing = append(missing, child.Digest)
			}
		}
	}
	return kept, missing, nil
}

// mayNotLack tells whether an index may not be pushed without a child of it that
// is not here. In a shared repository it may not where somebody may rely on the
// child: another process can have told him of it and collected it since. Then
// its content is here for a while (gc); but what is no manifest goes at once.
func (r *Registry) mayNotLack(ctx context.Context, repo oci.Repo, child oci.Descriptor) (bool, error) {
	switch {
	case r.opts.Sparse == SparseNone:
		return true, nil
	case !r.isShared(repo):
		return false, nil
	case !oci.IsManifestType(child.MediaType):
		return r.opts.Sparse != SparseAll, nil
	}
	_, err := r.stat(ctx, repo, child.Digest)
	if isUnknown(err) {
		return false, nil
	}
	return err == nil, err
}

// checkBlobs looks for an image manifest's config and layers.
func (r *Registry) checkBlobs(ctx context.Context, repo oci.Repo, s *state, m *oci.Manifest) (missing []oci.Digest, err error) {
	seen := make(map[oci.Digest]bool, len(m.Layers)+1)
	need := func(d oci.Digest) error {
		if seen[d] {
			return nil
		}
		seen[d] = true
		if r.knows(repo, d, s.index) {
			r.told.remember(repo, string(d))
			return nil
		}
		_, err := r.stat(ctx, repo, d)
		if isUnknown(err) {
			missing, err = append(missing, d), nil
		}
		return err
	}
	if err := need(m.Config.Digest); err != nil {
		return nil, err
	}
	for _, layer := range m.Layers {
		if !layer.Distributable() {
			continue
		}
		if err := need(layer.Digest); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// stat is statTold for a digest whose algorithm may be unknown: such content
// cannot be here.
func (r *Registry) stat(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	if _, err := oci.ParseDigest(string(d)); err != nil {
		return oci.BlobInfo{}, oci.ErrBlobUnknown
	}
	return r.statTold(ctx, repo, d)
}

// missingError tells the client everything that is missing, up to a limit.
func missingError(repo oci.Repo, missing []oci.Digest) error {
	more := ""
	if n := len(missing) - maxListed; n > 0 {
		missing, more = missing[:maxListed], fmt.Sprintf(" and %d more", n)
	}
	names := make([]string, len(missing))
	for i, d := range missing {
		names[i] = string(d)
	}
	e := oci.Errorf(oci.ErrManifestBlobUnknown, "repository %s lacks %s%s; push them first", repo, strings.Join(names, ", "), more)
	e.Detail = map[string][]string{"digests": names}
	return e
}

// loadOrNew is load, where a repository that does not exist has an empty index.
func (r *Registry) loadOrNew(ctx context.Context, repo oci.Repo) (*state, error) {
	s, err := r.load(ctx, repo)
	if errors.Is(err, oci.ErrNameUnknown) {
		return &state{index: oci.NewIndex()}, nil
	}
	return s, err
}
