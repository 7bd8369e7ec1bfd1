package main

import (
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // go-digest uses what is linked
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI image layout that is being written.
type layout struct{ dir string }

// newLayout makes an empty layout. What is there already is not touched: it may
// be served.
func newLayout(dir string) (*layout, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	l := &layout{dir}
	if err := os.MkdirAll(filepath.Join(dir, ocispec.ImageBlobsDir, "sha256"), 0o755); err != nil {
		return nil, err
	}
	text, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	return l, os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), text, 0o644)
}

func (l *layout) add(mediaType string, content []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	return d, os.WriteFile(filepath.Join(l.dir, ocispec.ImageBlobsDir, "sha256", d.Digest.Encoded()), content, 0o644)
}

func (l *layout) addJSON(mediaType string, v any) (ocispec.Descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.add(mediaType, text)
}

func (l *layout) addLayer(tarball []byte) (ocispec.Descriptor, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, err := w.Write(tarball); err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := w.Close(); err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.add(ocispec.MediaTypeImageLayerGzip, out.Bytes())
}

func (l *layout) writeIndex(index ocispec.Index) error {
	index.Versioned = specs.Versioned{SchemaVersion: 2}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, ocispec.ImageIndexFile), text, 0o644)
}
