package scrub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/fsstore"
	"berth/oci"
	"berth/tasks/scrub"
)

// disk is a store on a real file system that counts what is read once.
type disk struct {
	*fsstore.Store
	t   *testing.T
	dir string

	mu    sync.Mutex // guards what follows
	reads map[oci.Digest]int
	bytes int64
	hook  func(repo oci.Repo, d oci.Digest) // at each opening
	lost  []string
}

func newDisk(t *testing.T, opts fsstore.Options) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir(), reads: map[oci.Digest]int{}}
	opts.Root, opts.MinFree = d.dir, 1
	d.reopen(opts)
	return d
}

func (d *disk) reopen(opts fsstore.Options) {
	d.t.Helper()
	opts.Root, opts.MinFree = d.dir, 1
	var err error
	if d.Store, err = fsstore.Open(opts); err != nil {
		d.t.Fatal(err)
	}
	s := d.Store
	d.t.Cleanup(func() { _ = s.Close() })
}

// OpenOnce counts.
func (d *disk) OpenOnce(ctx context.Context, repo oci.Repo, digest oci.Digest, fresh bool) (oci.Content, error) {
	c, err := d.Store.OpenOnce(ctx, repo, digest, fresh)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.reads[digest]++
	d.bytes += c.Info().Size
	hook := d.hook
	d.mu.Unlock()
	if hook != nil {
		hook(repo, digest)
	}
	return c, nil
}

// counted returns what was read since the last call.
func (d *disk) counted() (reads map[oci.Digest]int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reads, bytes = d.reads, d.bytes
	d.reads, d.bytes = map[oci.Digest]int{}, 0
	return reads, bytes
}

func (d *disk) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// ctx is one that lasts as long as the test.
func (d *disk) ctx() context.Context { return d.t.Context() }

// blob pushes a blob.
func (d *disk) blob(repo oci.Repo, a oci.Algorithm, content string) oci.Digest {
	d.t.Helper()
	digest := a.FromString(content)
	id, err := d.CreateUpload(d.ctx(), repo, a)
	d.ok(err)
	_, err = d.FinishUpload(d.ctx(), repo, id, digest, 0, strings.NewReader(content))
	d.ok(err)
	return digest
}

func descriptor(mediaType string, d oci.Digest, size int) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, d, size)
}

const layerType = "application/vnd.oci.image.layer.v1.tar"

// manifest is an image of layers, which it pushes with the manifest. It returns
// the digests of manifest, config and layers.
func (d *disk) manifest(repo oci.Repo, config string, layers ...string) []oci.Digest {
	d.t.Helper()
	all := []oci.Digest{"", d.blob(repo, oci.SHA256, config)}
	var list []string
	for _, l := range layers {
		digest := d.blob(repo, oci.SHA256, l)
		all, list = append(all, digest), append(list, descriptor(layerType, digest, len(l)))
	}
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, oci.MediaTypeManifest,
		descriptor("application/vnd.oci.image.config.v1+json", all[1], len(config)), strings.Join(list, ","))
	all[0] = d.put(repo, body)
	return all
}

func (d *disk) put(repo oci.Repo, body string) oci.Digest {
	d.t.Helper()
	digest := oci.SHA256.FromString(body)
	d.ok(d.PutBlob(d.ctx(), repo, digest, []byte(body)))
	return digest
}

// tag adds an entry to the index; tag "" for none.
func (d *disk) tag(repo oci.Repo, tag oci.Tag, digest oci.Digest) {
	d.t.Helper()
	data, version, err := d.LoadIndex(d.ctx(), repo, "")
	d.ok(err)
	index, err := oci.ParseIndex(data)
	d.ok(err)
	info, err := d.StatBlob(d.ctx(), repo, digest)
	d.ok(err)
	var tags []oci.Tag
	if tag != "" {
		tags = append(tags, tag)
	}
	mediaType := oci.MediaTypeManifest
	if body, err := os.ReadFile(d.path(repo, digest)); err == nil && strings.Contains(string(body), `"manifests"`) {
		mediaType = oci.MediaTypeIndex
	}
	index = index.Put(oci.Descriptor{MediaType: mediaType, Digest: digest, Size: info.Size}, "", tags...)
	_, err = d.SwapIndex(d.ctx(), repo, version, index.JSON())
	d.ok(err)
}

// image pushes an image and tags it.
func (d *disk) image(repo oci.Repo, tag oci.Tag, config string, layers ...string) []oci.Digest {
	d.t.Helper()
	all := d.manifest(repo, config, layers...)
	d.tag(repo, tag, all[0])
	return all
}

func (d *disk) path(repo oci.Repo, digest oci.Digest) string {
	return filepath.Join(d.dir, string(repo), "blobs", string(digest.Algorithm()), digest.Encoded())
}

// flip changes one bit of a blob, behind the store's back.
func (d *disk) flip(repo oci.Repo, digest oci.Digest, at int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.path(repo, digest), os.O_RDWR, 0)
	d.ok(err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 0x10
	_, written := f.WriteAt(b[:], at)
	d.ok(errors.Join(err, written, f.Sync(), f.Close()))
}

// scrub runs a round that has to end well.
func (d *disk) scrub(opts scrub.Options) scrub.Report {
	d.t.Helper()
	opts.Lost = func(repo oci.Repo, digest oci.Digest) { d.lost = append(d.lost, string(repo)+" "+digest.String()[:14]) }
	report, err := scrub.New(d, opts).Run(d.ctx(), nil)
	d.ok(err)
	return report
}

// problems is the report in short: repository, blob, kind and outcome.
func problems(r scrub.Report) string {
	var lines []string
	for _, p := range r.Problems {
		blob := "-"
		if p.Blob != "" {
			blob = p.Blob.String()[:14]
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", p.Repository, blob, p.Kind, p.Outcome)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// is compares texts.
func (d *disk) is(what, got, want string) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// table is the rows of a report in short.
func (d *disk) table(r scrub.Report) string {
	d.t.Helper()
	var lines []string
	d.ok(scrub.Table(d.ctx(), d, r, func(row scrub.Row) error {
		tag, blob := row.Tag, row.Blob
		if len(tag) > 14 {
			tag = tag[:14]
		}
		if blob != "" {
			blob = blob[:14]
		}
		kind, _, _ := strings.Cut(row.Error, ":")
		lines = append(lines, strings.TrimSpace(strings.Join([]string{row.Repository, tag, row.Status, blob, kind}, " ")))
		return nil
	}))
	return strings.Join(lines, "\n")
}

// note reads a note of the store as JSON.
func note[T any](d *disk, name string) (value T) {
	d.t.Helper()
	content, err := d.LoadNote(name, 1<<24)
	d.ok(err)
	d.ok(json.Unmarshal(content, &value))
	return value
}

// large is content of several windows.
func large(seed string, n int) string {
	return strings.Repeat(seed+strings.Repeat(".", 61-len(seed))+"\r\n\t", n/64+1)[:n]
}

// clock is one that a test moves.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
