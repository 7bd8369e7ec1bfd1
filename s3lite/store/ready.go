package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"berth/oci"
	"berth/s3lite"
)

// about is .berth/store.json: what has to be known of a root for ever.
type about struct {
	Version int `json:"version"`
	// Foreign: something else had written here before berth did.
	Foreign bool `json:"foreign"`
	// Shared: there may be references.
	Shared bool `json:"shared"`
}

// standing is what the store knows of its bucket once it has written there.
type standing struct {
	about
	// honest: the server keeps conditions of writes.
	honest bool
}

// honest tells whether the server keeps conditions of writes.
func (s *Store) honest() bool { return s.about.Load().honest }

// ready is asked before each write. The first one looks what kind of a bucket
// it is. Where its server keeps no conditions this process writes alone, or not
// at all. Errors: ErrUnavailable.
func (s *Store) ready(ctx context.Context) error {
	known := s.about.Load()
	if known == nil {
		unlock, err := s.probing.lock(ctx, struct{}{})
		if err != nil {
			return err
		}
		defer unlock()
		if known = s.about.Load(); known == nil {
			if known, err = s.probe(ctx); err != nil {
				return asStored(err)
			}
			s.about.Store(known)
		}
	}
	if known.honest {
		return nil
	}
	return s.writeAlone(ctx)
}

// probe reads store.json, or makes it, and tries on it whether conditions are
// kept. What it writes is what is there.
func (s *Store) probe(ctx context.Context) (*standing, error) {
	content, etag, err := s.read(ctx, s.keys.about())
	if err != nil {
		return nil, err
	}
	out := &standing{about: about{Version: 1, Shared: s.opts.Dedupe}}
	if etag == "" {
		if out.Foreign, err = s.inhabited(ctx); err != nil {
			return nil, err
		}
		if content, err = json.Marshal(out.about); err != nil {
			return nil, err
		}
		// Who comes first counts; that it is another process is seen below.
		if _, err := s.client.PutObject(ctx, s.keys.about(), s3lite.Bytes(content), s3lite.PutOptions{}); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(content, &out.about); err != nil || out.Version != 1 {
		return nil, fmt.Errorf("%s is not of this version of berth; it has to begin with {\"version\":1", s.keys.about())
	}
	for _, condition := range []s3lite.PutOptions{{IfNoneMatch: true}, {IfMatch: `"00000000000000000000000000000000"`}} {
		kept, err := s.keeps(ctx, content, condition)
		if err != nil {
			return nil, err
		}
		if !kept {
			s.opts.Log.Warn("the bucket's server keeps no conditions of writes: one process can write here at a time, and others only read",
				"root", s.keys.root, "condition", fmt.Sprintf("%+v", condition))
			return out, s.noteShared(ctx, out)
		}
	}
	out.honest = true
	return out, s.noteShared(ctx, out)
}

// keeps tries a condition that cannot hold.
func (s *Store) keeps(ctx context.Context, content []byte, condition s3lite.PutOptions) (bool, error) {
	_, err := s.client.PutObject(ctx, s.keys.about(), s3lite.Bytes(content), condition)
	var e *s3lite.Error
	switch {
	case err == nil, errors.Is(err, s3lite.ErrNotImplemented):
		return false, nil
	case errors.Is(err, s3lite.ErrPrecondition):
		return true, nil
	case errors.As(err, &e) && e.Status == 400:
		return false, nil // it does not understand
	}
	return false, err
}

// noteShared sees to it that store.json tells of references before there is
// one.
func (s *Store) noteShared(ctx context.Context, out *standing) error {
	if out.Shared || !s.opts.Dedupe {
		return nil
	}
	out.Shared = true
	content, err := json.Marshal(out.about)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, s.keys.about(), s3lite.Bytes(content), s3lite.PutOptions{})
	return err
}

// inhabited tells whether there is anything in the root that is not berth's.
func (s *Store) inhabited(ctx context.Context) (bool, error) {
	page, err := s.client.ListObjects(ctx, s3lite.ListOptions{Prefix: s.keys.root, Delimiter: "/", Max: 2})
	if err != nil {
		return false, err
	}
	for _, prefix := range page.Prefixes {
		if !strings.HasPrefix(prefix, s.keys.root+private) {
			return true, nil
		}
	}
	return len(page.Objects) > 0, nil
}

// writeAlone makes sure that no other process writes. Errors: ErrUnavailable.
func (s *Store) writeAlone(ctx context.Context) error {
	held, err := s.writerLease.try(ctx)
	if err == nil && !held {
		err = oci.Errorf(oci.ErrUnavailable, "another process writes to this bucket, whose server keeps no conditions of writes; write through that one, or stop it")
	}
	return asStored(err)
}
