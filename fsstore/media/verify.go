package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"berth/oci"
)

// maxManifestSize is the largest manifest that is looked into, in bytes.
const maxManifestSize = 4 << 20

// verify reads everything that can be reached from the index of a layout, and
// compares it with its digests and sizes. Content that is not there is no
// fault where it may be missing: a manifest named by an index.
func verify(ctx context.Context, store oci.Store) error {
	v := verifier{store: store, done: map[oci.Digest]bool{}}
	index, _, err := store.LoadIndex(ctx, layoutRepo, "")
	if err != nil {
		return err
	}
	return v.references(ctx, index, 0)
}

type verifier struct {
	store oci.Store
	done  map[oci.Digest]bool
}

// descriptor is the part of a descriptor that is verified.
type descriptor struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	MediaType string `json:"mediaType"`
}

// manifest is the part of a manifest or an index that leads on.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Blobs     []descriptor `json:"blobs"`
}

// maxNesting is how deep indexes may lie in one another.
const maxNesting = 32

// references verifies all that a manifest or index names.
func (v *verifier) references(ctx context.Context, content []byte, depth int) error {
	if depth > maxNesting {
		return errors.New("indexes lie in one another too deep")
	}
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return fmt.Errorf("read a manifest: %w", err)
	}
	for _, d := range m.Manifests {
		child, err := v.content(ctx, d, true)
		if errors.Is(err, oci.ErrBlobUnknown) {
			continue // a sparse index
		}
		if err == nil && child != nil {
			err = v.references(ctx, child, depth+1)
		}
		if err != nil {
			return err
		}
	}
	blobs := append(m.Layers, m.Blobs...)
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, d := range blobs {
		if _, err := v.content(ctx, d, false); err != nil && !(errors.Is(err, oci.ErrBlobUnknown) && isForeign(d.MediaType)) {
			return err
		}
	}
	return nil
}

// isForeign reports whether a layer need not be distributed with its image.
func isForeign(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
		return true
	}
	return false
}

// badBlob is a blob that is missing, cannot be read, or is not what it should
// be.
type badBlob struct {
	digest oci.Digest
	why    error
}

func (b *badBlob) Error() string { return b.digest.String() + ": " + b.why.Error() }

func (b *badBlob) Unwrap() error { return b.why }

// content verifies one blob, and returns it when it is asked to and has not
// done so before.
func (v *verifier) content(ctx context.Context, d descriptor, keep bool) ([]byte, error) {
	digest, err := oci.ParseDigest(d.Digest)
	if err != nil || v.done[digest] {
		return nil, err
	}
	content, err := v.read(ctx, digest, d.Size, keep)
	if err != nil {
		return nil, &badBlob{digest, err}
	}
	v.done[digest] = true
	return content, nil
}

// read reads a blob of which the size is known, and returns it with keep.
func (v *verifier) read(ctx context.Context, digest oci.Digest, size int64, keep bool) ([]byte, error) {
	blob, err := v.store.OpenBlob(ctx, layoutRepo, digest, 0)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	if has := blob.Info().Size; has != size {
		return nil, fmt.Errorf("it has %d bytes, its descriptor says %d", has, size)
	}
	if keep && size > maxManifestSize {
		return nil, fmt.Errorf("it is a manifest of %d bytes", size)
	}
	var kept bytes.Buffer
	check := digest.Verifier()
	sink := io.Writer(check)
	if keep {
		sink = io.MultiWriter(check, &kept)
	}
	if _, err := io.CopyBuffer(sink, cancellable{ctx.Err, blob}, make([]byte, 64<<10)); err != nil {
		return nil, err
	}
	if !check.Verified() {
		return nil, errors.New("its bytes do not match")
	}
	return kept.Bytes(), nil
}

// cancellable is a reader that fails when failed says so.
type cancellable struct {
	failed func() error
	r      io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.failed(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
