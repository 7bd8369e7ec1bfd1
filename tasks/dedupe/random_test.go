package dedupe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/cache"
	"berth/fsstore"
	"berth/oci"
	"berth/oci/registry"
	"berth/tasks/dedupe"
)

// device is a registry over a root, with everything that runs beside it.
type device struct {
	t      *testing.T
	dir    string
	badger bool
	commit bool

	store *fsstore.Store
	reg   *registry.Registry
	index oci.Locations
	end   func()

	mu     sync.Mutex                            // guards images
	images map[oci.Repo]map[oci.Tag][]oci.Digest // acknowledged, with their blobs
}

func (d *device) start() {
	d.t.Helper()
	opts := fsstore.Options{Root: d.dir, Commit: d.commit, Dedupe: true, MinFree: 1}
	var x *cache.Index
	if d.badger {
		x = cache.New(cache.Options{
			Dir: filepath.Join(d.dir, ".berth/index"), Group: time.Millisecond, Floor: 1,
			Rebuild: func(ctx context.Context, add func(oci.Digest, oci.Repo) error) error {
				return dedupe.Rebuild(d.store)(ctx, add)
			},
		})
		opts.Locations = x
	}
	var err error
	if d.store, err = fsstore.Open(opts); err != nil {
		d.t.Fatal(err)
	}
	d.index, d.reg = opts.Locations, nil
	regOpts := registry.Options{}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = d.store.Run(ctx) })
	if x != nil {
		regOpts.Finder = x
		running.Go(func() { _ = x.Run(ctx) })
	}
	d.reg = registry.New(d.store, regOpts)
	d.end = func() {
		stop()
		running.Wait()
		if err := d.store.Close(); err != nil {
			d.t.Error(err)
		}
	}
}

// harm does to the index's files what a bad medium does.
func (d *device) harm(rng *rand.Rand) {
	dir := filepath.Join(d.dir, ".berth/index")
	if rng.IntN(3) == 0 {
		if err := os.RemoveAll(dir); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	var files []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		return
	}
	one := files[rng.IntN(len(files))]
	content, err := os.ReadFile(one)
	if err != nil || len(content) == 0 {
		return
	}
	switch rng.IntN(3) {
	case 0:
		content = content[:rng.IntN(len(content))]
	case 1:
		content[rng.IntN(min(len(content), 2000))] ^= 0x55
	case 2:
		_ = os.Remove(one)
		return
	}
	if err := os.WriteFile(one, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func layer(i int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("layer %d.", i)), 3000+500*i)
}

// pick is one of a few digests: layers are shared by most images, and some are
// named by another algorithm.
func pick(rng *rand.Rand) (oci.Digest, []byte) {
	content := layer(rng.IntN(14))
	if rng.IntN(5) == 0 {
		return oci.SHA512.FromBytes(content), content
	}
	return oci.SHA256.FromBytes(content), content
}

// deliver makes a blob appear in a repository in one of the ways clients have.
func (d *device) deliver(ctx context.Context, rng *rand.Rand, repo oci.Repo, digest oci.Digest, content []byte) error {
	switch rng.IntN(4) {
	case 0:
		from := oci.Repo("")
		if rng.IntN(2) == 0 {
			from = repoName(rng.IntN(6))
		}
		err := d.reg.Mount(ctx, repo, from, digest)
		if err == nil || !errors.Is(err, oci.ErrBlobUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
			return err
		}
	case 1:
		id, err := d.reg.StartUpload(ctx, repo, oci.SHA256)
		if err != nil {
			return err
		}
		half := len(content) / 2
		if _, err := d.reg.AppendUpload(ctx, repo, id, 0, bytes.NewReader(content[:half])); err != nil {
			return err
		}
		_, err = d.reg.FinishUpload(ctx, repo, id, digest, int64(half), bytes.NewReader(content[half:]))
		return err
	}
	return d.reg.PushBlob(ctx, repo, digest, bytes.NewReader(content))
}

func repoName(i int) oci.Repo { return oci.Repo(fmt.Sprintf("group/app%d", i)) }

func (d *device) push(ctx context.Context, rng *rand.Rand, repo oci.Repo, tag oci.Tag) error {
	var blobs []oci.Digest
	var described []string
	for range 1 + rng.IntN(4) {
		digest, content := pick(rng)
		if err := d.deliver(ctx, rng, repo, digest, content); err != nil {
			return fmt.Errorf("blob: %w", err)
		}
		blobs = append(blobs, digest)
		described = append(described, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}`, digest, len(content)))
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	content := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, kind, described[0], strings.Join(described, ","))
	pushed, err := d.reg.PushManifest(ctx, repo, registry.ManifestPush{Ref: oci.Reference{Tag: tag}, MediaType: kind, Content: []byte(content)})
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.images[repo] == nil {
		d.images[repo] = map[oci.Tag][]oci.Digest{}
	}
	d.images[repo][tag] = append(blobs, pushed.Digest)
	return nil
}

// remove deletes a tag, and each blob that no other image of the repository
// needs.
func (d *device) remove(ctx context.Context, repo oci.Repo, tag oci.Tag) error {
	d.mu.Lock()
	blobs, there := d.images[repo][tag]
	delete(d.images[repo], tag)
	needed := slices.Concat(slices.Collect(maps.Values(d.images[repo]))...)
	d.mu.Unlock()
	if !there {
		return nil
	}
	if err := d.reg.DeleteManifest(ctx, repo, oci.Reference{Tag: tag}); err != nil {
		return err
	}
	for _, one := range blobs[:len(blobs)-1] {
		if slices.Contains(needed, one) {
			continue
		}
		if err := d.reg.DeleteBlob(ctx, repo, one); err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
	}
	return nil
}

// intrude makes a repository as another program does, at times a wrong one.
func (d *device) intrude(rng *rand.Rand, n int) {
	name := fmt.Sprintf("foreign/%d", n)
	var blobs [][]byte
	for range 3 {
		_, content := pick(rng)
		blobs = append(blobs, content)
	}
	layout(d.t, d.dir, name, blobs...)
	if rng.IntN(2) == 0 {
		wrong := bytes.Clone(blobs[0])
		wrong[len(wrong)/2] ^= 1
		if err := os.WriteFile(blobFile(d.dir, name, blobs[0]), wrong, 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
}

// check pulls every acknowledged image, and reads every file of a blob.
func (d *device) check() {
	d.t.Helper()
	for repo, tags := range d.images {
		for tag, blobs := range tags {
			m, err := d.reg.Manifest(d.t.Context(), repo, oci.Reference{Tag: tag})
			if err != nil || m.Digest != blobs[len(blobs)-1] {
				d.t.Errorf("%s:%s is %s, %v", repo, tag, m.Digest, err)
			}
			for _, one := range blobs {
				d.pull(repo, one)
			}
		}
	}
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() || strings.Contains(path, "/.berth/") || strings.Contains(path, "/foreign/") {
			return err
		}
		algorithm := oci.Algorithm(filepath.Base(filepath.Dir(path)))
		if algorithm != oci.SHA256 && algorithm != oci.SHA512 {
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil && algorithm.FromBytes(content).Encoded() != filepath.Base(path) {
			d.t.Errorf("%s has other content", path)
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
}

func (d *device) pull(repo oci.Repo, digest oci.Digest) {
	d.t.Helper()
	c, err := d.reg.OpenBlob(d.t.Context(), repo, digest, 0)
	if err != nil {
		d.t.Errorf("%s of %s: %v", digest, repo, err)
		return
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err != nil || digest.Algorithm().FromBytes(content) != digest {
		d.t.Errorf("%s of %s: wrong content, %v", digest, repo, err)
	}
}

// step runs one round of clients, each in a repository of its own, beside the
// enforcement.
func (d *device) step(rng *rand.Rand, n int) {
	d.t.Helper()
	if n%4 == 1 {
		d.intrude(rng, n)
	}
	var clients sync.WaitGroup
	for i := range 6 {
		mine := rand.New(rand.NewPCG(rng.Uint64(), 1))
		clients.Go(func() {
			for range 3 {
				tag := oci.Tag(fmt.Sprintf("v%d", mine.IntN(3)))
				act := d.remove
				if mine.IntN(3) > 0 {
					act = func(ctx context.Context, repo oci.Repo, tag oci.Tag) error { return d.push(ctx, mine, repo, tag) }
				}
				if err := act(d.t.Context(), repoName(i), tag); err != nil {
					d.t.Errorf("step %d: %v", n, err)
				}
			}
		})
	}
	clients.Go(func() {
		if _, err := dedupe.Run(d.t.Context(), d.store, d.index, dedupe.Options{All: n%2 == 0, Entries: 1 << (n % 8)}); err != nil {
			d.t.Errorf("step %d: enforcement: %v", n, err)
		}
	})
	clients.Wait()
}

// TestEverythingAtOnce runs pushes, mounts, deletes, the enforcement and other
// programs side by side, with restarts between, and looks after each step that
// nothing acknowledged is lost and no file has wrong bytes.
func TestEverythingAtOnce(t *testing.T) {
	for _, badger := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("index=%v,commit=%v", badger, commit), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
				d := &device{t: t, dir: t.TempDir(), badger: badger, commit: commit, images: map[oci.Repo]map[oci.Tag][]oci.Digest{}}
				d.start()
				defer func() { d.end() }()
				for n := range 12 {
					d.step(rng, n)
					d.check()
					if t.Failed() {
						t.Fatalf("after step %d", n)
					}
					if n%3 == 2 {
						d.end()
						d.harm(rng)
						d.start()
					}
				}
			})
		}
	}
}
