package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// twoLayouts makes a root with two repositories that hold the same blob apart.
func twoLayouts(t *testing.T) (root string, blobs [2]string) {
	t.Helper()
	const content = "the same in both"
	root = t.TempDir()
	for i, repo := range []string{"a", "b/c"} {
		dir := filepath.Join(root, repo)
		blobs[i] = filepath.Join(dir, "blobs/sha256", fmt.Sprintf("%x", sha256.Sum256([]byte(content))))
		for path, text := range map[string]string{
			filepath.Join(dir, "oci-layout"): `{"imageLayoutVersion":"1.0.0"}`,
			filepath.Join(dir, "index.json"): `{"schemaVersion":2,"manifests":[]}`,
			blobs[i]:                         content,
		} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root, blobs
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(berthBinary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestDedupeVerb(t *testing.T) {
	root, blobs := twoLayouts(t)
	if inode(t, blobs[0]) == inode(t, blobs[1]) {
		t.Fatal("they share their space from the start")
	}
	code, out, errs := runCommand(t, "dedupe", "--root", root)
	if want := root + ": 2 repositories looked into, 0 unchanged, 2 blobs, 1 linked, 16 bytes freed\n"; code != 0 || out != want {
		t.Errorf("exit %d\n%s%swant %s", code, out, errs, want)
	}
	if inode(t, blobs[0]) != inode(t, blobs[1]) {
		t.Error("they do not share their space")
	}
	code, out, errs = runCommand(t, "dedupe", "--root", root)
	if code != 0 || !strings.Contains(out, "0 linked, 0 bytes freed") {
		t.Errorf("again: exit %d\n%s%s", code, out, errs)
	}

	start(t, nil, "--root", root, "--address", "127.0.0.1:0")
	code, out, errs = runCommand(t, "dedupe", "--root", root)
	if code != 1 || out != "" || !strings.Contains(errs, "is in use by process") {
		t.Errorf("beside a server: exit %d\n%s%s", code, out, errs)
	}
}

// TestLayoutAsRoot: a directory that is itself one layout, and a file.
func TestLayoutAsRoot(t *testing.T) {
	root, _ := twoLayouts(t)
	for name, args := range map[string][]string{
		"c":         {"--root", root + "/b/c"},
		"some/name": {"--root", root + "/b/c", "--name", "some/name"},
	} {
		s := start(t, nil, append(args, "--address", "127.0.0.1:0")...)
		if status, body := get(t, "tcp", s.addresses()[0], "/v2/_catalog"); status != 200 || body != `{"repositories":["`+name+`"]}`+"\n" && body != `{"repositories":["`+name+`"]}` {
			t.Errorf("catalog: %d %s", status, body)
		}
		if !strings.Contains(s.logged(), "the root is one layout") {
			t.Errorf("nothing is said of it:\n%s", s.logged())
		}
	}
	if entries, err := os.ReadDir(root + "/b/c"); err != nil || len(entries) != 3 {
		t.Errorf("the layout was written to: %v, %v", entries, err)
	}
}
