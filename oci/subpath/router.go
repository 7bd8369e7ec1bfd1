package subpath

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"berth/oci"
)

// Router is an oci.Store over a root store and mounted ones. What is mounted
// may change at any time: an operation uses the table as it was when it began.
// Stores are compared with ==, so they must be pointers.
type Router struct {
	table atomic.Pointer[table]

	mu   sync.Mutex // guards changes of table, and next
	next uint64     // generation of the next mount
}

var (
	_ oci.Store      = (*Router)(nil)
	_ oci.Redirector = (*Router)(nil)
	_ oci.PartOpener = (*Router)(nil)
)

// New makes a Router over a root store; nil stands for an empty read-only one.
func New(root oci.Store) *Router {
	if root == nil {
		root = &nothing{}
	}
	r := &Router{next: 1}
	r.table.Store(&table{root: newMount("", root, "", 0)})
	return r
}

// Attach mounts a store: its repository x appears as prefix/x. It fails with
// ErrNameInvalid where prefix is no repository name (of one or more segments),
// and where something is mounted there already.
func (r *Router) Attach(prefix string, store oci.Store) error {
	return r.attach(prefix, store, "")
}

// AttachRepo makes one repository of a store appear under the name prefix, and
// nothing else of it. It fails as Attach does; the same prefix may stand for a
// repository and for a mounted store.
func (r *Router) AttachRepo(prefix string, store oci.Store, repo oci.Repo) error {
	if _, err := oci.ParseRepo(string(repo)); err != nil {
		return err
	}
	return r.attach(prefix, store, repo)
}

func (r *Router) attach(prefix string, store oci.Store, repo oci.Repo) error {
	if _, err := oci.ParseRepo(prefix); err != nil {
		return fmt.Errorf("mount a store: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m, t := newMount(prefix, store, repo, r.next), r.table.Load()
	at, taken := t.search(m.key)
	if taken {
		return fmt.Errorf("mount a store at %q: something is mounted there already", prefix)
	}
	r.next++
	r.table.Store(&table{t.root, slices.Insert(slices.Clone(t.sorted), at, m)})
	return nil
}

// Detach takes away what Attach and AttachRepo put at a prefix. Operations
// that run go on with the store; closing it is the caller's. It reports
// whether something was there.
func (r *Router) Detach(prefix string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	rest := slices.DeleteFunc(slices.Clone(t.sorted), func(m *mount) bool { return m.prefix == prefix })
	if len(rest) == len(t.sorted) {
		return false
	}
	r.table.Store(&table{t.root, rest})
	return true
}

func (r *Router) route(repo oci.Repo) (*mount, oci.Repo) { return r.table.Load().route(repo) }

// StatBlob implements oci.Blobs.
func (r *Router) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	m, name := r.route(repo)
	return m.store.StatBlob(ctx, name, d)
}

// OpenBlob implements oci.Blobs.
func (r *Router) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	m, name := r.route(repo)
	return m.store.OpenBlob(ctx, name, d, offset)
}

// OpenBlobPart implements oci.PartOpener where the store does.
func (r *Router) OpenBlobPart(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (oci.Content, error) {
	m, name := r.route(repo)
	return oci.OpenBlobPart(ctx, m.store, name, d, offset, length)
}

// RedirectBlob implements oci.Redirector where the store does.
func (r *Router) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	m, name := r.route(repo)
	return oci.RedirectBlob(ctx, m.store, name, d)
}

// PutBlob implements oci.Blobs.
func (r *Router) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	m, name := r.route(repo)
	return m.store.PutBlob(ctx, name, d, content)
}

// DeleteBlob implements oci.Blobs.
func (r *Router) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	m, name := r.route(repo)
	return m.store.DeleteBlob(ctx, name, d)
}

// DiscardBlob implements oci.Discarder where the store does, and is DeleteBlob
// elsewhere.
func (r *Router) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	m, name := r.route(repo)
	return discard(ctx, m.store, name, d)
}

func discard(ctx context.Context, store oci.Store, repo oci.Repo, d oci.Digest) error {
	if s, ok := store.(oci.Discarder); ok {
		return s.DiscardBlob(ctx, repo, d)
	}
	return store.DeleteBlob(ctx, repo, d)
}

// WalkBlobs implements oci.Blobs.
func (r *Router) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	m, name := r.route(repo)
	return m.store.WalkBlobs(ctx, name, fn)
}

// CreateUpload implements oci.Uploads.
func (r *Router) CreateUpload(ctx context.Context, repo oci.Repo, algorithm oci.Algorithm) (oci.UploadID, error) {
	m, name := r.route(repo)
	return m.store.CreateUpload(ctx, name, algorithm)
}

// StatUpload implements oci.Uploads.
func (r *Router) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (oci.UploadInfo, error) {
	m, name := r.route(repo)
	return m.store.StatUpload(ctx, name, id)
}

// AppendUpload implements oci.Uploads.
func (r *Router) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, body io.Reader) (int64, error) {
	m, name := r.route(repo)
	return m.store.AppendUpload(ctx, name, id, at, body)
}

// FinishUpload implements oci.Uploads.
func (r *Router) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, body io.Reader) (int64, error) {
	m, name := r.route(repo)
	return m.store.FinishUpload(ctx, name, id, d, at, body)
}

// CancelUpload implements oci.Uploads.
func (r *Router) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	m, name := r.route(repo)
	return m.store.CancelUpload(ctx, name, id)
}

// LoadIndex implements oci.Indexes.
func (r *Router) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	m, name := r.route(repo)
	return m.gen.load(have, func(v oci.Version) ([]byte, oci.Version, error) {
		return m.store.LoadIndex(ctx, name, v)
	})
}

// DeleteRepo implements oci.Repos.
func (r *Router) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	m, name := r.route(repo)
	_, err := m.gen.swap(old, func(v oci.Version) (oci.Version, error) {
		return "", m.store.DeleteRepo(ctx, name, v)
	})
	return err
}

// SwapIndex implements oci.Indexes.
func (r *Router) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	m, name := r.route(repo)
	return m.gen.swap(old, func(v oci.Version) (oci.Version, error) {
		return m.store.SwapIndex(ctx, name, v, index)
	})
}
