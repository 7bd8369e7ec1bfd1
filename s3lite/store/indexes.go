package store

import (
	"context"
	"errors"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// layoutContent is an oci-layout file (image-spec, oci-layout file).
const layoutContent = `{"imageLayoutVersion":"1.0.0"}`

// knownIndex is what is known of an index, and since when.
type knownIndex struct {
	version oci.Version
	at      time.Time
}

const (
	// reposKnown bounds what is remembered of repositories.
	reposKnown = 4096
	// knownFor is for how long a repository is taken to be there.
	knownFor = time.Minute
)

// LoadIndex is oci.Indexes.LoadIndex: a conditional GET, or nothing where the
// index was seen less than Options.IndexMaxAge ago. An index.json of no bytes is
// that of a repository which was removed.
func (s *Store) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	begun := s.opts.Now()
	if known, ok := s.indexes.get(repo); ok && have != "" && known.version == have && begun.Sub(known.at) < s.opts.IndexMaxAge {
		return nil, have, nil
	}
	object, err := s.client.GetObject(ctx, s.keys.index(repo), s3lite.GetOptions{IfNoneMatch: string(have)})
	if errors.Is(err, s3lite.ErrNotModified) {
		s.indexes.put(repo, knownIndex{have, begun})
		return nil, have, nil
	}
	if err != nil {
		return nil, "", missing(err, oci.ErrNameUnknown)
	}
	content, err := readAll(object)
	if err != nil {
		return nil, "", asStored(err)
	}
	if len(content) == 0 {
		return nil, "", oci.ErrNameUnknown
	}
	version := oci.Version(object.ETag)
	s.indexes.put(repo, knownIndex{version, begun})
	return content, version, nil
}

// SwapIndex is oci.Indexes.SwapIndex: a PUT on the condition that the index is
// still the old one.
func (s *Store) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	s.indexes.drop(repo)
	if old == "" {
		if err := s.putLayout(ctx, repo); err != nil {
			return "", err
		}
	}
	begun := s.opts.Now()
	etag, err := s.swapBytes(ctx, s.keys.index(repo), string(old), index)
	if old == "" && errors.Is(err, errStale) {
		etag, err = s.revive(ctx, repo, index)
	}
	if err != nil {
		return "", conflicted(err)
	}
	version := oci.Version(etag)
	s.indexes.put(repo, knownIndex{version, begun})
	s.known.put(repo, true)
	return version, nil
}

// revive puts an index in the place of one that says that the repository was
// removed. Errors: errStale where it says something else.
func (s *Store) revive(ctx context.Context, repo oci.Repo, index []byte) (string, error) {
	info, err := s.client.HeadObject(ctx, s.keys.index(repo), s3lite.GetOptions{})
	if err != nil {
		return "", missing(err, errStale)
	}
	if info.Size > 0 {
		return "", errStale
	}
	return s.swapBytes(ctx, s.keys.index(repo), info.ETag, index)
}

func (s *Store) putLayout(ctx context.Context, repo oci.Repo) error {
	_, err := s.client.PutObject(ctx, s.keys.layout(repo), s3lite.Bytes([]byte(layoutContent)), s3lite.PutOptions{ContentType: "application/json"})
	return asStored(err)
}

// ensure makes a repository that something came into visible. It is asked
// after that, so that whoever removes the repository meanwhile sees it.
func (s *Store) ensure(ctx context.Context, repo oci.Repo) error {
	if _, ok := s.known.get(repo); ok {
		return nil
	}
	info, err := s.client.HeadObject(ctx, s.keys.index(repo), s3lite.GetOptions{})
	if err != nil && !errors.Is(err, s3lite.ErrNotFound) {
		return asStored(err)
	}
	if err != nil || info.Size == 0 {
		_, err := s.SwapIndex(ctx, repo, "", oci.NewIndex().JSON())
		if err != nil && !errors.Is(err, oci.ErrConflict) {
			return err
		}
	}
	s.known.put(repo, true)
	return nil
}

// exists tells whether a repository has an index.
func (s *Store) exists(ctx context.Context, repo oci.Repo) (bool, error) {
	info, err := s.client.HeadObject(ctx, s.keys.index(repo), s3lite.GetOptions{})
	if errors.Is(err, s3lite.ErrNotFound) {
		return false, nil
	}
	return err == nil && info.Size > 0, asStored(err)
}

// DeleteRepo is oci.Repos.DeleteRepo: the index is replaced by one of no bytes,
// on the condition that it is the one that was looked at. Who creates the
// repository anew replaces that; so no server has to keep conditions of deletes.
func (s *Store) DeleteRepo(ctx context.Context, repo oci.Repo, old oci.Version) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	index, etag, err := s.read(ctx, s.keys.index(repo))
	switch {
	case err != nil:
		return asStored(err)
	case len(index) == 0:
		return oci.ErrNameUnknown
	case etag != string(old):
		return oci.ErrConflict
	}
	if x, err := oci.ParseIndex(index); err != nil || x.Len() > 0 {
		return oci.ErrConflict
	}
	if holds, err := s.holdsAnything(ctx, repo); err != nil || holds {
		return conflictOr(err)
	}
	s.known.drop(repo)
	s.indexes.drop(repo)
	removed, err := s.swapBytes(ctx, s.keys.index(repo), etag, nil)
	if err != nil {
		return conflicted(err)
	}
	s.known.drop(repo)
	// What came before now, and knew the repository, may have left it at that.
	holds, err := s.holdsAnything(ctx, repo)
	if err == nil && !holds {
		return nil
	}
	_, back := s.swapBytes(ctx, s.keys.index(repo), removed, index)
	if back != nil && !errors.Is(back, errStale) {
		return back
	}
	return conflictOr(err)
}

// conflictOr is the error, or that something is in the repository.
func conflictOr(err error) error {
	if err != nil {
		return err
	}
	return oci.ErrConflict
}

// holdsAnything tells whether a repository has a blob or a session.
func (s *Store) holdsAnything(ctx context.Context, repo oci.Repo) (bool, error) {
	for _, prefix := range []string{s.keys.blobs(repo, oci.SHA256), s.keys.blobs(repo, oci.SHA512), s.keys.sessions(repo)} {
		page, err := s.client.ListObjects(ctx, s3lite.ListOptions{Prefix: prefix, Max: 1})
		if err != nil || len(page.Objects) > 0 {
			return err == nil, asStored(err)
		}
	}
	return false, nil
}
