package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// makeImage makes one of two binaries.
func makeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"amd64": "binary one", "armv7": "binary two", "conf": "[storage]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := options{out: filepath.Join(dir, "deep", "image"), config: filepath.Join(dir, "conf"), version: "v1", created: 1_700_000_000}
	if err := run(o, []string{"linux/amd64=" + filepath.Join(dir, "amd64"), "linux/arm/v7=" + filepath.Join(dir, "armv7")}); err != nil {
		t.Fatal(err)
	}
	if err := run(o, []string{"linux/amd64=" + filepath.Join(dir, "amd64")}); err == nil {
		t.Error("a layout is written over")
	}
	return o.out
}

// decode reads a blob, which has to be what its descriptor says.
func decode(t *testing.T, dir string, d ocispec.Descriptor, v any) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	if digest.FromBytes(content) != d.Digest || int64(len(content)) != d.Size {
		t.Errorf("%s is not what its descriptor says", d.Digest)
	}
	if v != nil {
		if err := json.Unmarshal(content, v); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

func TestImage(t *testing.T) {
	dir := makeImage(t)
	var top, index ocispec.Index
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &top); err != nil || len(top.Manifests) != 2 ||
		top.Manifests[0].Annotations[ocispec.AnnotationRefName] != "v1" || top.Manifests[1].Annotations[ocispec.AnnotationRefName] != "latest" {
		t.Fatalf("%v\n%s", err, text)
	}
	decode(t, dir, top.Manifests[0], &index)
	for i, want := range []string{"binary one", "binary two"} {
		var m ocispec.Manifest
		var c ocispec.Image
		decode(t, dir, index.Manifests[i], &m)
		decode(t, dir, m.Config, &c)
		zipped, err := gzip.NewReader(bytes.NewReader(decode(t, dir, m.Layers[0], nil)))
		if err != nil {
			t.Fatal(err)
		}
		tarball, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if c.RootFS.DiffIDs[0] != digest.FromBytes(tarball) {
			t.Error("the diff id is not the layer's")
		}
		if p := index.Manifests[i].Platform; p.Architecture != c.Architecture || p.Variant != c.Variant || c.Config.User != "65532:65532" {
			t.Errorf("%+v, %+v", p, c)
		}
		if got := contentOf(t, tarball, "usr/bin/berth"); got != want {
			t.Errorf("platform %d has %q", i, got)
		}
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(contentOf(t, tarball, "etc/ssl/certs/ca-certificates.crt"))) {
			t.Errorf("platform %d trusts nobody", i)
		}
	}
	if p := index.Manifests[1].Platform; p.OS != "linux" || p.Architecture != "arm" || p.Variant != "v7" {
		t.Errorf("%+v", p)
	}
}

// contentOf finds a file in a layer; every file's directory has to come before it.
func contentOf(t *testing.T, tarball []byte, name string) (content string) {
	t.Helper()
	seen := map[string]bool{"./": true}
	for r := tar.NewReader(bytes.NewReader(tarball)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return content
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[h.Name] = true
		if parent := filepath.Dir(strings.TrimSuffix(h.Name, "/")) + "/"; !seen[parent] {
			t.Errorf("%s comes before its directory", h.Name)
		}
		if h.Name == "var/lib/berth/" && (h.Uid != user || h.Typeflag != tar.TypeDir) {
			t.Errorf("%+v", h)
		}
		if h.Name == name {
			b, err := io.ReadAll(r)
			if err != nil || name == "usr/bin/berth" && h.Mode != 0o755 {
				t.Fatalf("%v, %+v", err, h)
			}
			content = string(b)
		}
	}
}

// TestReproducible: the same twice.
func TestReproducible(t *testing.T) {
	one, two := os.DirFS(makeImage(t)), os.DirFS(makeImage(t))
	err := fs.WalkDir(one, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		a, err := fs.ReadFile(one, path)
		if err != nil {
			return err
		}
		b, err := fs.ReadFile(two, path)
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestArguments(t *testing.T) {
	o := options{out: filepath.Join(t.TempDir(), "image"), config: os.DevNull, version: "v1"}
	for _, args := range [][]string{nil, {"linux/amd64"}, {"linux=" + os.DevNull}, {"a/b/c/d=" + os.DevNull}, {"linux/amd64=/none"}} {
		o.out += "x"
		if err := run(o, args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
