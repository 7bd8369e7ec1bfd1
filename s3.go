//go:build !minimal

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"berth/config"
	"berth/fsstore"
	"berth/oci"
	"berth/oci/subpath"
	"berth/s3lite"
	"berth/s3lite/creds"
	"berth/s3lite/store"
)

// bucketRoot is a root whose repositories lie in a bucket, from openBucket to
// Close.
type bucketRoot struct {
	*bucketStore
	*openRoot
}

// bucketStore is the store of such a root, with what this process keeps beside
// it: the dedupe index hears of what comes and goes here.
type bucketStore struct {
	*store.Store
	index    oci.Locations  // nil: none
	state    *fsstore.Store // the root directory, in which no repository is; nil where nothing is written
	readOnly bool
}

var (
	_ rootStore      = (*bucketStore)(nil)
	_ oci.Shared     = (*bucketStore)(nil)
	_ oci.Redirector = (*bucketStore)(nil)
	_ io.Closer      = (*bucketRoot)(nil)
)

// openBucket opens the store of a root in a bucket, which the rest of berth
// calls by a name. With upkeep its jobs are done until Close. The bucket is not
// asked for anything yet.
func openBucket(name string, root config.Root, log *slog.Logger, upkeep *upkeep) (*bucketRoot, error) {
	settings, err := bucketSettings(root)
	if err != nil {
		return nil, err
	}
	client, err := connect(settings, log)
	if err != nil {
		return nil, err
	}
	o := &openRoot{config: root, name: name, log: log, upkeep: upkeep}
	b := &bucketStore{readOnly: root.ReadOnly}
	if !root.ReadOnly {
		if b.state, err = fsstore.Open(fsstore.Options{Root: root.RootDirectory, Log: log}); err != nil {
			return nil, fmt.Errorf("what this process keeps for itself: %w", err)
		}
		// A walk over the bucket would cost more than the index can save.
		if o.index, err = newIndex(root, log, nil); err != nil {
			return nil, errors.Join(err, b.state.Close())
		}
		b.index = o.locations()
	}
	b.Store, err = store.New(store.Options{
		Client: client, Root: settings.RootDirectory, ChunkSize: settings.ChunkSize,
		CopyThreshold: settings.CopyThreshold, CopyChunkSize: settings.CopyChunkSize, CopyConcurrency: settings.CopyConcurrency,
		Dedupe: root.Dedupe, Locations: b.index, IndexMaxAge: root.IndexMaxAge, Redirect: root.RedirectBlobURL,
		Owner: owner(), Log: log,
	})
	if err != nil {
		return nil, err
	}
	o.store = b
	o.start()
	return &bucketRoot{b, o}, nil
}

// serving is the store as requests see it.
func (b *bucketRoot) serving() oci.Store {
	if b.readOnly {
		return subpath.ReadOnly(b)
	}
	return b
}

// Close ends the work and closes the store.
func (b *bucketRoot) Close() error { return b.end() }

// ReadOnly implements rootStore.
func (b *bucketStore) ReadOnly() bool { return b.readOnly }

// Close implements rootStore.
func (b *bucketStore) Close() error {
	err := b.Store.Close()
	if b.state != nil {
		err = errors.Join(err, b.state.Close())
	}
	return err
}

// LoadNote is that of the process, not of the bucket: when tags were used here
// no other process knows.
func (b *bucketStore) LoadNote(name string, limit int64) ([]byte, error) {
	if b.state == nil {
		return nil, nil
	}
	return b.state.LoadNote(name, limit)
}

// SaveNote goes with LoadNote.
func (b *bucketStore) SaveNote(name string, note []byte, sync bool) error {
	if b.state == nil {
		return oci.ErrReadOnly
	}
	return b.state.SaveNote(name, note, sync)
}

// FinishUpload implements oci.Uploads.
func (b *bucketStore) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	size, err := b.Store.FinishUpload(ctx, repo, id, d, at, r)
	if err == nil && b.index != nil {
		_ = b.index.Add(ctx, d, repo) // it is a hint
	}
	return size, err
}

// LinkBlob implements oci.Blobs.
func (b *bucketStore) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	err := b.Store.LinkBlob(ctx, from, to, d)
	if err == nil && b.index != nil {
		_ = b.index.Add(ctx, d, from, to)
	}
	return err
}

// DeleteBlob implements oci.Blobs.
func (b *bucketStore) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	err := b.Store.DeleteBlob(ctx, repo, d)
	if b.index != nil && (err == nil || errors.Is(err, oci.ErrBlobUnknown)) {
		_ = b.index.Remove(ctx, d, repo)
	}
	return err
}

// DiscardBlob implements oci.Discarder.
func (b *bucketStore) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	err := b.Store.DiscardBlob(ctx, repo, d)
	if err == nil && b.index != nil {
		_ = b.index.Remove(ctx, d, repo)
	}
	return err
}

// DeleteBlobsBefore implements oci.Shared.
func (b *bucketStore) DeleteBlobsBefore(ctx context.Context, repo oci.Repo, blobs []oci.Digest, end time.Time) error {
	err := b.Store.DeleteBlobsBefore(ctx, repo, blobs, end)
	if err == nil && b.index != nil {
		for _, d := range blobs {
			_ = b.index.Remove(ctx, d, repo)
		}
	}
	return err
}

// bucketSettings are what a root's attributes come to.
func bucketSettings(root config.Root) (s3lite.Settings, error) {
	s, err := s3lite.ParseSettings(root.StorageDriver.Attributes())
	s.CAFile = cmp.Or(s.CAFile, os.Getenv("AWS_CA_BUNDLE"))
	return s, err
}

// connect makes a bucket's client. It sends nothing.
func connect(s s3lite.Settings, log *slog.Logger) (*s3lite.Client, error) {
	return s.Connect(credentialSources(s.Region, log), log)
}

// credentialSources are where AWS's tools look for credentials.
func credentialSources(region string, log *slog.Logger) creds.Options {
	home, _ := os.UserHomeDir() // without one, there are no shared files
	return creds.Options{Home: home, Region: region, Log: log}
}

// owner names this process in the bucket's leases.
func owner() string {
	host, _ := os.Hostname() // the number alone will do
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
