package fsstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"berth/fsstore/durable"
	"berth/oci"
)

// quarantine has the blobs that were found damaged. On the disk there is a
// record of each, which names the repositories that lost it, and the damaged
// file beside it while that is kept. In memory is only what requests have to
// know; both sets are empty as a rule, which one look at a number tells.
type quarantine struct {
	turn sync.Mutex // held while records and damaged files change

	lost atomic.Int32 // of digests
	bad  atomic.Int32 // of condemned
	mu   sync.RWMutex // guards what follows
	// digests are those with a record.
	digests map[oci.Digest]struct{}
	// condemned are damaged files that may have names beside that in
	// quarantine: while they are taken away, and while somebody holds a loan.
	condemned map[inode]struct{}
}

type inode struct{ device, inode uint64 }

func inodeOf(info durable.Info) inode { return inode{info.Device, info.Inode} }

func (q *quarantine) condemn(info durable.Info) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.condemned == nil {
		q.condemned = make(map[inode]struct{})
	}
	q.condemned[inodeOf(info)] = struct{}{}
	q.bad.Store(int32(len(q.condemned)))
}

func (q *quarantine) pardon(info durable.Info) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.condemned, inodeOf(info))
	q.bad.Store(int32(len(q.condemned)))
}

// isCondemned tells whether a file must not be served or linked to.
func (q *quarantine) isCondemned(info durable.Info) bool {
	if q.bad.Load() == 0 {
		return false
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	_, bad := q.condemned[inodeOf(info)]
	return bad
}

func (q *quarantine) add(d oci.Digest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.digests == nil {
		q.digests = make(map[oci.Digest]struct{})
	}
	q.digests[d] = struct{}{}
	q.lost.Store(int32(len(q.digests)))
}

func (q *quarantine) remove(d oci.Digest) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.digests, d)
	q.lost.Store(int32(len(q.digests)))
}

// has tells whether some repository lost a digest.
func (q *quarantine) has(d oci.Digest) bool {
	if q.lost.Load() == 0 {
		return false
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	_, lost := q.digests[d]
	return lost
}

// all are the digests that were lost, in their order.
func (q *quarantine) all() []oci.Digest {
	q.mu.RLock()
	defer q.mu.RUnlock()
	all := make([]oci.Digest, 0, len(q.digests))
	for d := range q.digests {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

var _ oci.Quarantiner = (*Store)(nil)

// QuarantineBlob is oci.Quarantiner.QuarantineBlob. The calls after the blob
// was read once more:
//
//	write the record's temporary, fdatasync, rename, fsync(.berth/quarantine/<alg>)
//	rename(blobs/<alg>/<hex>, .berth/quarantine/<alg>/<hex>)    <- it is gone there
//	unlink(blobs/<alg>/<hex>) of the other repositories
//	fsync of all these directories
//
// From before the first rename on this process serves none of the names. One
// that a power cut leaves is taken away by the next process.
func (s *Store) QuarantineBlob(ctx context.Context, repo oci.Repo, d oci.Digest, reason string) (oci.Quarantined, error) {
	if s.readOnly {
		return oci.Quarantined{}, oci.ErrReadOnly
	}
	bad, err := s.confirm(ctx, repo, d)
	if err != nil || bad == nil {
		return oci.Quarantined{Sound: err == nil}, s.blobError("read a blob again", repo, err)
	}
	defer bad.Close() // until then no other file has its inode's number
	names, err := s.namesOf(ctx, repo, d)
	if err != nil {
		return oci.Quarantined{}, s.fail("look for a damaged blob", repo, err)
	}
	if err := s.journal.begin(); err != nil {
		return oci.Quarantined{}, s.fail("quarantine a blob", repo, err)
	}
	defer s.journal.end()
	lost, err := s.takeAway(ctx, bad.info, record{Digest: d, Reason: reason, Repositories: names.of(bad.info)})
	if err != nil {
		return oci.Quarantined{}, s.blobError("quarantine a blob", repo, err)
	}
	s.log.Error("a blob is damaged: it lies in quarantine and has to be pushed again, where no other copy is found",
		"digest", d, "repositories", lost, "reason", reason)
	out := oci.Quarantined{Repos: lost}
	if sound := s.soundCopy(ctx, d, names.others(bad.info)); sound != "" {
		out.Healed = s.heal(ctx, sound, d)
	}
	s.trimQuarantine()
	return out, nil
}

// damaged is a file that was found so, open.
type damaged struct {
	durable.File
	info durable.Info
}

// readings is how often a medium is asked for a blob before its refusal is
// believed.
const readings = 3

// confirm reads a blob from the medium. It returns the file where that is
// damaged, nil where the content is right.
func (s *Store) confirm(ctx context.Context, repo oci.Repo, d oci.Digest) (*damaged, error) {
	if err := s.readable(repo, d); err != nil {
		return nil, err
	}
	f, err := s.fs.Open(blobPath(repo, d))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Kind != durable.Regular || s.quarantine.isCondemned(info)) {
		err = oci.ErrBlobUnknown
	}
	right := false
	if err == nil {
		right, err = s.readsRight(ctx, d, f, info.Size)
	}
	if err != nil || right {
		return nil, errors.Join(err, f.Close())
	}
	return &damaged{f, info}, nil
}

// readsRight tells whether a file has the content of a digest, on the medium.
// One that cannot be read, though the medium as a whole can, has not.
func (s *Store) readsRight(ctx context.Context, d oci.Digest, f durable.File, size int64) (right bool, err error) {
	for range readings {
		if right, err = s.hashOnce(ctx, d, f, size); !errors.Is(err, syscall.EIO) {
			return right, err
		}
	}
	if _, gone := s.fs.Lstat(privateDir); gone != nil {
		return false, errors.Join(err, gone)
	}
	return false, nil
}

// hashOnce compares a file's content on the medium with a digest.
func (s *Store) hashOnce(ctx context.Context, d oci.Digest, f durable.File, size int64) (bool, error) {
	once := durable.NewOnce(f, size, true)
	defer once.Close()
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	check := d.Verifier()
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := once.Read(*buffer)
		_, _ = check.Write((*buffer)[:n]) // a hash takes everything
		if err == io.EOF {
			return check.Verified(), nil
		}
		if err != nil {
			return false, err
		}
	}
}

// named is a repository's file of a digest.
type named struct {
	repo oci.Repo
	info durable.Info
}

type nameList []named

// of are the repositories whose name leads to a file, in order.
func (l nameList) of(file durable.Info) (repos []oci.Repo) {
	for _, n := range l {
		if sameFile(n.info, file) {
			repos = append(repos, n.repo)
		}
	}
	slices.Sort(repos)
	return repos
}

// others are those whose name leads to another file.
func (l nameList) others(file durable.Info) (repos []oci.Repo) {
	for _, n := range l {
		if !sameFile(n.info, file) {
			repos = append(repos, n.repo)
		}
	}
	return repos
}

// namesOf finds every repository that holds a digest: those that can be
// listed, those that the index tells of, and repo.
func (s *Store) namesOf(ctx context.Context, repo oci.Repo, d oci.Digest) (nameList, error) {
	var found nameList
	seen := make(map[oci.Repo]bool)
	look := func(one oci.Repo) error {
		if seen[one] {
			return nil
		}
		seen[one] = true
		info, err := s.fs.Stat(blobPath(one, d))
		if durable.IsMissing(err) {
			return nil
		}
		if err == nil && info.Kind == durable.Regular {
			found = append(found, named{one, info})
		}
		return err
	}
	err := s.WalkRepos(ctx, "", look)
	for _, one := range s.holders(ctx, repo, d) {
		if err == nil && one != "" {
			err = look(one)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look for the copies of %s: %w", d, err)
	}
	return found, nil
}
