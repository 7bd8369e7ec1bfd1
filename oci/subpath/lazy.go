package subpath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"berth/oci"
)

// LazyOptions say where a Lazy store comes from.
type LazyOptions struct {
	// Name stands for the store in messages to clients: its prefix.
	Name string
	// Probe tells which medium is there now, as a value that differs for
	// another one, or why none is. It is called with every operation, so it
	// must cost no more than a stat.
	Probe func() (any, error)
	// Open opens the store of the medium that is there. Where the store is an
	// io.Closer, it is closed when its medium has gone and its last operation
	// has ended.
	Open func() (oci.Store, error)
	// Changed, where set, is told when the store becomes available (nil) and
	// when it stops being so (why). It must not call the store.
	Changed func(err error)
	// Retry is how long after a failed Open the next one may be tried; 0: one
	// second.
	Retry time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Lazy is a store whose medium comes and goes. While it is missing, every
// operation fails with ErrUnavailable; when it is back, the next operation
// opens it again.
type Lazy struct {
	opts LazyOptions

	mu      sync.Mutex // guards what follows, and is held while opening
	open    *opened    // nil while unavailable
	opens   uint64
	failure error     // of the last Open
	failed  time.Time // when; zero where the next Open may be tried
	told    error     // what Changed was told last
	asked   bool      // whether Changed was told anything

	apart atomic.Bool // the store is known to be no oci.Shared
}

// opened is one opening of a store.
type opened struct {
	store  oci.Store
	medium any
	gen    generation
	uses   int // operations that run, and 1 while it is Lazy.open; guarded by Lazy.mu
}

var (
	_ oci.Store      = (*Lazy)(nil)
	_ oci.Redirector = (*Lazy)(nil)
	_ oci.PartOpener = (*Lazy)(nil)
)

// NewLazy makes a Lazy store. It opens nothing yet.
func NewLazy(opts LazyOptions) *Lazy {
	if opts.Retry == 0 {
		opts.Retry = time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Changed == nil {
		opts.Changed = func(error) {}
	}
	return &Lazy{opts: opts}
}

// Available opens the store where that is needed and possible, and returns
// ErrUnavailable otherwise.
func (l *Lazy) Available() error {
	o, err := l.acquire()
	if err == nil {
		err = l.release(o)
	}
	return err
}

// Close closes the store when its last operation has ended. A later operation
// opens it again.
func (l *Lazy) Close() error {
	l.mu.Lock()
	o := l.open
	l.open = nil
	l.mu.Unlock()
	return l.release(o)
}

// acquire returns the opened store of the medium that is there now, which the
// caller releases.
func (l *Lazy) acquire() (*opened, error) {
	l.mu.Lock()
	o, gone, err := l.current()
	if err == nil {
		o.uses++
	}
	l.tell(err)
	l.mu.Unlock()
	// What closing the store of a medium that is gone answers is of no use to
	// the operation that noticed it.
	_ = l.release(gone)
	return o, err
}

// current makes l.open fit the medium; the caller holds l.mu. What it returns
// as gone the caller releases once it does not.
func (l *Lazy) current() (now, gone *opened, err error) {
	medium, err := l.opts.Probe()
	if l.open != nil && err == nil && l.open.medium == medium {
		return l.open, nil, nil
	}
	gone, l.open = l.open, nil
	if gone != nil {
		l.failed = time.Time{}
	}
	if err != nil {
		l.failed = time.Time{} // open at once when it appears
		return nil, gone, l.unavailable(err)
	}
	at := l.opts.Now()
	if !l.failed.IsZero() && at.Sub(l.failed) < l.opts.Retry {
		return nil, gone, l.unavailable(l.failure)
	}
	store, medium, err := l.openOn(medium)
	if err != nil {
		l.failure, l.failed = err, at
		return nil, gone, l.unavailable(err)
	}
	l.opens++
	l.open = &opened{store: store, medium: medium, gen: newGeneration(l.opens), uses: 1}
	return l.open, gone, nil
}

// openOn opens the store of a medium, and makes sure that it is of that one:
// another may have come meanwhile, and the first opening may have made the
// directory by which the medium is known.
func (l *Lazy) openOn(medium any) (oci.Store, any, error) {
	for range 3 {
		store, err := l.opts.Open()
		if err != nil {
			return nil, nil, err
		}
		now, err := l.opts.Probe()
		if err == nil && now == medium {
			return store, medium, nil
		}
		if err := errors.Join(err, closeStore(store)); err != nil {
			return nil, nil, err
		}
		medium = now
	}
	return nil, nil, errors.New("the medium changes all the time")
}

// tell reports a change; the caller holds l.mu.
func (l *Lazy) tell(err error) {
	if l.asked && (err == nil) == (l.told == nil) {
		return
	}
	if !l.asked && err == nil {
		l.asked = true
		return // available from the start is no news
	}
	l.asked, l.told = true, err
	l.opts.Changed(err)
}

// unavailable says what is the matter: to the client by name, to the log with
// the cause.
func (l *Lazy) unavailable(cause error) error {
	return fmt.Errorf("%w: %w", oci.Errorf(oci.ErrUnavailable,
		"the storage of %q is missing or cannot be opened; it is served again as soon as it is back", l.opts.Name), cause)
}

// release ends one use of an opened store and closes it after the last.
func (l *Lazy) release(o *opened) error {
	if o == nil {
		return nil
	}
	l.mu.Lock()
	o.uses--
	last := o.uses == 0
	l.mu.Unlock()
	if last {
		return closeStore(o.store)
	}
	return nil
}

// done ends an operation that failed with err or succeeded. A failure whose
// medium is no longer there is that, whatever it looked like.
func (l *Lazy) done(o *opened, err error) error {
	closed := l.release(o)
	if err == nil {
		return nil
	}
	if medium, missing := l.opts.Probe(); missing != nil {
		return l.unavailable(missing)
	} else if medium != o.medium {
		return l.unavailable(errors.Join(errors.New("the medium was changed meanwhile"), closed))
	}
	return err
}

// with runs one operation.
func (l *Lazy) with(op func(*opened) error) error {
	o, err := l.acquire()
	if err != nil {
		return err
	}
	return l.done(o, op(o))
}

// StatBlob implements oci.Blobs.
func (l *Lazy) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (info oci.BlobInfo, err error) {
	err = l.with(func(o *opened) (err error) {
		info, err = o.store.StatBlob(ctx, repo, d)
		return err
	})
	return info, err
}

// OpenBlob implements oci.Blobs. An open content does not keep the store from
// being closed.
func (l *Lazy) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (content oci.Content, err error) {
	err = l.with(func(o *opened) (err error) {
		content, err = o.store.OpenBlob(ctx, repo, d, offset)
		return err
	})
	return content, err
}

// OpenBlobPart implements oci.PartOpener where the store does. See OpenBlob.
func (l *Lazy) OpenBlobPart(ctx context.Context, repo oci.Repo, d oci.Digest, offset, length int64) (content oci.Content, err error) {
	err = l.with(func(o *opened) (err error) {
		content, err = oci.OpenBlobPart(ctx, o.store, repo, d, offset, length)
		return err
	})
	return content, err
}

// RedirectBlob implements oci.Redirector where the store does.
func (l *Lazy) RedirectBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (url string, err error) {
	err = l.with(func(o *opened) (err error) {
		url, err = oci.RedirectBlob(ctx, o.store, repo, d)
		return err
	})
	return url, err
}

// PutBlob implements oci.Blobs.
func (l *Lazy) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	return l.with(func(o *opened) error { return o.store.PutBlob(ctx, repo, d, content) })
}

// LinkBlob implements oci.Blobs.
func (l *Lazy) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	return l.with(func(o *opened) error { return o.store.LinkBlob(ctx, from, to, d) })
}

// LinkFrom implements ForeignLinker where the store does.
func (l *Lazy) LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	return l.with(func(o *opened) error {
		if linker, ok := o.store.(ForeignLinker); ok {
			return linker.LinkFrom(ctx, to, d, from)
		}
		return errors.ErrUnsupported
	})
}

// DeleteBlob implements oci.Blobs.
func (l *Lazy) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return l.with(func(o *opened) error { return o.store.DeleteBlob(ctx, repo, d) })
}

// DiscardBlob implements oci.Discarder where the store does, and is DeleteBlob
// elsewhere.
func (l *Lazy) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return l.with(func(o *opened) error { return discard(ctx, o.store, repo, d) })
}

// WalkBlobs implements oci.Blobs.
func (l *Lazy) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return l.with(func(o *opened) error { return o.store.WalkBlobs(ctx, repo, fn) })
}

// CreateUpload implements oci.Uploads.
func (l *Lazy) CreateUpload(ctx context.Context, repo oci.Repo, algorithm oci.Algorithm) (id oci.UploadID, err error) {
	err = l.with(func(o *opened) (err error) {
		id, err = o.store.CreateUpload(ctx, repo, algorithm)
		return err
	})
	return id, err
}

// StatUpload implements oci.Uploads.
func (l *Lazy) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (info oci.UploadInfo, err error) {
	err = l.with(func(o *opened) (err error) {
		info, err = o.store.StatUpload(ctx, repo, id)
		return err
	})
	return info, err
}

// AppendUpload implements oci.Uploads.
func (l *Lazy) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (size int64, err error) {
	err = l.with(func(o *opened) (err error) {
		size, err = o.store.AppendUpload(ctx, repo, id, at, r)
		return err
	})
	return size, err
}

// FinishUpload implements oci.Uploads.
func (l *Lazy) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (size int64, err error) {
	err = l.with(func(o *opened) (err error) {
		size, err = o.store.FinishUpload(ctx, repo, id, d, at, r)
		return err
	})
	return size, err
}

// CancelUpload implements oci.Uploads.
func (l *Lazy) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	return l.with(func(o *opened) error { return o.store.CancelUpload(ctx, repo, id) })
}

// WalkUploads implements oci.Uploads.
func (l *Lazy) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	return l.with(func(o *opened) error { return o.store.WalkUploads(ctx, fn) })
}

// LoadIndex implements oci.Indexes.
func (l *Lazy) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) (content []byte, v oci.Version, err error) {
	err = l.with(func(o *opened) (err error) {
		content, v, err = o.gen.load(have, func(have oci.Version) ([]byte, oci.Version, error) {
			return o.store.LoadIndex(ctx, repo, have)
		})
		return err
	})
	return content, v, err
}

// SwapIndex implements oci.Indexes.
func (l *Lazy) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (v oci.Version, err error) {
	err = l.with(func(o *opened) (err error) {
		v, err = o.gen.swap(old, func(old oci.Version) (oci.Version, error) {
			return o.store.SwapIndex(ctx, repo, old, index)
		})
		return err
	})
	return v, err
}

// WalkRepos implements oci.Repos.
func (l *Lazy) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	return l.with(func(o *opened) error { return o.store.WalkRepos(ctx, after, fn) })
}

// DeleteRepo implements oci.Repos.
func (l *Lazy) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	return l.with(func(o *opened) error {
		_, err := o.gen.swap(old, func(v oci.Version) (oci.Version, error) {
			return "", o.store.DeleteRepo(ctx, repo, v)
		})
		return err
	})
}

// BlobsChanged implements oci.Changes where the store does; it fails with
// errors.ErrUnsupported where the store does not.
func (l *Lazy) BlobsChanged(ctx context.Context, repo oci.Repo) (at time.Time, err error) {
	err = l.with(func(o *opened) (err error) {
		changes, ok := o.store.(oci.Changes)
		if !ok {
			return errors.ErrUnsupported
		}
		at, err = changes.BlobsChanged(ctx, repo)
		return err
	})
	return at, err
}

// RemoveLeftovers implements oci.Leftovers where the store does.
func (l *Lazy) RemoveLeftovers(ctx context.Context, dry bool, fn func(name string, size int64) error) error {
	return l.with(func(o *opened) error {
		if leftovers, ok := o.store.(oci.Leftovers); ok {
			return leftovers.RemoveLeftovers(ctx, dry, fn)
		}
		return nil
	})
}
