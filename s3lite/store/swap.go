package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"berth/oci"
	"berth/s3lite"
)

// errStale: the object is not the one that was to be replaced.
var errStale = errors.New("the object was changed meanwhile")

// swapTries bounds how often a write is repeated whose outcome was not told.
const swapTries = 5

// swap replaces an object if its ETag is still old ("" for: if there is none),
// and returns the new one. The content has to differ from what anybody else
// could write in its place, or to mean the same. Errors: errStale.
//
// A write whose answer was lost is not repeated before it is known what is
// there: its own content means that it was carried out, the old ETag that it
// was not. Anything else may have come after it, and is an error that tells
// nothing.
func (s *Store) swap(ctx context.Context, key, old string, body *s3lite.Body, o swapOptions) (etag string, err error) {
	if !s.honest() {
		return s.swapAlone(ctx, key, old, body, o)
	}
	options := s3lite.PutOptions{Metadata: o.metadata, IfMatch: old, IfNoneMatch: old == ""}
	for range swapTries {
		etag, err = s.client.PutObject(ctx, key, body, options)
		switch {
		case err == nil:
			return etag, nil
		case errors.Is(err, s3lite.ErrPrecondition), errors.Is(err, s3lite.ErrNotFound):
			return "", errStale
		case errors.Is(err, s3lite.ErrConflict):
			continue
		case !errors.Is(err, s3lite.ErrOutcomeUnknown):
			return "", asStored(err)
		}
		mine, current, readErr := s.isMine(ctx, key, o)
		switch {
		case readErr != nil:
			return "", asStored(fmt.Errorf("%w; and what is there cannot be read: %w", err, readErr))
		case mine:
			return current, nil
		case current != old:
			return "", asStored(fmt.Errorf("%w, and the object has been changed since", err))
		}
	}
	if errors.Is(err, s3lite.ErrConflict) {
		return "", errStale
	}
	return "", asStored(err)
}

// swapOptions say what is written.
type swapOptions struct {
	metadata map[string]string
	// content is the body's. Where it is not in memory the metadata have a
	// nonce.
	content []byte
}

// isMine tells whether an object is the one that was to be written, and its
// ETag, "" where there is none.
func (s *Store) isMine(ctx context.Context, key string, o swapOptions) (mine bool, etag string, err error) {
	if nonce := o.metadata[metaNonce]; nonce != "" {
		info, err := s.client.HeadObject(ctx, key, s3lite.GetOptions{})
		if errors.Is(err, s3lite.ErrNotFound) {
			return false, "", nil
		}
		return err == nil && info.Metadata[metaNonce] == nonce, info.ETag, err
	}
	now, etag, err := s.read(ctx, key)
	return etag != "" && bytes.Equal(now, o.content), etag, err
}

// swapBytes is swap of content in memory.
func (s *Store) swapBytes(ctx context.Context, key, old string, content []byte) (etag string, err error) {
	return s.swap(ctx, key, old, s3lite.Bytes(content), swapOptions{content: content})
}

// read is an object's content and its ETag; "" where there is none.
func (s *Store) read(ctx context.Context, key string) (content []byte, etag string, err error) {
	object, err := s.client.GetObject(ctx, key, s3lite.GetOptions{})
	if errors.Is(err, s3lite.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	content, err = readAll(object)
	return content, object.ETag, err
}

// maxIndex bounds what is read into memory as a whole, in bytes.
const maxIndex = 64 << 20

func readAll(object *s3lite.Object) ([]byte, error) {
	defer object.Body.Close()
	if object.Length > maxIndex {
		return nil, fmt.Errorf("object %s has %d bytes, more than %d are not read into memory", object.Key, object.Length, maxIndex)
	}
	content := make([]byte, object.Length)
	_, err := io.ReadFull(object.Body, content)
	return content, err
}

// swapAlone is swap where the server keeps no conditions: this process is the
// only one to write then.
func (s *Store) swapAlone(ctx context.Context, key, old string, body *s3lite.Body, o swapOptions) (string, error) {
	s.alone.Lock()
	defer s.alone.Unlock()
	info, err := s.client.HeadObject(ctx, key, s3lite.GetOptions{})
	if err != nil && !errors.Is(err, s3lite.ErrNotFound) {
		return "", asStored(err)
	}
	if info.ETag != old {
		return "", errStale
	}
	etag, err := s.client.PutObject(ctx, key, body, s3lite.PutOptions{Metadata: o.metadata})
	return etag, asStored(err)
}

// keyed makes callers wait for each other by key.
type keyed[K comparable] struct {
	mu   sync.Mutex // guards held
	held map[K]chan struct{}
}

// lock waits for a key until ctx ends.
func (k *keyed[K]) lock(ctx context.Context, key K) (unlock func(), err error) {
	for {
		k.mu.Lock()
		freed, taken := k.held[key]
		if !taken {
			if k.held == nil {
				k.held = map[K]chan struct{}{}
			}
			mine := make(chan struct{})
			k.held[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				defer k.mu.Unlock()
				delete(k.held, key)
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// conflicted makes of errStale what it means to the ports.
func conflicted(err error) error {
	if errors.Is(err, errStale) {
		return oci.ErrConflict
	}
	return err
}
