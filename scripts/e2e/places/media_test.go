package places

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// media is a configuration with media below a directory.
func media(dir, more string) string {
	return fmt.Sprintf("[[storage.media]]\npath = %q\nprefix = \"usb\"\n%s\n", dir, more)
}

// A stick that is plugged in is served, and one that is pulled out is not, also
// while somebody reads from it.
func TestHotPlug(t *testing.T) {
	t.Parallel()
	image := fixture.Image(fixture.Options{}, fixture.Layer("plug", 48<<20))
	small := fixture.SimpleImage("plug")
	ext4 := disk(t, "STICK", func(dir string) {
		layout(t, dir+"/apps/big", image)
		layout(t, dir+"/small", small)
		layout(t, dir+"/No Name!", small)
		source := filepath.Join(t.TempDir(), "source")
		layout(t, source, small)
		harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+source+":v1", "oci-archive:"+dir+"/Exported.tar:v1")
	})
	root := t.TempDir()
	point := filepath.Join(root, "media", "sda1")
	s, c := start(t, harness.Config{File: media(root+"/media", "")})
	c.Push("own", "v1", small)
	wantCatalog(t, c, "own")
	for range 3 {
		mount(t, ext4, point)
		awaitServed(t, c, "usb/stick/exported", "usb/stick/small", "usb/stick/apps/big")
		c.PullWhole("usb/stick/apps/big", "v1", image)
		readsOnly(t, c, "usb/stick/exported", "v1", small)
		wantCut(t, c, "usb/stick/apps/big", image.Children[1], func() { unmount(t, point) })
		awaitCatalog(t, c, "own")
		harness.Eventually(t, "the stick is forgotten", func() error {
			if a := c.Get(wire.ManifestPath("usb/stick/small", "v1")).Want(404, 503); a.Status != 404 {
				return fmt.Errorf("status %d", a.Status)
			}
			return nil
		})
		c.PullWhole("own", "v1", small)
	}
	if strings.Contains(s.Log(), "panic") {
		t.Error("it panicked")
	}
	s.Stop()
}

// awaitServed waits until repositories are in the catalog.
func awaitServed(t *testing.T, c *wire.Client, repos ...string) {
	t.Helper()
	began := time.Now()
	harness.Eventually(t, fmt.Sprint(repos, " are served"), func() error {
		got := " " + strings.Join(catalog(c), " ") + " "
		for _, repo := range repos {
			if !strings.Contains(got, " "+repo+" ") {
				return fmt.Errorf("the catalog is %s", got)
			}
		}
		return nil
	})
	t.Logf("served after %v", time.Since(began))
}

// wantCut reads the beginning of a blob, does something, and reads on: either
// the pull is cut, or what comes is right.
func wantCut(t *testing.T, c *wire.Client, repo string, blob fixture.Node, do func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	answer, err := c.Open(ctx, wire.Request{Method: "GET", Path: wire.BlobPath(repo, blob.Desc.Digest)})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got := make([]byte, 1<<20)
	if _, err := io.ReadFull(answer.Body, got); err != nil {
		t.Fatal(err)
	}
	do()
	rest, err := io.ReadAll(answer.Body)
	if got = append(got, rest...); string(got) != string(blob.Content[:len(got)]) {
		t.Error("wrong bytes came")
	}
	if err == nil {
		t.Errorf("all %d bytes came from a stick that is not there", len(got))
	}
}

// A medium is read whole before it is served where that is asked for.
func TestVerifiedMedia(t *testing.T) {
	t.Parallel()
	dir, good, bad := t.TempDir(), fixture.SimpleImage("good"), fixture.SimpleImage("bad")
	layout(t, dir+"/stick/good", good)
	layout(t, dir+"/stick/bad", bad)
	layer := bad.Children[1]
	if err := os.WriteFile(fixture.BlobPath(dir+"/stick/bad", layer.Desc), make([]byte, len(layer.Content)), 0o644); err != nil {
		t.Fatal(err)
	}
	s, c := start(t, harness.Config{File: media(dir, "verify = true")})
	awaitCatalog(t, c, "usb/stick/good")
	c.PullWhole("usb/stick/good", "v1", good)
	harness.Eventually(t, "the log says what is wrong", func() error {
		if log := s.Log(); !strings.Contains(log, layer.Desc.Digest.String()) {
			return fmt.Errorf("it says %s", log)
		}
		return nil
	})
	// Without, it is served as it is.
	_, c = start(t, harness.Config{File: media(dir, "")})
	awaitCatalog(t, c, "usb/stick/bad", "usb/stick/good")
}

// Archives that the tools made, copied below a directory of media.
func TestArchivesOnMedia(t *testing.T) {
	t.Parallel()
	dir, image := t.TempDir(), fixture.SimpleImage("on-media")
	_, c := start(t, harness.Config{File: media(dir, "")})
	for path, tag := range archives(t, image) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".tar")
		write(t, filepath.Join(dir, filepath.Base(path)), string(content))
		awaitServed(t, c, "usb/"+name)
		readsOnly(t, c, "usb/"+name, tag, image)
	}
}
