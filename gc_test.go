package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files lists what lies below a root, but for what berth keeps for itself.
func files(t *testing.T, root string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".berth" {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestGCVerb collects while no server runs.
func TestGCVerb(t *testing.T) {
	root, blobs := twoLayouts(t)
	config := filepath.Join(t.TempDir(), "berth.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte("[storage]\nrootDirectory = \""+root+"\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	code, out, errs := runCommand(t, "gc", config)
	if code != 0 || out != "0 collected, 0 bytes freed\n" {
		t.Errorf("young: exit %d\n%s%s", code, out, errs)
	}
	write("gcDelay = 0\ndedupe = false\n")
	digest := "sha256:" + filepath.Base(blobs[0])
	want := "REPOSITORY\tKIND\tDIGEST/ID\tBYTES\n" +
		"a\tblob\t" + digest + "\t16\na\trepository\t-\t0\nb/c\tblob\t" + digest + "\t16\nb/c\trepository\t-\t0\n"
	before := files(t, root)
	code, out, errs = runCommand(t, "gc", "--dry-run", config)
	if code != 0 || out != want+"4 would be collected, 32 bytes freed\n" {
		t.Errorf("dry: exit %d\n%s%s", code, out, errs)
	}
	if now := files(t, root); now != before {
		t.Errorf("a dry run left\n%s\nof\n%s", now, before)
	}
	code, out, errs = runCommand(t, "gc", config)
	if code != 0 || out != want+"4 collected, 32 bytes freed\n" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if left := files(t, root); left != "" {
		t.Errorf("left\n%s", left)
	}
	if code, out, errs := runCommand(t, "gc", "--no-such"); code != 2 || out != "" || errs == "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := runCommand(t, "gc", "--root", root+"/missing"); code != 1 || errs == "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestGCFailure: what cannot be understood is left alone, which is a failure.
func TestGCFailure(t *testing.T) {
	root, _ := twoLayouts(t)
	entry := fmt.Sprintf(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"md5:%032d","size":1}]}`, 0)
	if err := os.WriteFile(root+"/a/index.json", []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BERTH_STORAGE_GCDELAY", "0s")
	code, out, errs := runCommand(t, "gc", "--root", root)
	if code != 1 || !strings.Contains(errs, "1 repositories were left alone") || !strings.Contains(errs, "repository=a") || !strings.Contains(out, "b/c\tblob") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestGCOnline asks the server, which collects by itself too.
func TestGCOnline(t *testing.T) {
	for _, gc := range []string{"true", "false"} {
		root, _ := twoLayouts(t)
		s := start(t, []string{"BERTH_STORAGE_GC=" + gc, "BERTH_STORAGE_GCDELAY=1h"}, "--root", root, "--address", "127.0.0.1:0")
		code, out, errs := runCommand(t, "gc", "--root", root)
		if code != 0 || out != root+": skipped: the server has not run for gcDelay yet: until then it cannot know what clients build on\n0 collected, 0 bytes freed\n" {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
		s.signal(15)
		<-s.done
	}
	root, _ := twoLayouts(t)
	s := start(t, []string{"BERTH_STORAGE_GC=false", "BERTH_STORAGE_GCDELAY=0s"}, "--root", root, "--address", "127.0.0.1:0")
	code, out, errs := runCommand(t, "gc", "--dry-run", "--root", root)
	if code != 0 || !strings.HasSuffix(out, "4 would be collected, 32 bytes freed\n") {
		t.Errorf("dry: exit %d\n%s%s", code, out, errs)
	}
	code, out, errs = runCommand(t, "gc", "--root", root)
	if code != 0 || !strings.Contains(out, "b/c\trepository\t-\t0\n") || !strings.HasSuffix(out, "4 collected, 32 bytes freed\n") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if left := files(t, root); left != "" {
		t.Errorf("left\n%s", left)
	}
	if !strings.Contains(s.logged(), "garbage was collected") {
		t.Errorf("nothing is logged:\n%s", s.logged())
	}
}
