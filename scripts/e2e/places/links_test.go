package places

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// linkless is a directory of a file system that refuses hard links, as FAT and
// exFAT do.
type linkless struct {
	*fs.LoopbackNode
	refusal syscall.Errno
}

var (
	_ fs.NodeLinker      = (*linkless)(nil)
	_ fs.NodeWrapChilder = (*linkless)(nil)
)

// WrapChild implements fs.NodeWrapChilder.
func (l *linkless) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &linkless{child.(*fs.LoopbackNode), l.refusal}
}

// Link implements fs.NodeLinker.
func (l *linkless) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, l.refusal
}

// withoutLinks mounts a file system that answers to every hard link with a
// refusal.
func withoutLinks(t *testing.T, refusal syscall.Errno) string {
	t.Helper()
	below, dir := t.TempDir(), t.TempDir()
	root := &fs.LoopbackRoot{Path: below}
	top := &linkless{&fs.LoopbackNode{RootData: root}, refusal}
	root.RootNode = top
	server, err := fs.Mount(dir, top, &fs.Options{MountOptions: fuse.MountOptions{FsName: "linkless", DirectMount: true}})
	if err != nil {
		t.Fatalf("mount of a FUSE file system, which takes /dev/fuse and root: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// A file system without hard links: copies, said once, and nothing else is
// different.
func TestWithoutLinks(t *testing.T) {
	for name, refusal := range map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOTSUP": syscall.ENOTSUP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := withoutLinks(t, refusal)
			if err := os.WriteFile(root+"/a", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(root+"/a", root+"/b"); err == nil {
				t.Fatal("this file system makes links")
			}
			for _, commit := range []string{"false", "true"} {
				s, c := start(t, harness.Config{Root: root + "/" + commit, File: "storage.commit = " + commit})
				pushThrice(t, c, commit)
				for _, repo := range []string{"a", "b/c", "d"} {
					check(t, s.Dir(repo))
				}
				s.Stop()
				if n := strings.Count(s.Log(), "a hard link was refused"); n != 1 {
					t.Errorf("it is said %d times that there are no links\n%s", n, s.Log())
				}
			}
		})
	}
}

// pushThrice brings an image into three repositories by all that dedupe does.
func pushThrice(t *testing.T, c *wire.Client, seed string) {
	t.Helper()
	image := fixture.SimpleImage("linkless " + seed)
	c.Push("a", "v1", image)
	c.Push("b/c", "v1", image)
	for _, n := range image.Children {
		c.Do(wire.Request{Method: "POST", Path: wire.UploadsPath("d") + "?mount=" + n.Desc.Digest.String() + "&from=a"}).Want(201)
	}
	c.PutManifest("d", "v1", image).Want(201)
	c.PutManifest("d", "v2", image).Want(201)
	c.Delete(wire.BlobPath("a", image.Children[1].Desc.Digest)).Want(202)
	c.PullWhole("b/c", "v1", image)
	c.PullWhole("d", "v2", image)
	c.PushBlob("a", image.Children[1])
	c.PullWhole("a", "v1", image)
}
