package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is that of the process: it is in no host's /etc/passwd.
const user = 65532

// file is one entry of the layer; a directory where its name ends in a slash.
type file struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// files are what the image holds, parents first.
func files(binary, config []byte) []file {
	return []file{
		{"etc/", 0o755, 0, nil},
		{"etc/berth/", 0o755, 0, nil},
		{"etc/berth/berth.toml", 0o644, 0, config},
		{"etc/group", 0o644, 0, []byte("root:x:0:\nberth:x:65532:\n")},
		{"etc/passwd", 0o644, 0, []byte("root:x:0:0:root:/:/sbin/nologin\nberth:x:65532:65532:berth OCI registry:/var/lib/berth:/sbin/nologin\n")},
		{"etc/ssl/", 0o755, 0, nil},
		{"etc/ssl/certs/", 0o755, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, authorities()},
		{"usr/", 0o755, 0, nil},
		{"usr/bin/", 0o755, 0, nil},
		{"usr/bin/berth", 0o755, 0, binary},
		{"var/", 0o755, 0, nil},
		{"var/lib/", 0o755, 0, nil},
		{"var/lib/berth/", 0o750, user, nil},
	}
}

// authorities are those that Mozilla trusts, in PEM, for TLS with buckets and
// other registries. Those that it trusts for old certificates only are left out:
// PEM cannot tell that.
func authorities() []byte {
	var out []byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return out
}

// tarOf packs files, all of one time.
func tarOf(files []file, modified time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)),
			Uid: f.owner, Gid: f.owner, ModTime: modified, Format: tar.FormatPAX,
		}
		if path.Clean(f.name) != f.name {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// imageConfig says how the image is run.
func imageConfig(created time.Time, platform ocispec.Platform, tarball []byte, labels map[string]string) ocispec.Image {
	return ocispec.Image{
		Created:  &created,
		Platform: platform,
		Config: ocispec.ImageConfig{
			User:         "65532:65532",
			ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			Entrypoint:   []string{"/usr/bin/berth", "serve"},
			Cmd:          []string{"/etc/berth/berth.toml"},
			Volumes:      map[string]struct{}{"/var/lib/berth": {}},
			WorkingDir:   "/var/lib/berth",
			Labels:       labels,
			StopSignal:   "SIGTERM",
		},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(tarball)}},
		History: []ocispec.History{{Created: &created, CreatedBy: "make image"}},
	}
}

func labels(o options) map[string]string {
	return map[string]string{
		ocispec.AnnotationTitle:       "berth",
		ocispec.AnnotationDescription: "OCI registry for small and often offline devices",
		ocispec.AnnotationLicenses:    "Apache-2.0",
		ocispec.AnnotationVersion:     o.version,
	}
}

func annotations(o options) map[string]string {
	all := labels(o)
	all[ocispec.AnnotationCreated] = time.Unix(o.created, 0).UTC().Format(time.RFC3339)
	return all
}
