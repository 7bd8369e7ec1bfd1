package oci

import (
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of manifests.
const (
	MediaTypeManifest       = v1.MediaTypeImageManifest
	MediaTypeIndex          = v1.MediaTypeImageIndex
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// IsManifestType tells whether content of a media type is a manifest, which
// the manifests endpoint serves.
func IsManifestType(mediaType string) bool {
	return isImageType(mediaType) || IsIndexType(mediaType)
}

// IsIndexType tells whether a media type is that of a list of manifests.
func IsIndexType(mediaType string) bool {
	return mediaType == MediaTypeIndex || mediaType == MediaTypeDockerList
}

func isImageType(mediaType string) bool {
	return mediaType == MediaTypeManifest || mediaType == MediaTypeDockerManifest
}

func isDockerType(mediaType string) bool {
	return mediaType == MediaTypeDockerManifest || mediaType == MediaTypeDockerList
}

// Descriptor describes content (image-spec, Content Descriptors).
type Descriptor struct {
	MediaType string
	// Digest matches the digest grammar; its algorithm may be one that berth
	// does not know.
	Digest Digest
	Size   int64 // bytes; -1 where a descriptor made elsewhere has none
	// ArtifactType is "" where there is none.
	ArtifactType string
	// Elsewhere: the content may be had from URLs of its own.
	Elsewhere bool
}

// Distributable tells whether a registry is expected to hold a layer: not
// where its media type says otherwise or it may be had from elsewhere.
func (d Descriptor) Distributable() bool {
	return !d.Elsewhere &&
		!strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.") &&
		!strings.HasPrefix(d.MediaType, "application/vnd.docker.image.rootfs.foreign.")
}

// Manifest is what berth needs to know of a manifest. Its strings are of their
// own: they do not keep the content in memory.
type Manifest struct {
	MediaType    string
	ArtifactType string       // of the field itself; "" where there is none
	Config       Descriptor   // of an image manifest; else zero
	Layers       []Descriptor // of an image manifest
	Manifests    []Descriptor // of an index
	Subject      Digest       // "" where there is none
	Annotations  string       // a JSON object; "" where there are none
}

// IsIndex tells whether the manifest is a list of manifests.
func (m *Manifest) IsIndex() bool { return IsIndexType(m.MediaType) }

// ReferrerType is the artifact type that a referrers list gives the manifest
// (distribution-spec, Listing Referrers): its own, or else an image manifest's
// config media type; "" for none.
func (m *Manifest) ReferrerType() string {
	if m.ArtifactType == "" {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

// Referrer encodes the descriptor by which a referrers list names the manifest,
// whose digest and size in bytes are given.
func (m *Manifest) Referrer(d Digest, size int64) []byte {
	b := appendDescriptor(nil, Descriptor{
		MediaType: m.MediaType, Digest: d, Size: size, ArtifactType: m.ReferrerType(),
	})
	if m.Annotations != "" {
		b = append(b, `,"annotations":`...)
		b = append(b, m.Annotations...)
	}
	return append(b, '}')
}
