package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// A damaged blob is replaced, if it is still the object that was read, by an
// object of no bytes that refers to nothing. Such a one stands for content that
// is looked for by its digest (foreign.go): so from when that comes into any
// repository, all that lost it have it again. As long as there is a record of
// the damage, what is found is read before it is believed.

var _ oci.Quarantiner = (*Store)(nil)

// damage is the record, .berth/quarantine/<alg>/<hex>.json; the damaged content
// lies beside it.
type damage struct {
	Version      int        `json:"version"`
	Digest       oci.Digest `json:"digest"`
	Size         int64      `json:"size"`
	Reason       string     `json:"reason"`
	At           time.Time  `json:"at"`
	Repositories []oci.Repo `json:"repositories"`
}

const recordSuffix = ".json"

func (k keys) quarantined() string { return k.root + private + "quarantine/" }

func (k keys) damaged(d oci.Digest) string {
	return k.quarantined() + string(d.Algorithm()) + "/" + d.Encoded()
}

// damageOf reads the record of a digest, nil where there is none.
func (s *Store) damageOf(ctx context.Context, d oci.Digest) (*damage, string, error) {
	content, etag, err := s.read(ctx, s.keys.damaged(d)+recordSuffix)
	if err != nil || etag == "" {
		return nil, "", asStored(err)
	}
	var r damage
	if err := json.Unmarshal(content, &r); err != nil || r.Version != 1 || r.Digest != d {
		return nil, "", fmt.Errorf("%w: the record of damaged content %s makes no sense", oci.ErrUnavailable, d)
	}
	return &r, etag, nil
}

// QuarantineBlob is oci.Quarantiner.QuarantineBlob.
func (s *Store) QuarantineBlob(ctx context.Context, repo oci.Repo, d oci.Digest, reason string) (out oci.Quarantined, err error) {
	h, err := s.look(ctx, repo, d)
	if err != nil {
		return out, err
	}
	if err := s.ready(ctx); err != nil {
		return out, err
	}
	at := place{key: s.keys.blob(repo, d)}
	switch {
	case h.shared:
		at.key = s.keys.content(d)
	case h.foreign:
		if at, err = s.locate(ctx, d); err != nil {
			return out, err
		}
	}
	if sound, err := s.verify(ctx, &at, d); err != nil || sound {
		return oci.Quarantined{Sound: sound}, missing(err, oci.ErrBlobUnknown)
	}
	lost := []oci.Repo{repo}
	if h.shared || h.foreign {
		if lost, err = s.holdersOf(ctx, d, at); err != nil {
			return out, err
		}
	}
	if err := s.noteDamage(ctx, d, at.size, reason, lost); err != nil {
		return out, err
	}
	if err := s.replaceDamaged(ctx, d, at, lost); err != nil {
		return out, err
	}
	out.Repos = lost
	if _, err := s.locate(ctx, d); err == nil {
		out.Healed = lost
	} else if !errors.Is(err, oci.ErrBlobUnknown) {
		return out, err
	}
	return out, nil
}

// verify reads content whole, and tells whether it is right.
func (s *Store) verify(ctx context.Context, at *place, d oci.Digest) (bool, error) {
	object, err := s.client.GetObject(ctx, at.key, s3lite.GetOptions{})
	if err != nil {
		return false, err
	}
	defer object.Body.Close()
	h := d.Algorithm().Hash()
	if _, err := io.Copy(h, object.Body); err != nil {
		return false, err
	}
	at.size, at.etag = object.Size, object.ETag
	return digestOf(d.Algorithm(), h) == d, nil
}

// holdersOf are the repositories that have no object of their own of a digest,
// and the one whose object lies at a place.
func (s *Store) holdersOf(ctx context.Context, d oci.Digest, at place) (repos []oci.Repo, err error) {
	err = s.WalkRepos(ctx, "", func(repo oci.Repo) error {
		h, err := s.look(ctx, repo, d)
		if err == nil && (h.shared || h.foreign || s.keys.blob(repo, d) == at.key) {
			repos = append(repos, repo)
		}
		if errors.Is(err, oci.ErrBlobUnknown) {
			return nil
		}
		return err
	})
	return repos, err
}

// noteDamage adds repositories to the record.
func (s *Store) noteDamage(ctx context.Context, d oci.Digest, size int64, reason string, lost []oci.Repo) error {
	for {
		r, etag, err := s.damageOf(ctx, d)
		if err != nil {
			return err
		}
		if r == nil {
			r = &damage{Version: 1, Digest: d}
		}
		r.Size, r.Reason, r.At = size, reason, s.opts.Now().UTC()
		r.Repositories = slices.Compact(slices.Sorted(slices.Values(append(r.Repositories, lost...))))
		content, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err = s.swapBytes(ctx, s.keys.damaged(d)+recordSuffix, etag, content); !errors.Is(err, errStale) {
			return err
		}
	}
}

// replaceDamaged keeps the damaged content aside, and has nobody find it.
func (s *Store) replaceDamaged(ctx context.Context, d oci.Digest, at place, lost []oci.Repo) error {
	err := s.copy(ctx, at, s.keys.damaged(d))
	if errors.Is(err, s3lite.ErrPrecondition) || errors.Is(err, s3lite.ErrNotFound) {
		return nil // it came anew, or is gone
	}
	if err != nil {
		return err
	}
	for _, repo := range lost {
		key := s.keys.blob(repo, d)
		if key == at.key {
			continue
		}
		h, err := s.look(ctx, repo, d)
		if errors.Is(err, oci.ErrBlobUnknown) || err == nil && !h.shared && !h.foreign {
			continue // it is gone, or came anew
		}
		if err == nil {
			// A reference that came anew meanwhile stands for the same as this.
			_, err = s.swapBytes(ctx, key, h.etag, nil)
		}
		if err != nil && !errors.Is(err, errStale) {
			return err
		}
	}
	_, err = s.swapBytes(ctx, at.key, at.etag, nil)
	if errors.Is(err, errStale) {
		err = nil // it came anew
	}
	for _, repo := range lost {
		s.refs.drop(blobID{repo, d})
	}
	s.arrived(d)
	return err
}

// arrived forgets where content was sought: there may be some, or none, now.
func (s *Store) arrived(d oci.Digest) {
	s.located.drop(d)
	s.nowhere.drop(d)
}

// QuarantineReason is oci.Quarantiner.QuarantineReason.
func (s *Store) QuarantineReason(ctx context.Context, repo oci.Repo, d oci.Digest) (string, error) {
	r, _, err := s.damageOf(ctx, d)
	if err != nil || r == nil || !slices.Contains(r.Repositories, repo) {
		return "", err
	}
	_, err = s.StatBlob(ctx, repo, d)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return r.Reason, nil
	}
	return "", err
}

// damagedKept is for how long damaged content is kept to be looked at.
const damagedKept = 7 * 24 * time.Hour

// heal gives objects of their own, or references, to the repositories that lost
// content which is there again, and forgets the damage then.
func (r round) heal(ctx context.Context) error {
	prefix := r.keys.quarantined()
	err := r.client.Walk(ctx, prefix, "", func(o s3lite.Info) error {
		if key, isRecord := strings.CutSuffix(o.Key, recordSuffix); isRecord {
			if d, ok := parseDigest(key, prefix); ok && !r.dry {
				return r.healDigest(ctx, d)
			}
			return nil
		}
		if d, ok := parseDigest(o.Key, prefix); ok && r.now.Sub(o.Modified) >= damagedKept {
			return r.forget(ctx, fmt.Sprintf("damaged content %s", d), o)
		}
		return nil
	})
	return asStored(err)
}

// forget removes an object that is told of.
func (r round) forget(ctx context.Context, name string, o s3lite.Info) error {
	if !r.dry {
		if err := r.client.DeleteObject(ctx, o.Key, ""); err != nil {
			return err
		}
	}
	return r.told(name, o.Size)
}

func (r round) healDigest(ctx context.Context, d oci.Digest) error {
	at, err := r.locate(ctx, d)
	if errors.Is(err, oci.ErrBlobUnknown) {
		return nil
	}
	var record *damage
	if err == nil {
		record, _, err = r.damageOf(ctx, d)
	}
	if err != nil || record == nil {
		return err
	}
	for _, repo := range record.Repositories {
		h, err := r.look(ctx, repo, d)
		if err == nil && h.foreign {
			err = r.give(ctx, repo, d, at)
		}
		if err != nil && !errors.Is(err, oci.ErrBlobUnknown) {
			return err
		}
	}
	return r.client.DeleteObject(ctx, r.keys.damaged(d)+recordSuffix, "")
}
