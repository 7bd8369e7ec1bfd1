package together_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
)

// check pulls every acknowledged image, and reads every file of a blob.
func (d *device) check() {
	d.t.Helper()
	for repo, tags := range d.images {
		for tag, blobs := range tags {
			m, err := d.reg.Manifest(d.t.Context(), repo, oci.Reference{Tag: tag})
			if isStrict(repo) && (errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown)) {
				continue // deleted by the policy
			}
			if err != nil || m.Digest != blobs[len(blobs)-1] {
				d.t.Errorf("%s:%s is %s, %v", repo, tag, m.Digest, err)
				continue
			}
			for _, one := range blobs {
				d.pull(repo, tag, one)
			}
		}
	}
	for _, r := range d.roots {
		d.read(r.dir)
	}
}

func (d *device) pull(repo oci.Repo, tag oci.Tag, digest oci.Digest) {
	d.t.Helper()
	c, err := d.reg.OpenBlob(d.t.Context(), repo, digest, 0, 0)
	if err != nil && isStrict(repo) {
		if _, gone := d.reg.Manifest(d.t.Context(), repo, oci.Reference{Tag: tag}); gone != nil {
			return // deleted by the policy meanwhile
		}
	}
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

// read looks that each file of a blob is what its name says.
func (d *device) read(dir string) {
	d.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
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
		if errors.Is(err, fs.ErrNotExist) {
			return nil // collected
		}
		if err == nil && algorithm.FromBytes(content).Encoded() != filepath.Base(path) {
			d.t.Errorf("%s has other content", path)
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
}

// step runs one round of clients, each in a repository of its own.
func (d *device) step(rng *rand.Rand, n int) {
	d.t.Helper()
	if n%4 == 1 {
		d.intrude(rng, n)
	}
	var all sync.WaitGroup
	for i := range clients {
		mine := rand.New(rand.NewPCG(rng.Uint64(), 1))
		all.Go(func() {
			for range 4 {
				tag := oci.Tag(fmt.Sprintf("v%d", mine.IntN(3)))
				act := d.remove
				if mine.IntN(3) > 0 {
					act = d.push
				}
				if err := act(d.t.Context(), mine, d.repoName(i), tag); err != nil {
					d.t.Errorf("step %d: %s: %v", n, d.repoName(i), err)
				}
			}
		})
	}
	all.Wait()
}

// settle lets everything become old, collects, and looks that nothing is left
// but what the acknowledged images need.
func (d *device) settle() {
	d.t.Helper()
	d.end()
	d.start()
	defer d.check()
	ctx := d.t.Context()
	d.eventually("nothing but images is left", func() error {
		d.clock.leap(delay)
		needed := map[oci.Repo]map[oci.Digest]bool{}
		if err := d.router.WalkRepos(ctx, "", func(repo oci.Repo) error {
			needed[repo] = map[oci.Digest]bool{}
			return nil
		}); err != nil {
			return err
		}
		for repo := range needed {
			if err := d.exactly(ctx, repo); err != nil {
				return err
			}
		}
		return nil
	})
}

// exactly tells whether a repository holds the blobs of its images and no more.
func (d *device) exactly(ctx context.Context, repo oci.Repo) error {
	needed := map[oci.Digest]bool{}
	for _, blobs := range d.images[repo] {
		for _, one := range blobs {
			needed[one] = true
		}
	}
	err := d.router.WalkBlobs(ctx, repo, func(one oci.Digest, _ oci.BlobInfo) error {
		if !needed[one] {
			return fmt.Errorf("%s still holds %s", repo, one)
		}
		return nil
	})
	if errors.Is(err, oci.ErrNameUnknown) {
		return nil // it was empty
	}
	return err
}

func (d *device) eventually(what string, check func() error) {
	d.t.Helper()
	err := check()
	for end := time.Now().Add(5 * time.Minute); err != nil && time.Now().Before(end); err = check() {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		d.t.Fatalf("not yet: %s: %v", what, err)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	for _, roots := range []int{1, 2} {
		for _, badger := range []bool{false, true} {
			for _, commit := range []bool{false, true} {
				t.Run(fmt.Sprintf("roots=%d,index=%v,commit=%v", roots, badger, commit), func(t *testing.T) {
					everything(t, roots, badger, commit)
				})
			}
		}
	}
}

func everything(t *testing.T, roots int, badger, commit bool) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	d := newDevice(t, roots, badger, commit)
	defer func() { d.end() }()
	for n := range 9 {
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
	d.settle()
}
