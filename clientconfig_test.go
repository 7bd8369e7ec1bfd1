package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// configure runs client-config --write below root.
func configure(t *testing.T, root string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := clientConfig(append([]string{"--write", "--root", root}, args...), &out)
	return out.String(), err
}

// TestClientConfigWrite: files are installed, known again, kept when replaced,
// and those of others left alone.
func TestClientConfigWrite(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "etc/rancher/k3s/registries.yaml")
	want := func(part string) {
		t.Helper()
		if content, err := os.ReadFile(path); err != nil || !strings.Contains(string(content), part) {
			t.Errorf("%v: %q is not in %s", err, part, content)
		}
	}
	if out, err := configure(t, root, "--for", "k3s", "--registry", "one:5000"); err != nil || !strings.Contains(out, "wrote     "+path) {
		t.Fatalf("%v\n%s", err, out)
	}
	want("https://one:5000")
	if out, err := configure(t, root, "--for", "k3s", "--registry", "one:5000"); err != nil || !strings.Contains(out, "unchanged "+path) {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{".bak", ".bak.1"} {
		other := map[string]string{".bak": "two:5000", ".bak.1": "three:5000"}[kept]
		if out, err := configure(t, root, "--for", "k3s", "--registry", other); err != nil || !strings.Contains(out, "kept      "+path+kept) {
			t.Errorf("%v\n%s", err, out)
		}
		want("https://" + other)
	}
	if old, err := os.ReadFile(path + ".bak"); err != nil || !strings.Contains(string(old), "one:5000") {
		t.Errorf("%v: the first backup is\n%s", err, old)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v: the mode became %v", err, info.Mode())
	}

	if err := os.WriteFile(path, []byte("mirrors: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := configure(t, root, "--for", "k3s"); err == nil || !strings.Contains(err.Error(), "was not written by berth") {
		t.Errorf("%v\n%s", err, out)
	}
	want("mirrors: {}")
	if out, err := configure(t, root, "--for", "k3s", "--force"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want("http://127.0.0.1:5000")
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", err, left)
	}
}

// TestClientConfigAllOrNothing: where one file cannot be replaced, none is
// written.
func TestClientConfigAllOrNothing(t *testing.T) {
	root := t.TempDir()
	foreign := filepath.Join(root, "etc/containerd/certs.d/quay.io/hosts.toml")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("server = \"https://quay.io\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := configure(t, root, "--for", "containerd", "--mirror", "docker.io,quay.io"); err == nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/containerd/certs.d/docker.io")); err == nil {
		t.Error("a part was written")
	}
}

// TestClientConfigMerges: docker's daemon.json keeps its other settings.
func TestClientConfigMerges(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "etc/docker/daemon.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"mtu": 1400}`), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := configure(t, root, "--for", "docker")
	if err != nil || !strings.Contains(out, "kept      "+path+".bak") || !strings.Contains(out, "Docker can mirror Docker Hub and nothing else") {
		t.Errorf("%v\n%s", err, out)
	}
	if content, err := os.ReadFile(path); err != nil || !strings.Contains(string(content), `"mtu": 1400`) || !strings.Contains(string(content), "http://127.0.0.1:5000") {
		t.Errorf("%v\n%s", err, content)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := configure(t, root, "--for", "docker", "--force"); err == nil || !strings.Contains(err.Error(), "correct it first") {
		t.Errorf("a broken daemon.json: %v", err)
	}
}

// TestClientConfigIsReadable: every user's podman reads what root installs.
func TestClientConfigIsReadable(t *testing.T) {
	root := filepath.Join(t.TempDir(), "node")
	out, err := exec.Command("/bin/sh", "-c", `umask 077; exec "$0" client-config --for podman --write --root "$1"`, berthBinary, root).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, want := range map[string]os.FileMode{"etc/containers/registries.conf.d": 0o755, "etc/containers/registries.conf.d/50-berth.conf": 0o644} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, err, info)
		}
	}
}
