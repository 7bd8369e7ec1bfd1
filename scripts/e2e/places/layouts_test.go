package places

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// readsOnly fails the test unless an image can be pulled and nothing pushed.
func readsOnly(t *testing.T, c *wire.Client, repo, tag string, image fixture.Node) {
	t.Helper()
	c.PullWhole(repo, tag, image)
	layer := image.Children[1]
	whole := c.Get(wire.BlobPath(repo, layer.Desc.Digest)).Want(200)
	part := c.Do(wire.Request{Method: "GET", Path: wire.BlobPath(repo, layer.Desc.Digest), Header: map[string]string{"Range": "bytes=7-19"}}).Want(206)
	if string(part.Body) != string(whole.Body[7:20]) {
		t.Errorf("bytes 7 to 19 are %q, not %q", part.Body, whole.Body[7:20])
	}
	for _, r := range []wire.Request{
		{Method: "POST", Path: wire.UploadsPath(repo)},
		wire.ManifestRequest(repo, "v9", image),
		{Method: "DELETE", Path: wire.ManifestPath(repo, image.Desc.Digest.String())},
		{Method: "DELETE", Path: wire.BlobPath(repo, layer.Desc.Digest)},
	} {
		c.Do(r).WantError(405)
	}
	c.PullWhole(repo, tag, image)
}

// A directory that is itself one layout is one repository.
func TestRootIsOneLayout(t *testing.T) {
	t.Parallel()
	image, dir := fixture.SimpleImage("one"), filepath.Join(t.TempDir(), "My Till")
	layout(t, dir, image)
	before := files(t, dir)
	_, c := start(t, harness.Config{Root: dir})
	wantCatalog(t, c, "my-till")
	readsOnly(t, c, "my-till", "v1", image)

	_, c = start(t, harness.Config{Root: dir, Args: []string{"--name", "shop/till"}})
	wantCatalog(t, c, "shop/till")
	readsOnly(t, c, "shop/till", "v1", image)
	if after := files(t, dir); !slices.Equal(after, before) {
		t.Errorf("the layout was %v and is %v", before, after)
	}
}

// archives makes OCI archives of an image by the tools that people have; the
// value is the tag in it.
func archives(t *testing.T, image fixture.Node) map[string]string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(t.TempDir(), "source")
	layout(t, source, image)
	_, c := start(t, harness.Config{})
	c.Push("app", "v1", image)
	made := map[string]string{}
	add := func(name, tag string) string {
		path := filepath.Join(dir, name+".tar")
		made[path] = tag
		return path
	}
	harness.Run(t, "skopeo", "--insecure-policy", "copy", "oci:"+source+":v1", "oci-archive:"+add("skopeo", "v1")+":v1")
	harness.Run(t, "regctl", "image", "export", "ocidir://"+source+":v1", add("regctl", "v1"))
	// docker buildx -o type=oci writes what tar does of the layout's files.
	harness.Run(t, "tar", "-C", source, "-cf", add("gnu", "v1"), "blobs", "index.json", "oci-layout")
	harness.Run(t, "tar", "-C", source, "--format=pax", "-cf", add("pax", "v1"), ".")
	return made
}

// An archive is served in place, as the root and as a subpath.
func TestArchives(t *testing.T) {
	t.Parallel()
	image := fixture.SimpleImage("archives")
	for path, tag := range archives(t, image) {
		name := strings.TrimSuffix(filepath.Base(path), ".tar")
		t.Run(name, func(t *testing.T) {
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			s, c := start(t, harness.Config{Root: path, File: subPaths(map[string]string{"/far/away": linked(t, path)})})
			wantCatalog(t, c, "far/away", name)
			readsOnly(t, c, name, tag, image)
			readsOnly(t, c, "far/away", tag, image)
			s.Stop()
			if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("the archive was written to: %v", err)
			}
		})
	}
}

// linked makes a second name for a file, since no two roots may be the same.
func linked(t *testing.T, path string) string {
	t.Helper()
	second := filepath.Join(filepath.Dir(path), "second-"+filepath.Base(path))
	if err := os.Link(path, second); err != nil {
		t.Fatal(err)
	}
	return second
}

// podman chooses the bytes itself: what it saved is served, and pulled by it.
func TestArchiveOfPodman(t *testing.T) {
	t.Parallel()
	storage := []string{"--root", t.TempDir(), "--runroot", t.TempDir(), "--storage-driver", "vfs"}
	engine := func(name string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(harness.Run(t, name, append(slices.Clone(storage), args...)...))
	}
	container := engine("buildah", "from", "scratch")
	engine("buildah", "config", "--label", "made=by-podman", container)
	engine("buildah", "commit", "--format", "oci", container, "local:v1")
	path := filepath.Join(t.TempDir(), "podman.tar")
	engine("podman", "save", "--format", "oci-archive", "--output", path, "local:v1")
	s, c := start(t, harness.Config{Root: path})
	wantCatalog(t, c, "podman")
	c.Get(wire.ManifestPath("podman", "v1")).Want(200) // podman writes the whole reference, localhost/local:v1
	engine("podman", "rmi", "--all", "--force")
	engine("podman", "pull", "--tls-verify=false", s.Ref("podman:v1"))
}

// What cannot be served in place says why, and starts nothing.
func TestArchivesRefused(t *testing.T) {
	t.Parallel()
	source, dir := filepath.Join(t.TempDir(), "source"), t.TempDir()
	layout(t, source, fixture.SimpleImage("refused"))
	harness.Run(t, "tar", "-C", source, "-czf", dir+"/gzip.tar", ".")
	harness.Run(t, "tar", "-C", source, "-cf", dir+"/index.tar", "blobs", "oci-layout")
	for name, want := range map[string]string{"gzip.tar": "gunzip", "index.tar": "no index.json", "none.tar": "does not exist"} {
		s := harness.Start(t, harness.Config{Root: filepath.Join(dir, name), NoWait: true})
		if err := s.Wait(); err == nil || !strings.Contains(s.Log(), want) {
			t.Errorf("%s: %v\n%s", name, err, s.Log())
		}
	}
}

// A tree of layouts on a medium that cannot be written to, at any depth, names
// that are none skipped.
func TestTreeOnReadOnlyMedium(t *testing.T) {
	t.Parallel()
	image, root := fixture.SimpleImage("tree"), t.TempDir()
	for _, repo := range []string{"app", "a/b/c/d/e/f", "a/b", "Not Valid", "a/_x"} {
		layout(t, filepath.Join(root, repo), image)
	}
	s, c := start(t, harness.Config{
		Root: root, Args: []string{"--read-only"},
		Wrap: harness.InMounts(root, `mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"`),
	})
	wantCatalog(t, c, "a/b", "a/b/c/d/e/f", "app")
	readsOnly(t, c, "a/b/c/d/e/f", "v1", image)
	wantCatalog(t, c, "a/b", "a/b/c/d/e/f", "app")
	for _, path := range []string{`path="Not Valid"`, `path=a/_x`} {
		if n := strings.Count(s.Log(), `msg="layout is skipped" `+path); n != 1 {
			t.Errorf("it is said %d times that %s is skipped\n%s", n, path, s.Log())
		}
	}
}
