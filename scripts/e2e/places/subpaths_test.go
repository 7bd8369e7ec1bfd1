package places

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// subPaths is a configuration with further roots by prefix.
func subPaths(roots map[string]string) string {
	var b strings.Builder
	for prefix, root := range roots {
		fmt.Fprintf(&b, "[storage.subPaths.%q]\nrootDirectory = %q\n", prefix, root)
	}
	return b.String()
}

// Several roots are one registry.
func TestSubPaths(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	s, c := start(t, harness.Config{File: subPaths(map[string]string{"/m": one, "m/inner/deep": two})})
	image := fixture.SimpleImage("subpaths")
	for repo, dir := range map[string]string{
		"a": s.Dir("a"), "m": s.Dir("m"), "m/x": one + "/x", "m/inner/x": one + "/inner/x",
		"m/inner/deep/x/y": two + "/x/y", "m-x": s.Dir("m-x"), "z": s.Dir("z"),
	} {
		c.Push(repo, "v1", image)
		c.PullWhole(repo, "v1", image)
		check(t, dir)
	}
	all := []string{"a", "m", "m-x", "m/inner/deep/x/y", "m/inner/x", "m/x", "z"}
	wantCatalog(t, c, all...)
	var paged []string
	for path := "/v2/_catalog?n=2"; path != ""; {
		a := c.Get(path).Want(200)
		var list struct{ Repositories []string }
		a.JSON(&list)
		paged = append(paged, list.Repositories...)
		path = a.Next()
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) {
		t.Errorf("by pages the catalog is %v, want %v", paged, all)
	}
	// Within a root a blob lies there once, also for subpaths: at the latest when
	// all have been looked through, where the index was not open at once.
	harness.Eventually(t, "a blob lies there once", func() error { return shared(t, one+"/x", one+"/inner/x", image) })
}

// A mount from one root to another copies where it cannot link.
func TestMountAcrossRoots(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts and has to run as root")
	}
	second := t.TempDir()
	s, c := start(t, harness.Config{
		File: subPaths(map[string]string{"/far": second}),
		Wrap: harness.InMounts(second, `mount -t tmpfs tmpfs "$root"`),
	})
	image := fixture.SimpleImage("across")
	c.Push("near", "v1", image)
	for _, n := range image.Children {
		a := c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("far/app") + "?mount=" + n.Desc.Digest.String() + "&from=near"}).Want(201)
		a.WantHeader("Docker-Content-Digest", n.Desc.Digest.String())
	}
	c.PutManifest("far/app", "v1", image).Want(201)
	c.Delete(wire.BlobPath("near", image.Children[1].Desc.Digest)).Want(202)
	c.PullWhole("far/app", "v1", image)
	unknown := fixture.Raw(octets, []byte("nobody has this"))
	c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("far/app") + "?mount=" + unknown.Desc.Digest.String() + "&from=near"}).Want(202)
	s.Stop()
}

// unavailable is what a repository of a missing root answers.
func unavailable(c *wire.Client, repo string, image fixture.Node) {
	for _, r := range []wire.Request{
		{Method: "GET", Path: wire.ManifestPath(repo, "v1")},
		{Method: "GET", Path: wire.BlobPath(repo, image.Children[1].Desc.Digest)},
		{Method: "GET", Path: "/v2/" + repo + "/tags/list"},
		{Method: "POST", Path: wire.UploadsPath(repo)},
		wire.ManifestRequest(repo, "v2", image),
	} {
		c.Do(r).WantError(503)
	}
}

// A disk that is taken away takes its own repositories with it and nothing
// else; what is pushed meanwhile does not fill its mount point.
func TestDiskGoesAndComesBack(t *testing.T) {
	t.Parallel()
	image, dir := fixture.SimpleImage("disk"), t.TempDir()
	ext4 := disk(t, "DATA", func(dir string) { layout(t, dir+"/registry/app", image) })
	mount(t, ext4, dir)
	_, c := start(t, harness.Config{File: subPaths(map[string]string{"/disk": dir + "/registry"})})
	c.Push("app", "v1", image)
	c.PullWhole("disk/app", "v1", image)
	c.Push("disk/new", "v1", image)
	wantCatalog(t, c, "app", "disk/app", "disk/new")

	// As when the plug is pulled: the mount goes while the root is open.
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	unavailable(c, "disk/app", image)
	unavailable(c, "disk/fresh", image)
	c.PullWhole("app", "v1", image)
	c.Push("other", "v1", image)
	wantCatalog(t, c, "app", "other")
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("the mount point was filled: %v", left)
	}

	// What still held the disk is let go of, so that it can be mounted anew.
	mount(t, ext4, dir)
	c.PullWhole("disk/app", "v1", image)
	c.PullWhole("disk/new", "v1", image)
	c.Push("disk/newer", "v1", image)
	wantCatalog(t, c, "app", "disk/app", "disk/new", "disk/newer", "other")
}

// A disk that fstab names and that is not mounted when berth starts.
func TestDiskOfFstab(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts and has to run as root")
	}
	dir := t.TempDir()
	point := mkdir(t, dir+"/disk")
	fstab := harness.WriteFile(t, "fstab", "tmpfs "+point+" tmpfs noauto 0 0\n")
	s, c := start(t, harness.Config{
		File: subPaths(map[string]string{"/disk": point + "/registry"}),
		Wrap: harness.InMounts(fstab, `mount --bind "$root" /etc/fstab`),
	})
	image := fixture.SimpleImage("fstab")
	unavailable(c, "disk/app", image)
	c.Push("app", "v1", image)
	if left := files(t, point); len(left) != 1 {
		t.Errorf("the mount point was filled: %v", left)
	}
	harness.Eventually(t, "the log says what is missing", func() error {
		if strings.Contains(s.Log(), "a subpath is not available") && strings.Contains(s.Log(), point+" is not mounted") {
			return nil
		}
		return fmt.Errorf("it says %s", s.Log())
	})
	command(t, "nsenter", "--target", strconv.Itoa(s.PID()), "--mount", "mount", "-t", "tmpfs", "tmpfs", point)
	c.Push("disk/app", "v1", image)
	c.PullWhole("disk/app", "v1", image)
	wantCatalog(t, c, "app", "disk/app")
	if !strings.Contains(s.Log(), "a subpath is available again") {
		t.Errorf("the log does not say that it is back:\n%s", s.Log())
	}
	if left := files(t, point); len(left) != 1 {
		t.Errorf("what lies below the mount was filled: %v", left)
	}
}
