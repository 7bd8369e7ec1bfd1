package fsstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/fsstore"
	"berth/fsstore/durable"
	"berth/fsstore/simfs"
	"berth/oci"
)

// clock is a clock that goes on a little with each look at it.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time           { return time.Unix(0, c.nanos.Add(int64(50*time.Microsecond))) }
func (c *clock) advance(d time.Duration)  { c.nanos.Add(int64(d)) }
func digest512(content []byte) oci.Digest { return oci.SHA512.FromBytes(content) }
func body(n int, seed string) (out []byte) {
	for sum := sha256.Sum256([]byte(seed)); len(out) < n; sum = sha256.Sum256(sum[:]) {
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// digests has those of contents that were asked for before: a sweep asks for the
// same few thousands of times, and 32-bit machines take theirs.
var digests = struct {
	sync.RWMutex
	known map[string]oci.Digest
}{known: make(map[string]oci.Digest)}

func digestOf(content []byte) oci.Digest {
	digests.RLock()
	d, known := digests.known[string(content)]
	digests.RUnlock()
	if known {
		return d
	}
	d = oci.SHA256.FromBytes(content)
	digests.Lock()
	defer digests.Unlock()
	digests.known[string(content)] = d
	return d
}

// isOf reports whether a digest is content's; what it is asked for is not kept,
// as it may be torn in any of many ways.
func isOf(d oci.Digest, content []byte) bool {
	digests.RLock()
	known := digests.known[string(content)]
	digests.RUnlock()
	return known == d || d.Algorithm().FromBytes(content) == d
}

func indexOf(note string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"manifests":[],"annotations":{"note":%q}}`, note)
}

const empty = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

type key struct {
	repo   oci.Repo
	digest oci.Digest
}

type upload struct {
	repo    oci.Repo
	content []byte // acknowledged
}

// world is a store over a simulated file system, and what is known of it: what
// was acknowledged, and what was attempted.
type world struct {
	t      *testing.T
	fs     *simfs.FS
	clock  *clock
	commit bool
	apart  bool   // without dedupe
	hints  *hints // that outlive each power cut, and lie after it
	*fsstore.Store

	blobs   map[key][]byte // acknowledged
	tried   map[key][]byte // attempted, acknowledged or not
	deleted map[key]bool   // acknowledged
	doomed  map[key]bool   // to be deleted, acknowledged or not
	// indexes has each index's states: the first may be found after a power
	// cut, and any later one.
	indexes map[oci.Repo][]string
	acked   map[oci.Repo]string
	settled map[oci.Repo]bool // no power cut can take all its states
	uploads map[oci.UploadID]upload
	wrong   map[key]bool // another program put wrong bytes there
}

func newWorld(t *testing.T, commit bool) *world {
	w := unopened(t, commit)
	w.start()
	return w
}

// unopened is a world with an empty root.
func unopened(t *testing.T, commit bool) *world {
	c := newClock()
	w := &world{
		t: t, fs: simfs.New(c.now), clock: c, commit: commit, hints: newHints("nobody/at/all", "a"),
		blobs: map[key][]byte{}, tried: map[key][]byte{}, deleted: map[key]bool{}, doomed: map[key]bool{},
		indexes: map[oci.Repo][]string{}, acked: map[oci.Repo]string{}, settled: map[oci.Repo]bool{}, uploads: map[oci.UploadID]upload{}, wrong: map[key]bool{},
	}
	w.fs.SetCapacity(900 << 10) // too little for a reserve, which most tests do not need
	return w
}

func (w *world) start() {
	w.t.Helper()
	s, err := fsstore.Open(fsstore.Options{
		Root: "sim", FS: w.fs, Commit: w.commit, MinFree: 4096, Now: w.clock.now,
		Dedupe: !w.apart, Locations: w.hints,
	})
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	w.Store = s
}

// stop closes the store; everything acknowledged is settled then.
func (w *world) stop() {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
	for repo, index := range w.acked {
		w.indexes[repo], w.settled[repo] = []string{index}, true
	}
}

// upkeep runs one round of the background work.
func (w *world) upkeep() {
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	if err := w.Run(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// crash cuts the power and starts again.
func (w *world) crash(loss simfs.Loss, seed uint64) {
	w.t.Helper()
	w.fs = w.fs.Crash(loss, seed)
	w.start()
}

func (w *world) ctx() context.Context { return context.Background() }

func (w *world) put(repo oci.Repo, content []byte) error {
	k := key{repo, digestOf(content)}
	w.tried[k] = content
	delete(w.deleted, k)
	return w.ack(k, content, w.PutBlob(w.ctx(), repo, k.digest, content))
}

func (w *world) ack(k key, content []byte, err error) error {
	if err == nil {
		w.blobs[k] = content
	}
	return err
}

func (w *world) link(from, to oci.Repo, content []byte) error {
	k := key{to, digestOf(content)}
	w.tried[k] = content
	delete(w.deleted, k)
	return w.ack(k, content, w.LinkBlob(w.ctx(), from, to, k.digest))
}

func (w *world) delete(repo oci.Repo, content []byte) error {
	k := key{repo, digestOf(content)}
	delete(w.blobs, k)
	w.doomed[k] = true
	err := w.DeleteBlob(w.ctx(), repo, k.digest)
	if err == nil {
		w.deleted[k] = true
	}
	return err
}

func (w *world) create(repo oci.Repo) (oci.UploadID, error) {
	id, err := w.CreateUpload(w.ctx(), repo, oci.SHA256)
	if err == nil {
		w.uploads[id] = upload{repo: repo}
	}
	return id, err
}

func (w *world) chunk(repo oci.Repo, id oci.UploadID, chunk []byte) error {
	before := w.uploads[id].content
	_, err := w.AppendUpload(w.ctx(), repo, id, int64(len(before)), bytes.NewReader(chunk))
	if err == nil {
		w.uploads[id] = upload{repo, append(bytes.Clone(before), chunk...)}
	}
	return err
}

func (w *world) finish(repo oci.Repo, id oci.UploadID, rest []byte) error {
	content := append(bytes.Clone(w.uploads[id].content), rest...)
	k := key{repo, digestOf(content)}
	w.tried[k] = content
	delete(w.deleted, k)
	_, err := w.FinishUpload(w.ctx(), repo, id, k.digest, oci.AtEnd, bytes.NewReader(rest))
	if err == nil || !errors.Is(err, oci.ErrUploadUnknown) {
		delete(w.uploads, id)
	}
	return w.ack(k, content, err)
}

// push is an upload in one go.
func (w *world) push(repo oci.Repo, content []byte) error {
	id, err := w.create(repo)
	if err != nil {
		return err
	}
	return w.finish(repo, id, content)
}

func (w *world) load(repo oci.Repo) (string, oci.Version, error) {
	content, version, err := w.LoadIndex(w.ctx(), repo, "")
	return string(content), version, err
}

func (w *world) swap(repo oci.Repo, index string) error {
	_, version, err := w.load(repo)
	if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
		return err
	}
	w.indexes[repo] = append(w.indexes[repo], index)
	if _, err = w.SwapIndex(w.ctx(), repo, version, []byte(index)); err == nil {
		w.acked[repo] = index
		if w.commit {
			w.indexes[repo], w.settled[repo] = []string{index}, true
		}
	}
	return err
}

// read reads a blob, nil where it is unknown.
func (w *world) read(k key) []byte {
	w.t.Helper()
	info, err := w.StatBlob(w.ctx(), k.repo, k.digest)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return nil
	}
	if err != nil {
		w.t.Fatalf("stat %v: %v", k, err)
	}
	c, err := w.OpenBlob(w.ctx(), k.repo, k.digest, 0)
	if err != nil {
		w.t.Fatalf("open %v: %v", k, err)
	}
	defer c.Close()
	content, err := io.ReadAll(c)
	if err != nil || int64(len(content)) != info.Size {
		w.t.Fatalf("read %v: %d of %d bytes, %v", k, len(content), info.Size, err)
	}
	if content == nil {
		content = []byte{}
	}
	return content
}

// check holds what is found against what is known. all: everything
// acknowledged must be there.
func (w *world) check(all bool) {
	w.t.Helper()
	for k, want := range w.tried {
		got := w.read(k)
		if got != nil && !bytes.Equal(got, want) {
			w.t.Errorf("blob %.20s of %s: wrong content", k.digest, k.repo)
		}
		if all && got == nil && w.blobs[k] != nil {
			w.t.Errorf("blob %.20s of %s is lost", k.digest, k.repo)
		}
		if all && got != nil && w.deleted[k] {
			w.t.Errorf("blob %.20s of %s is back after its delete", k.digest, k.repo)
		}
	}
	w.checkWalk()
	w.checkIndexes(all)
	w.checkLayouts()
}

// checkWalk reads every blob that can be found.
func (w *world) checkWalk() {
	w.t.Helper()
	var repos []oci.Repo
	err := w.WalkRepos(w.ctx(), "", func(repo oci.Repo) error {
		repos = append(repos, repo)
		return w.WalkBlobs(w.ctx(), repo, func(d oci.Digest, _ oci.BlobInfo) error {
			if got := w.read(key{repo, d}); got != nil && !w.wrong[key{repo, d}] && !isOf(d, got) {
				w.t.Errorf("blob %.20s of %s does not match its digest", d, repo)
			}
			return nil
		})
	})
	if err != nil {
		w.t.Errorf("walk: %v", err)
	}
	for _, repo := range repos {
		if _, _, err := w.load(repo); err != nil {
			w.t.Errorf("%s is listed, its index: %v", repo, err)
		}
	}
}

func (w *world) checkIndexes(all bool) {
	w.t.Helper()
	for repo, states := range w.indexes {
		got, _, err := w.load(repo)
		if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
			w.t.Errorf("index of %s: %v", repo, err)
			continue
		}
		fine := false
		for _, state := range states {
			fine = fine || got == state
		}
		if all && w.acked[repo] != "" && got == "" {
			fine = false
		}
		if !fine && !w.settled[repo] && (got == "" || got == empty) {
			fine = true // as it was before the first, which was not settled
		}
		if !fine {
			w.t.Errorf("index of %s: %q, %v; allowed are %q", repo, got, err, states)
		}
	}
}

// checkLayouts sees to it that whatever is visible is a valid layout.
func (w *world) checkLayouts() {
	w.t.Helper()
	err := w.WalkRepos(w.ctx(), "", func(repo oci.Repo) error {
		content, _, err := durable.ReadFile(w.fs, string(repo)+"/oci-layout", 1<<10)
		if err != nil || !strings.Contains(string(content), `"imageLayoutVersion":"1.0.0"`) {
			w.t.Errorf("%s/oci-layout: %q, %v", repo, content, err)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// tmpFiles lists what lies in .berth/tmp.
func (w *world) tmpFiles() (names []string) {
	_ = w.fs.ReadDir(".berth/tmp", func(name string, _ durable.Kind) error {
		names = append(names, name)
		return nil
	})
	return names
}
