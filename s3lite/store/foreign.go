package store

import (
	"context"
	"errors"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// The reference registry keeps content in one repository, or in _blobstore, and
// objects of no bytes in the others, of which only its database knows what they
// stand for. Their digest tells it too: the content is looked for by that.

const (
	// foreignStore is the repository of the reference registry's own that has
	// shared content.
	foreignStore = "_blobstore/"
	// locationsKept bounds what is remembered of where content lies.
	locationsKept = 4096
	// soughtAgain is for how long content that was not found is taken to be
	// nowhere.
	soughtAgain = time.Minute
	// holdersAsked is how many repositories of the Locations' are tried.
	holdersAsked = 8
)

// locate finds content by its digest. Errors: ErrBlobUnknown.
func (s *Store) locate(ctx context.Context, d oci.Digest) (place, error) {
	if at, ok := s.located.get(d); ok {
		// Whether it is there still, a read tells; else it is looked for again.
		if err := s.confirm(ctx, &at); err == nil {
			return at, nil
		} else if !errors.Is(err, oci.ErrBlobUnknown) {
			return place{}, err
		}
		s.located.drop(d)
	}
	if _, ok := s.nowhere.get(d); ok {
		return place{}, oci.ErrBlobUnknown
	}
	unlock, err := s.seeking.lock(ctx, d)
	if err != nil {
		return place{}, err
	}
	defer unlock()
	if at, ok := s.located.get(d); ok {
		return at, nil
	}
	at, err := s.seek(ctx, d)
	switch {
	case err == nil:
		s.located.put(d, at)
	case errors.Is(err, oci.ErrBlobUnknown):
		s.nowhere.put(d, true)
	}
	return at, err
}

// confirm asks whether there is content at a place.
func (s *Store) confirm(ctx context.Context, at *place) error {
	info, err := s.client.HeadObject(ctx, at.key, s3lite.GetOptions{})
	if err != nil {
		return missing(err, oci.ErrBlobUnknown)
	}
	if info.Size == 0 {
		return oci.ErrBlobUnknown
	}
	at.size, at.etag = info.Size, info.ETag
	return nil
}

// seek looks where content may be, and in every repository in the end.
func (s *Store) seek(ctx context.Context, d oci.Digest) (place, error) {
	candidates := []string{s.keys.content(d), s.keys.root + foreignStore + oci.LayoutBlobs + "/" + string(d.Algorithm()) + "/" + d.Encoded()}
	if s.opts.Locations != nil {
		// Who knows nothing now is like who knows nothing.
		holders, _ := s.opts.Locations.Holders(ctx, d, holdersAsked)
		for _, repo := range holders {
			candidates = append(candidates, s.keys.blob(repo, d))
		}
	}
	damaged, _, err := s.damageOf(ctx, d)
	if err != nil {
		return place{}, err
	}
	for _, key := range candidates {
		at := place{key: key}
		if err := s.try(ctx, &at, d, damaged != nil); !errors.Is(err, oci.ErrBlobUnknown) {
			return at, err
		}
	}
	var found place
	err = s.WalkRepos(ctx, "", func(repo oci.Repo) error {
		found.key = s.keys.blob(repo, d)
		switch err := s.try(ctx, &found, d, damaged != nil); {
		case err == nil:
			return errEnough
		case !errors.Is(err, oci.ErrBlobUnknown):
			return err
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return found, nil
	}
	if err == nil {
		err = oci.ErrBlobUnknown
	}
	return place{}, err
}

// try is confirm, which reads the content where some of it was damaged.
func (s *Store) try(ctx context.Context, at *place, d oci.Digest, damaged bool) error {
	err := s.confirm(ctx, at)
	if err != nil || !damaged {
		return err
	}
	sound, err := s.verify(ctx, at, d)
	if err == nil && !sound {
		return oci.ErrBlobUnknown
	}
	return missing(err, oci.ErrBlobUnknown)
}

// keepForOthers puts content aside that a repository is about to lose, where
// the bucket was another registry's once: others may depend on it without a
// word of it anywhere. Content that nobody refers to is swept later.
func (s *Store) keepForOthers(ctx context.Context, repo oci.Repo, d oci.Digest, h holding) error {
	if h.shared || h.foreign || h.size == 0 || !s.about.Load().Foreign {
		return nil
	}
	state, err := s.contentState(ctx, d)
	if err != nil || state.usable() {
		return err
	}
	if state.condemned {
		return oci.Errorf(oci.ErrUnavailable, "%s is being collected; try again later", d)
	}
	return s.copy(ctx, place{key: s.keys.blob(repo, d), size: h.size, etag: h.etag}, s.keys.content(d))
}
