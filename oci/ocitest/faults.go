package ocitest

import (
	"bytes"
	"context"
	"io"
	"sync"

	"berth/oci"
)

// When says at which moment a call fails.
type When int

// Faults come in pairs: the caller cannot tell which of the two it was.
const (
	Never  When = iota
	Before      // it failed, and nothing happened
	After       // it failed, yet it happened
	Later       // it failed, and happens at some time afterwards; of what changes a repository only
	Twice       // it succeeded, and happens once more at some time afterwards, as a request may that was sent twice; as Later
)

// Faults is a store that fails on demand.
type Faults struct {
	store oci.Store

	mu     sync.Mutex // guards everything below
	decide func(method string) (When, error)
	hooks  map[string]func()
	calls  map[string]int
	around func(method string)
	delay  func()

	later sync.WaitGroup // calls that are still to happen
}

var _ oci.Store = (*Faults)(nil)

// NewFaults wraps a store.
func NewFaults(store oci.Store) *Faults {
	return &Faults{store: store, hooks: map[string]func(){}, calls: map[string]int{}}
}

// Decide sets what is asked at each call, by the method's name, one call at a
// time; nil lets all succeed.
func (f *Faults) Decide(decide func(method string) (When, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// Once makes the next call of a method fail.
func (f *Faults) Once(method string, when When, err error) {
	done := false
	f.Decide(func(m string) (When, error) {
		if done || m != method {
			return Never, nil
		}
		done = true
		return when, err
	})
}

// Next makes the next call of a method run something first, which may block or
// use the store.
func (f *Faults) Next(method string, hook func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks[method] = hook
}

// Around sets what is run before and after each call; nil: nothing. It may
// block, and is called by many at once.
func (f *Faults) Around(hook func(method string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.around = hook
}

// Delay sets what is run before that which happens Later; nil: nothing.
func (f *Faults) Delay(hook func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = hook
}

// Wait waits for what was to happen later.
func (f *Faults) Wait() { f.later.Wait() }

// Calls tells how often a method was called.
func (f *Faults) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// call carries out a call, or not.
func (f *Faults) call(method string, do func() error) error {
	when, after, fault := f.begin(method)
	defer after()
	if when == Before || when == Later {
		return fault
	}
	if err := do(); err != nil || when == Never {
		return err
	}
	return fault
}

// send is call for a method without results, which may happen Later.
func (f *Faults) send(method string, do func() error) error {
	when, after, fault := f.begin(method)
	defer after()
	switch when {
	case Before:
		return fault
	case Later:
		f.afterwards(do)
		return fault
	case Twice:
		f.afterwards(do)
		return do()
	}
	if err := do(); err != nil || when == Never {
		return err
	}
	return fault
}

// afterwards carries something out that nobody waits for.
func (f *Faults) afterwards(do func() error) {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	f.later.Go(func() {
		if delay != nil {
			delay()
		}
		_ = do() // nobody learns of it
	})
}

// begin decides what becomes of a call; after is to be called when it ends.
func (f *Faults) begin(method string) (when When, after func(), fault error) {
	f.mu.Lock()
	f.calls[method]++
	if f.decide != nil {
		when, fault = f.decide(method)
	}
	hook, around := f.hooks[method], f.around
	delete(f.hooks, method)
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	if around == nil {
		return when, func() {}, fault
	}
	around(method)
	return when, func() { around(method) }, fault
}

// StatBlob implements oci.Blobs.
func (f *Faults) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (info oci.BlobInfo, err error) {
	err = f.call("StatBlob", func() error {
		info, err = f.store.StatBlob(ctx, repo, d)
		return err
	})
	return info, err
}

// OpenBlob implements oci.Blobs.
func (f *Faults) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (c oci.Content, err error) {
	err = f.call("OpenBlob", func() error {
		c, err = f.store.OpenBlob(ctx, repo, d, offset)
		return err
	})
	if err != nil && c != nil {
		_ = c.Close()
		c = nil
	}
	return c, err
}

// PutBlob implements oci.Blobs. The caller may use the content for something else
// afterwards, as a request that is late has its own.
func (f *Faults) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	content = bytes.Clone(content)
	return f.send("PutBlob", func() error { return f.store.PutBlob(ctx, repo, d, content) })
}

// LinkBlob implements oci.Blobs.
func (f *Faults) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	return f.send("LinkBlob", func() error { return f.store.LinkBlob(ctx, from, to, d) })
}

// DeleteBlob implements oci.Blobs.
func (f *Faults) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return f.send("DeleteBlob", func() error { return f.store.DeleteBlob(ctx, repo, d) })
}

// WalkBlobs implements oci.Blobs.
func (f *Faults) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return f.call("WalkBlobs", func() error { return f.store.WalkBlobs(ctx, repo, fn) })
}

// CreateUpload implements oci.Uploads.
func (f *Faults) CreateUpload(ctx context.Context, repo oci.Repo, a oci.Algorithm) (id oci.UploadID, err error) {
	err = f.call("CreateUpload", func() error {
		id, err = f.store.CreateUpload(ctx, repo, a)
		return err
	})
	return id, err
}

// StatUpload implements oci.Uploads.
func (f *Faults) StatUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) (info oci.UploadInfo, err error) {
	err = f.call("StatUpload", func() error {
		info, err = f.store.StatUpload(ctx, repo, id)
		return err
	})
	return info, err
}

// AppendUpload implements oci.Uploads.
func (f *Faults) AppendUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, at int64, r io.Reader) (size int64, err error) {
	err = f.call("AppendUpload", func() error {
		size, err = f.store.AppendUpload(ctx, repo, id, at, r)
		return err
	})
	return size, err
}

// FinishUpload implements oci.Uploads.
func (f *Faults) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (size int64, err error) {
	err = f.call("FinishUpload", func() error {
		size, err = f.store.FinishUpload(ctx, repo, id, d, at, r)
		return err
	})
	return size, err
}

// CancelUpload implements oci.Uploads.
func (f *Faults) CancelUpload(ctx context.Context, repo oci.Repo, id oci.UploadID) error {
	return f.call("CancelUpload", func() error { return f.store.CancelUpload(ctx, repo, id) })
}

// WalkUploads implements oci.Uploads.
func (f *Faults) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	return f.call("WalkUploads", func() error { return f.store.WalkUploads(ctx, fn) })
}

// LoadIndex implements oci.Indexes.
func (f *Faults) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) (data []byte, v oci.Version, err error) {
	err = f.call("LoadIndex", func() error {
		data, v, err = f.store.LoadIndex(ctx, repo, have)
		return err
	})
	return data, v, err
}

// SwapIndex implements oci.Indexes.
func (f *Faults) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (v oci.Version, err error) {
	index = bytes.Clone(index) // it is the caller's afterwards
	made := make(chan oci.Version, 2)
	err = f.send("SwapIndex", func() error {
		v, err := f.store.SwapIndex(ctx, repo, old, index)
		if err == nil {
			made <- v
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return <-made, nil
}

// WalkRepos implements oci.Repos.
func (f *Faults) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	return f.call("WalkRepos", func() error { return f.store.WalkRepos(ctx, after, fn) })
}

// DeleteRepo implements oci.Repos.
func (f *Faults) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	return f.call("DeleteRepo", func() error { return f.store.DeleteRepo(ctx, repo, old) })
}
