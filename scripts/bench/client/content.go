package client

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// ManifestType is the media type of every manifest pushed here.
const ManifestType = "application/vnd.oci.image.manifest.v1+json"

const (
	configType = "application/vnd.oci.image.config.v1+json"
	layerType  = "application/vnd.oci.image.layer.v1.tar"
)

// Blob is content to push. Its bytes are Parts in order, so that many large
// blobs share all but their first bytes.
type Blob struct {
	Digest string
	Size   int64
	Parts  [][]byte
}

// NewBlob makes a blob of one part.
func NewBlob(content []byte) Blob { return newBlob(content) }

func newBlob(parts ...[]byte) Blob {
	b := Blob{Parts: parts}
	h := sha256.New()
	for _, p := range parts {
		b.Size += int64(len(p))
		h.Write(p)
	}
	b.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return b
}

// Source makes blobs of one size, no two alike. The bytes do not compress, and
// two sources of one seed make the same blobs.
type Source struct {
	shared []byte
	seed   uint64
	next   uint64
}

// headSize is how many bytes of each blob of a Source are its own.
const headSize = 16

// NewSource makes a Source of blobs of so many bytes, at least 16.
func NewSource(size int, seed uint64) *Source {
	shared := make([]byte, size-headSize)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(shared) // never fails
	return &Source{shared: shared, seed: seed}
}

// Next is a blob that differs from all before it.
func (s *Source) Next() Blob {
	head := binary.LittleEndian.AppendUint64(nil, s.seed)
	head = binary.LittleEndian.AppendUint64(head, s.next)
	s.next++
	return newBlob(head, s.shared)
}

// Take makes n blobs.
func (s *Source) Take(n int) []Blob {
	all := make([]Blob, n)
	for i := range all {
		all[i] = s.Next()
	}
	return all
}

// Image is what manifests are made of: one configuration, one layer.
type Image struct {
	Config, Layer Blob
}

// NewImage makes an image around a layer.
func NewImage(layer Blob) Image {
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, layer.Digest)
	return Image{Config: NewBlob(config), Layer: layer}
}

// SmallImage is an image whose layer is a few KiB.
func SmallImage() Image { return NewImage(NewSource(4<<10, 1).Next()) }

// Manifest is the n-th manifest of the image: all have the same length and
// name the same blobs, and no two have the same digest.
func (i Image) Manifest(n int) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"annotations":{"org.opencontainers.image.revision":"%08d"}}`,
		ManifestType, descriptor(configType, i.Config), descriptor(layerType, i.Layer), n)
}

func descriptor(mediaType string, b Blob) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, b.Digest, b.Size)
}
