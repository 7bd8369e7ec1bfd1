package archive

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"berth/oci"
	"berth/oci/subpath"
)

// Options of a Store.
type Options struct {
	// Path of the tar file or of the layout's directory.
	Path string
	// Repo is the repository's name; "": Name of the file or directory.
	Repo oci.Repo
	Log  *slog.Logger // nil: discard
}

// Store serves one layout as one repository, read-only.
type Store struct {
	subpath.NoWrites
	repo   oci.Repo
	path   string
	layout layout
	log    *slog.Logger

	mu   sync.Mutex // guards said
	said string     // the reason logged last
}

var _ oci.Store = (*Store)(nil)

// layout is one way in which a layout is stored. Its methods fail with a
// refusal where it cannot be served, and as the port's where it can.
type layout interface {
	load(have oci.Version) ([]byte, oci.Version, error)
	stat(d oci.Digest) (oci.BlobInfo, error)
	open(d oci.Digest) (oci.Content, error)
	walk(fn func(oci.Digest, oci.BlobInfo) error) error
}

// Open makes a Store of a tar file. It does no I/O: the file is indexed when
// it is first used. It fails with ErrNameInvalid where no repository name is
// given and the file's yields none.
func Open(opts Options) (*Store, error) {
	return newStore(opts, &tarLayout{path: opts.Path})
}

// OpenDir makes a Store of a directory that is itself a layout. It does no
// I/O. It fails as Open does.
func OpenDir(opts Options) (*Store, error) {
	return newStore(opts, &dirLayout{path: opts.Path})
}

func newStore(opts Options, l layout) (*Store, error) {
	s := &Store{repo: opts.Repo, path: opts.Path, layout: l, log: opts.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.repo == "" {
		path, absErr := filepath.Abs(opts.Path) // "." is named after its directory
		if absErr != nil {
			path = opts.Path
		}
		s.repo, err = Name(path)
	} else {
		_, err = oci.ParseRepo(string(s.repo))
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Repo is the name of the one repository.
func (s *Store) Repo() oci.Repo { return s.repo }

// Check looks whether the layout can be served and returns why not.
func (s *Store) Check() error {
	_, _, err := s.layout.load("")
	return err
}

// StatBlob implements oci.Blobs.
func (s *Store) StatBlob(_ context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	if repo != s.repo {
		return oci.BlobInfo{}, oci.ErrBlobUnknown
	}
	info, err := s.layout.stat(d)
	return info, s.outcome(err, oci.ErrBlobUnknown)
}

// OpenBlob implements oci.Blobs. The content of a blob has an *os.File behind
// it, see File.
func (s *Store) OpenBlob(_ context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	if repo != s.repo {
		return nil, oci.ErrBlobUnknown
	}
	content, err := s.layout.open(d)
	if err != nil {
		return nil, s.outcome(err, oci.ErrBlobUnknown)
	}
	return seekTo(content, offset)
}

// WalkBlobs implements oci.Blobs.
func (s *Store) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	if repo != s.repo {
		return oci.ErrNameUnknown
	}
	var failed error
	err := s.layout.walk(func(d oci.Digest, info oci.BlobInfo) error {
		if failed = ctx.Err(); failed == nil {
			failed = fn(d, info)
		}
		return failed
	})
	if failed != nil {
		return failed
	}
	return s.outcome(err, oci.ErrNameUnknown)
}

// LoadIndex implements oci.Indexes.
func (s *Store) LoadIndex(_ context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	if repo != s.repo {
		return nil, "", oci.ErrNameUnknown
	}
	content, v, err := s.layout.load(have)
	return content, v, s.outcome(err, oci.ErrNameUnknown)
}

// WalkRepos implements oci.Repos.
func (s *Store) WalkRepos(_ context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	if after >= s.repo {
		return nil
	}
	_, _, err := s.layout.load(anyVersion)
	if isRefusal(err) {
		return s.outcome(err, nil)
	}
	if err != nil {
		return err
	}
	return fn(s.repo)
}

// outcome turns a refusal of the layout into what a client is told, unknown,
// after it was logged, and leaves any other error as it is.
func (s *Store) outcome(err, unknown error) error {
	if !isRefusal(err) {
		return err
	}
	s.mu.Lock()
	news := s.said != err.Error()
	s.said = err.Error()
	s.mu.Unlock()
	if news {
		s.log.Warn("layout is not served", "path", s.path, "repository", string(s.repo), "reason", err.Error())
	}
	return unknown
}
