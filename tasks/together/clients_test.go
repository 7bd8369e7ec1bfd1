package together_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/oci"
	"berth/oci/registry"
)

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

// repoName is a repository: some are in the other root, where there is one, and
// a policy deletes tags in some.
func (d *device) repoName(i int) oci.Repo {
	name := fmt.Sprintf("group/app%d", i)
	if i%3 == 2 {
		name += "/strict"
	}
	if len(d.roots) > 1 && i%2 == 1 {
		name = "far/" + name
	}
	return oci.Repo(name)
}

func isStrict(repo oci.Repo) bool { return strings.HasSuffix(string(repo), "/strict") }
func isFar(repo oci.Repo) bool    { return strings.HasPrefix(string(repo), "far/") }

const clients = 6

// deliver makes a blob appear in a repository in one of the ways clients have.
func (d *device) deliver(ctx context.Context, rng *rand.Rand, repo oci.Repo, digest oci.Digest, content []byte) error {
	switch rng.IntN(5) {
	case 0:
		from := oci.Repo("")
		if rng.IntN(2) == 0 {
			from = d.repoName(rng.IntN(clients))
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
	case 2:
		if _, err := d.reg.StatBlob(ctx, repo, digest); err == nil {
			return nil // as clients do with what is there
		}
	}
	return d.reg.PushBlob(ctx, repo, digest, bytes.NewReader(content))
}

// push pushes an image. A client that is slower than the delay may find that
// what it was told of is gone, and begins again; one for which the clock stands
// still may not.
func (d *device) push(ctx context.Context, rng *rand.Rand, repo oci.Repo, tag oci.Tag) error {
	if rng.IntN(2) == 0 {
		err := d.pushOnce(ctx, rng, repo, tag)
		if !isGone(err) {
			return err
		}
	}
	d.clock.frozen.RLock()
	defer d.clock.frozen.RUnlock()
	return d.pushOnce(ctx, rng, repo, tag)
}

func isGone(err error) bool {
	return errors.Is(err, oci.ErrManifestBlobUnknown) || errors.Is(err, oci.ErrUploadUnknown)
}

func (d *device) pushOnce(ctx context.Context, rng *rand.Rand, repo oci.Repo, tag oci.Tag) error {
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
	time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // clients take their time
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

// remove deletes a tag, and sometimes each blob that no other image of the
// repository needs; else these are left to be collected.
func (d *device) remove(ctx context.Context, rng *rand.Rand, repo oci.Repo, tag oci.Tag) error {
	d.mu.Lock()
	blobs, there := d.images[repo][tag]
	delete(d.images[repo], tag)
	needed := slices.Concat(slices.Collect(maps.Values(d.images[repo]))...)
	d.mu.Unlock()
	if !there {
		return nil
	}
	err := d.reg.DeleteManifest(ctx, repo, oci.Reference{Tag: tag})
	if isStrict(repo) && (errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown)) {
		return nil // the policy was faster
	}
	if err != nil || rng.IntN(2) == 0 {
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

// intrude makes a repository as another program does, at times a wrong one. It
// may be collected while it is made, as it is never finished.
func (d *device) intrude(rng *rand.Rand, n int) {
	dir := filepath.Join(d.roots[rng.IntN(len(d.roots))].dir, fmt.Sprintf("foreign/%d", n))
	blobs := filepath.Join(dir, "blobs/sha256")
	_ = os.MkdirAll(blobs, 0o755)
	_ = os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
	_ = os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o644)
	wrong := rng.IntN(2) == 0
	for range 3 {
		_, content := pick(rng)
		name := oci.SHA256.FromBytes(content).Encoded()
		if wrong {
			content[len(content)/2] ^= 1
		}
		_ = os.WriteFile(filepath.Join(blobs, name), content, 0o644)
	}
}
