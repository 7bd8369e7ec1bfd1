package client

import (
	"fmt"
	"strings"
)

// PushBlob pushes a blob by POST and one PUT (end-4a, end-6).
func (c *Conn) PushBlob(repo string, b Blob) error {
	location, err := c.openSession(repo)
	if err != nil {
		return err
	}
	return c.closeSession(location, b.Digest, b)
}

// OfferBlob pushes a blob as clients push layers: they ask for it, and where
// it is not there, stream it (end-2, then StreamBlob).
func (c *Conn) OfferBlob(repo string, b Blob) error {
	a, err := c.Do(Head("HEAD", BlobPath(repo, b.Digest), -1))
	if err != nil {
		return fmt.Errorf("HEAD of a blob: %w", err)
	}
	if err := a.Want(404, "HEAD of a blob"); err != nil {
		return err
	}
	return c.StreamBlob(repo, b)
}

// StreamBlob pushes a blob by POST, one PATCH with all of it, and an empty PUT
// (end-4a, end-5, end-6).
func (c *Conn) StreamBlob(repo string, b Blob) error {
	location, err := c.openSession(repo)
	if err != nil {
		return err
	}
	a, err := c.Do(Head("PATCH", location, b.Size, "Content-Type: application/octet-stream"), b.Parts...)
	if err != nil {
		return fmt.Errorf("PATCH of a blob: %w", err)
	}
	if err := a.Want(202, "PATCH of a blob"); err != nil {
		return err
	}
	return c.closeSession(a.Location, b.Digest, Blob{})
}

func (c *Conn) openSession(repo string) (location string, err error) {
	a, err := c.Do(Head("POST", "/v2/"+repo+"/blobs/uploads/", 0))
	if err != nil {
		return "", fmt.Errorf("POST of an upload: %w", err)
	}
	if err := a.Want(202, "POST of an upload"); err != nil {
		return "", err
	}
	return a.Location, nil
}

func (c *Conn) closeSession(location, digest string, last Blob) error {
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	head := Head("PUT", location+separator+"digest="+digest, last.Size, "Content-Type: application/octet-stream")
	a, err := c.Do(head, last.Parts...)
	if err != nil {
		return fmt.Errorf("PUT of a blob: %w", err)
	}
	return a.Want(201, "PUT of a blob")
}

// MountBlob mounts a blob from another repository (end-11).
func (c *Conn) MountBlob(repo, from string, b Blob) error {
	path := fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repo, b.Digest, from)
	a, err := c.Do(Head("POST", path, 0))
	if err != nil {
		return fmt.Errorf("mount of a blob: %w", err)
	}
	return a.Want(201, "mount of a blob")
}

// PushManifest pushes a manifest under a tag (end-7a).
func (c *Conn) PushManifest(repo, tag string, manifest []byte) error {
	head := Head("PUT", ManifestPath(repo, tag), int64(len(manifest)), "Content-Type: "+ManifestType)
	a, err := c.Do(head, manifest)
	if err != nil {
		return fmt.Errorf("PUT of a manifest: %w", err)
	}
	return a.Want(201, "PUT of a manifest")
}

// PushImage pushes an image's blobs.
func (c *Conn) PushImage(repo string, i Image) error {
	if err := c.PushBlob(repo, i.Config); err != nil {
		return err
	}
	return c.PushBlob(repo, i.Layer)
}

// ManifestPath is the path of a manifest (end-3).
func ManifestPath(repo, reference string) string { return "/v2/" + repo + "/manifests/" + reference }

// BlobPath is the path of a blob (end-2).
func BlobPath(repo, digest string) string { return "/v2/" + repo + "/blobs/" + digest }

// GetManifest is the request for a manifest.
func GetManifest(repo, reference string) []byte {
	return Head("GET", ManifestPath(repo, reference), -1, "Accept: "+ManifestType)
}

// GetBlob is the request for a blob.
func GetBlob(repo, digest string) []byte { return Head("GET", BlobPath(repo, digest), -1) }
