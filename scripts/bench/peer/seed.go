package peer

import (
	"os"
	"path/filepath"

	"berth/bench/client"
)

// SeedBlob makes the server serve a blob: by a push, or as a file.
func (s *Server) SeedBlob(repo string, b client.Blob) error {
	if s.Kind == Nginx {
		return s.file(client.BlobPath(repo, b.Digest), b.Parts...)
	}
	conn := client.New(s.Addr)
	defer conn.Close()
	return conn.PushBlob(repo, b)
}

// SeedManifest makes the server serve a manifest, and the image it is of.
func (s *Server) SeedManifest(repo, tag string, i client.Image, n int) error {
	if s.Kind == Nginx {
		return s.file(client.ManifestPath(repo, tag), i.Manifest(n))
	}
	conn := client.New(s.Addr)
	defer conn.Close()
	if err := conn.PushImage(repo, i); err != nil {
		return err
	}
	return conn.PushManifest(repo, tag, i.Manifest(n))
}

// file writes what nginx serves at a path.
func (s *Server) file(path string, parts ...[]byte) error {
	path = filepath.Join(s.Data(), path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return err
		}
	}
	return f.Close()
}
