package fsstore

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"berth/fsstore/durable"
	"berth/oci"
)

// dedupe is what a store knows of blobs that several repositories hold.
type dedupe struct {
	on        bool
	locations oci.Locations // hints; nil: none
	refused   atomic.Bool   // the file system makes no hard links at all
	probed    atomic.Bool
	// sharing has the digests of which a first copy may be in the making.
	sharing pending

	seed maphash.Seed
	// trusted has blobs that this process wrote or read whole: their content
	// is that of their digest, and as durable as what is answered must be.
	trusted *recent[uint64]
	marks   marks
	wanted  wanted
}

// holdersAsked is how many repositories are tried for a blob.
const holdersAsked = 8

func (s *Store) prepareDedupe(opts Options) {
	s.dedupe.on = opts.Dedupe && !s.readOnly
	if s.dedupe.on {
		s.dedupe.locations = opts.Locations
	}
	s.dedupe.seed = maphash.MakeSeed()
	s.dedupe.trusted = newRecent[uint64](8192)
}

// trustKey stands for one state of a file as the content of a digest: equal
// bytes under two algorithms are two blobs.
func (s *Store) trustKey(d oci.Digest, info durable.Info) uint64 {
	type state struct {
		digest         oci.Digest
		device, inode  uint64
		size, modified int64
	}
	return maphash.Comparable(s.dedupe.seed, state{d, info.Device, info.Inode, info.Size, info.Modified})
}

func (s *Store) trust(d oci.Digest, info durable.Info) { s.dedupe.trusted.add(s.trustKey(d, info)) }

func (s *Store) distrust(d oci.Digest, info durable.Info) {
	s.dedupe.trusted.remove(s.trustKey(d, info))
}

func (s *Store) trusts(d oci.Digest, info durable.Info) bool {
	return s.dedupe.trusted.has(s.trustKey(d, info))
}

// holders are the repositories that may hold a blob: the one it is for, then
// those that the index tells, the latest first.
func (s *Store) holders(ctx context.Context, repo oci.Repo, d oci.Digest) []oci.Repo {
	repos := []oci.Repo{repo}
	if s.dedupe.locations == nil {
		return repos
	}
	told, err := s.dedupe.locations.Holders(ctx, d, holdersAsked)
	if err != nil {
		return repos
	}
	for _, other := range slices.Backward(told) {
		if other != repo {
			repos = append(repos, other)
		}
	}
	return repos
}

// note tells the index that a repository holds a blob.
func (s *Store) note(ctx context.Context, repo oci.Repo, d oci.Digest) {
	if s.dedupe.locations != nil { // what it cannot note now, a rebuild will find
		_ = s.dedupe.locations.Add(context.WithoutCancel(ctx), d, oci.Repo(strings.Clone(string(repo))))
	}
}

// forgetHolder tells the index that a repository does not hold a blob, or one
// that cannot be linked to any more.
func (s *Store) forgetHolder(ctx context.Context, repo oci.Repo, d oci.Digest) {
	if s.dedupe.locations != nil {
		_ = s.dedupe.locations.Remove(context.WithoutCancel(ctx), d, oci.Repo(strings.Clone(string(repo))))
	}
}

// cannotLink takes note of a link that was refused: it logs each cause once,
// and looks whether the root takes any links.
func (s *Store) cannotLink(err error) {
	var cause syscall.Errno
	if !errors.As(err, &cause) {
		return
	}
	if s.once("link " + cause.Error()) {
		s.log.Warn("a hard link was refused: such blobs are stored as copies in each repository", "cause", cause.Error(), "error", err)
	}
	if cause == syscall.EMLINK || cause == syscall.EXDEV || s.dedupe.probed.Swap(true) {
		return
	}
	s.dedupe.refused.Store(!s.linksWork())
}

// linksWork tries a link between two temporary files.
func (s *Store) linksWork() bool {
	one, two := s.tmpPath(), s.tmpPath()
	if durable.WriteTemp(s.fs, one, nil, false) != nil {
		return true // not known
	}
	err := s.fs.Link(one, two)
	_ = s.fs.Remove(two)
	_ = s.fs.Remove(one)
	return !durable.CannotLink(err)
}

// enterDigest waits until nobody else makes a first copy of a digest, and
// claims that; so of two equal blobs that come at once one links to the other.
func (s *Store) enterDigest(d oci.Digest) (leave func()) {
	if !s.dedupe.on {
		return func() {}
	}
	key := blobKey{digest: d}
	s.dedupe.sharing.enter(key)
	return func() { s.dedupe.sharing.leave(key) }
}
