// Package ocitest is what tests of stores and of the registry share: a store in
// memory, which is the plainest statement of what the ports mean, the suite
// that every store must pass, and a store that fails on demand.
package ocitest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// Memory is a store in memory.
type Memory struct {
	// Now is the clock; it may be replaced before the store is used.
	Now func() time.Time
	// Deleting, where set before the store is used, is called when a blob is
	// about to be deleted, with what lies in its repository at that moment. It
	// must not use the store.
	Deleting func(repo oci.Repo, d oci.Digest, index []byte, read func(oci.Digest) []byte)
	// ByContent, set before the store is used, has equal indexes have the same
	// version, as they have where that is a hash of the bytes.
	ByContent bool

	mu      sync.Mutex // guards everything below, and the repositories
	repos   map[oci.Repo]*repository
	uploads map[oci.UploadID]*upload
	swaps   int // makes versions
	copies  uint64
	lost    map[oci.Digest]*lost
	leases  map[string]*leased
}

var (
	_ oci.Store   = (*Memory)(nil)
	_ oci.Changes = (*Memory)(nil)
)

type repository struct {
	blobs   map[oci.Digest]blob
	index   []byte // nil: none yet
	version oci.Version
	changed time.Time // when a blob or the index last did
}

type blob struct {
	content  []byte // shared, never changed
	modified time.Time
	shared   *shared
}

// shared is the content of blobs that are linked to each other.
type shared struct {
	id    uint64
	links atomic.Int64
}

func (b blob) info() oci.BlobInfo {
	return oci.BlobInfo{
		Size: int64(len(b.content)), Modified: b.modified,
		Copy: b.shared.id, Links: uint64(b.shared.links.Load()),
	}
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{Now: time.Now, repos: map[oci.Repo]*repository{}, uploads: map[oci.UploadID]*upload{}, lost: map[oci.Digest]*lost{}, leases: map[string]*leased{}}
}

// create returns a repository, which it makes where needed.
func (m *Memory) create(repo oci.Repo) *repository {
	r := m.repos[repo]
	if r == nil {
		r = &repository{blobs: map[oci.Digest]blob{}}
		m.repos[repo] = r
	}
	return r
}

func (m *Memory) blob(repo oci.Repo, d oci.Digest) (blob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	if r == nil {
		return blob{}, oci.ErrBlobUnknown
	}
	b, ok := r.blobs[d]
	if !ok {
		return blob{}, oci.ErrBlobUnknown
	}
	return b, nil
}

// StatBlob implements oci.Blobs.
func (m *Memory) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	b, err := m.blob(repo, d)
	if err != nil {
		return oci.BlobInfo{}, err
	}
	return b.info(), nil
}

// OpenBlob implements oci.Blobs.
func (m *Memory) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	b, err := m.blob(repo, d)
	if err != nil {
		return nil, err
	}
	c := &content{Reader: bytes.NewReader(b.content), info: b.info()}
	_, err = c.Seek(min(offset, b.info().Size), io.SeekStart)
	return c, err
}

type content struct {
	*bytes.Reader
	info oci.BlobInfo
}

func (c *content) Info() oci.BlobInfo { return c.info }
func (c *content) Close() error       { return nil }

// PutBlob implements oci.Blobs.
func (m *Memory) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(repo, d, bytes.Clone(content))
	return nil
}

// put keeps content that nobody will change. The same that is there stays.
func (m *Memory) put(repo oci.Repo, d oci.Digest, content []byte) {
	if r := m.create(repo); !bytes.Equal(r.blobs[d].content, content) {
		delete(r.blobs, d)
	}
	m.copies++
	m.add(repo, d, blob{content: content, shared: &shared{id: m.copies}})
}

// add gives a repository a blob, which is as young as a new one where it has it
// already.
func (m *Memory) add(repo oci.Repo, d oci.Digest, b blob) {
	r := m.create(repo)
	if was, there := r.blobs[d]; there {
		was.modified = m.Now()
		r.changed, r.blobs[d] = was.modified, was
		return
	}
	b.modified = m.Now()
	r.changed = b.modified
	b.shared.links.Add(1)
	r.blobs[d] = b
	m.heal(d, b)
}

// LinkBlob implements oci.Blobs.
func (m *Memory) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	b, err := m.blob(from, d)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(to, d, b)
	return nil
}

// DeleteBlob implements oci.Blobs.
func (m *Memory) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.delete(repo, d)
}

// delete is DeleteBlob; m.mu is held.
func (m *Memory) delete(repo oci.Repo, d oci.Digest) error {
	r := m.repos[repo]
	if r == nil {
		return oci.ErrBlobUnknown
	}
	b, ok := r.blobs[d]
	if !ok {
		return oci.ErrBlobUnknown
	}
	if m.Deleting != nil {
		m.Deleting(repo, d, r.index, func(d oci.Digest) []byte { return r.blobs[d].content })
	}
	b.shared.links.Add(-1)
	r.changed = m.Now()
	delete(r.blobs, d)
	return nil
}

// WalkBlobs implements oci.Blobs.
func (m *Memory) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	m.mu.Lock()
	r := m.repos[repo]
	if r == nil {
		m.mu.Unlock()
		return oci.ErrNameUnknown
	}
	blobs := maps.Clone(r.blobs)
	m.mu.Unlock()
	for d, b := range blobs {
		if err := fn(d, b.info()); err != nil {
			return err
		}
	}
	return nil
}

// LoadIndex implements oci.Indexes.
func (m *Memory) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	if r == nil || r.index == nil {
		return nil, "", oci.ErrNameUnknown
	}
	if r.version == have {
		return nil, have, nil
	}
	return bytes.Clone(r.index), r.version, nil
}

// SwapIndex implements oci.Indexes.
func (m *Memory) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.repos[repo]; r == nil && old != "" || r != nil && r.version != old {
		return "", oci.ErrConflict
	}
	r := m.create(repo)
	m.swaps++
	r.changed = m.Now()
	r.index, r.version = bytes.Clone(index), oci.Version(strconv.Itoa(m.swaps))
	if m.ByContent {
		r.version = oci.Version(oci.SHA256.FromBytes(index))
	}
	return r.version, nil
}

// WalkRepos implements oci.Repos.
func (m *Memory) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	m.mu.Lock()
	names := slices.Sorted(maps.Keys(m.repos))
	m.mu.Unlock()
	for _, name := range names {
		if name <= after {
			continue
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// BlobsChanged implements oci.Changes.
func (m *Memory) BlobsChanged(ctx context.Context, repo oci.Repo) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	if r == nil {
		return time.Time{}, oci.ErrNameUnknown
	}
	return r.changed, nil
}

// DeleteRepo implements oci.Repos.
func (m *Memory) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.repos[repo]
	switch {
	case r == nil:
		return oci.ErrNameUnknown
	case r.version != old || len(r.blobs) > 0:
		return oci.ErrConflict
	}
	for _, u := range m.uploads {
		if u.repo == repo {
			return oci.ErrConflict
		}
	}
	if index, err := oci.ParseIndex(r.index); r.index != nil && (err != nil || index.Len() > 0) {
		return oci.ErrConflict
	}
	delete(m.repos, repo)
	return nil
}

func newID() oci.UploadID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return oci.UploadID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
