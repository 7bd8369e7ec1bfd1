package fsstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// indexes serialises the replacements of each repository's index.
type indexes struct {
	seed  maphash.Seed
	locks [64]sync.Mutex // by repository; guards its index.json and oci-layout

	mu       sync.Mutex            // guards doubtful
	doubtful map[oci.Repo]struct{} // visible, and not known to be durable
}

func (x *indexes) lock(repo oci.Repo) *sync.Mutex { return &x.locks[x.slot(repo)] }

func (x *indexes) slot(repo oci.Repo) uint64 {
	return maphash.String(x.seed, string(repo)) % uint64(len(x.locks))
}

// maxIndex bounds what is read of an index, in bytes.
const maxIndex = 256 << 20

// versionSize is the length of a version: device, inode, size, modification
// time. Two states of one index differ in it, since the time only grows.
const versionSize = 32

func versionBytes(info durable.Info) (v [versionSize]byte) {
	binary.LittleEndian.PutUint64(v[0:], info.Device)
	binary.LittleEndian.PutUint64(v[8:], info.Inode)
	binary.LittleEndian.PutUint64(v[16:], uint64(info.Size))
	binary.LittleEndian.PutUint64(v[24:], uint64(info.Modified))
	return v
}

func versionOf(info durable.Info) oci.Version {
	v := versionBytes(info)
	return oci.Version(v[:])
}

// isVersion compares without allocating.
func isVersion(info durable.Info, v oci.Version) bool {
	present := versionBytes(info)
	return string(present[:]) == string(v)
}

// LoadIndex is oci.Indexes.LoadIndex: one stat where have is still the version.
func (s *Store) LoadIndex(ctx context.Context, repo oci.Repo, have oci.Version) ([]byte, oci.Version, error) {
	if err := s.settleDoubt(repo); err != nil {
		return nil, "", err
	}
	if have != "" {
		info, err := s.fs.Stat(indexPath(repo))
		if err == nil && isVersion(info, have) {
			return nil, have, nil
		}
	}
	state, err := s.readLayout(repo)
	if err != nil {
		return nil, "", err
	}
	if state != valid {
		return nil, "", oci.ErrNameUnknown
	}
	return s.readIndex(repo)
}

func (s *Store) readIndex(repo oci.Repo) ([]byte, oci.Version, error) {
	content, info, err := s.readIndexFile(repo)
	if err == nil && s.torn(content, info) {
		return s.restoreIndex(repo)
	}
	return content, versionOf(info), err
}

func (s *Store) readIndexFile(repo oci.Repo) ([]byte, durable.Info, error) {
	content, info, err := durable.ReadFile(s.fs, indexPath(repo), maxIndex)
	switch {
	case durable.IsMissing(err):
		err = oci.ErrNameUnknown
	case err != nil:
		err = s.fail("read index.json", repo, err)
	case info.Kind != durable.Regular || info.Size > maxIndex:
		err = fmt.Errorf("index.json of %s is no file of at most %d bytes", repo, maxIndex)
	}
	return content, info, err
}

// torn reports whether an unclean stop left this of an index.
func (s *Store) torn(content []byte, info durable.Info) bool {
	return s.suspects.contains(info.Modified) && !isObject(content)
}

// isObject reports whether content is one complete JSON object.
func isObject(content []byte) bool {
	for _, c := range content {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{' && json.Valid(content)
	}
	return false
}

// restoreIndex replaces an index that an unclean stop tore by the last durable
// one, or by the empty one where there was none.
func (s *Store) restoreIndex(repo oci.Repo) ([]byte, oci.Version, error) {
	mu := s.indexes.lock(repo)
	mu.Lock()
	defer mu.Unlock()
	content, info, err := s.readIndexFile(repo)
	if err != nil || !s.torn(content, info) { // somebody else did it
		return content, versionOf(info), err
	}
	content, _, err = durable.ReadFile(s.fs, keptPath(repo), maxIndex)
	if err != nil && !durable.IsMissing(err) {
		return nil, "", s.fail("read the kept index", repo, err)
	}
	found := err == nil && isObject(content)
	if !found {
		content = []byte(emptyIndex)
	}
	if s.readOnly {
		return content, versionOf(info), nil
	}
	s.log.Warn("an unclean stop had torn index.json: an earlier one is used", "repository", repo, "kept", found)
	if info, err = s.renameIndex(repo, content, info, true); err != nil {
		return nil, "", s.fail("restore index.json", repo, err)
	}
	return content, versionOf(info), nil
}

// SwapIndex is oci.Indexes.SwapIndex.
func (s *Store) SwapIndex(ctx context.Context, repo oci.Repo, old oci.Version, index []byte) (oci.Version, error) {
	if s.readOnly {
		return "", oci.ErrReadOnly
	}
	if err := s.writable(repo); err != nil {
		return "", err
	}
	mu := s.indexes.lock(repo)
	mu.Lock()
	defer mu.Unlock()
	present, err := s.presentIndex(repo, old)
	if err != nil {
		return "", err
	}
	swap := func() error {
		var err error
		present, err = s.swap(repo, present, index)
		return err
	}
	if old != "" && int64(len(index)) <= present.Size {
		err = s.space.withReserve(swap) // a delete: it must work on a full medium
	} else if err = s.space.need(int64(len(index))); err == nil {
		err = swap()
	}
	if err != nil {
		return "", s.fail("replace index.json", repo, err)
	}
	s.space.reserveFor(int64(len(index)))
	return versionOf(present), nil
}

// presentIndex describes the index that is to be replaced; the zero Info is
// that of none.
func (s *Store) presentIndex(repo oci.Repo, old oci.Version) (durable.Info, error) {
	state, err := s.layout(repo)
	if err != nil {
		return durable.Info{}, err
	}
	present, err := s.fs.Stat(indexPath(repo))
	switch {
	case durable.IsMissing(err) && old == "":
		return durable.Info{}, nil
	case durable.IsMissing(err):
		return durable.Info{}, oci.ErrConflict
	case err != nil:
		return durable.Info{}, s.fail("look at index.json", repo, err)
	case old == "" && state == absent:
		return present, nil // its creation was interrupted
	case !isVersion(present, old):
		return durable.Info{}, oci.ErrConflict
	}
	return present, nil
}

// swap replaces an index, or makes the repository with it. The caller holds
// the repository's lock.
func (s *Store) swap(repo oci.Repo, present durable.Info, index []byte) (durable.Info, error) {
	if err := s.journal.begin(); err != nil {
		return present, err
	}
	defer s.journal.end()
	if !s.layouts.has(repo) {
		present, err := s.create(repo)
		if err != nil {
			return present, err
		}
		return s.swapExisting(repo, present, index)
	}
	return s.swapExisting(repo, present, index)
}

// create makes a repository with an empty index.
func (s *Store) create(repo oci.Repo) (durable.Info, error) {
	if err := s.makeDirs(repoDir(repo) + "/" + blobsName); err != nil {
		return durable.Info{}, err
	}
	if err := s.complete(repo); err != nil {
		return durable.Info{}, err
	}
	return s.fs.Stat(indexPath(repo))
}

func (s *Store) swapExisting(repo oci.Repo, present durable.Info, index []byte) (durable.Info, error) {
	settle := s.commit
	if !settle {
		settle = !s.keepIndex(repo)
		defer s.journal.replaced(repo)
	}
	return s.renameIndex(repo, index, present, settle)
}

// renameIndex is the replacement itself:
//
//	open(tmp), pwrite, fstat, [utimens], [fdatasync], close
//	rename(tmp, index.json)                  <- commit point
//	[fsync(directory and those above)]       with commit
//
// utimens keeps the modification time growing where the clock does not: inode
// numbers come back, so that two states could else have one version.
func (s *Store) renameIndex(repo oci.Repo, index []byte, present durable.Info, settle bool) (durable.Info, error) {
	tmp := s.tmpPath()
	info, err := s.writeIndex(tmp, index, present.Modified, settle)
	if err == nil {
		err = s.fs.Rename(tmp, indexPath(repo))
		s.doubtIndex(repo, s.commit && err != nil)
	}
	if err != nil {
		_ = s.fs.Remove(tmp)
		return present, err
	}
	s.space.spend(info.Size)
	if !s.commit {
		return info, nil
	}
	err = s.syncIndex(repo)
	s.doubtIndex(repo, err != nil)
	return info, err
}

func (s *Store) syncIndex(repo oci.Repo) error {
	if err := s.dirs.Sync(s.fs, repoDir(repo)); err != nil {
		return err
	}
	key := chainKey{repo: repo}
	if s.chains.has(key) {
		return nil
	}
	return s.syncChain(key)
}

func (s *Store) writeIndex(tmp string, index []byte, after int64, settle bool) (durable.Info, error) {
	f, err := s.fs.Create(tmp)
	if err != nil {
		return durable.Info{}, err
	}
	_, err = f.WriteAt(index, 0)
	var info durable.Info
	if err == nil {
		info, err = statAfter(f, after)
	}
	if err == nil && settle {
		err = f.Sync()
	}
	return info, errors.Join(err, f.Close())
}

// statAfter describes a file whose modification time it moves past another
// where it is not: by the least step that the file system can express.
func statAfter(f durable.File, after int64) (durable.Info, error) {
	info, err := f.Stat()
	for _, step := range []time.Duration{1, time.Microsecond, 10 * time.Millisecond, 2 * time.Second} {
		if err != nil || info.Modified > after {
			return info, err
		}
		if err = f.SetModified(time.Unix(0, after+int64(step))); err == nil {
			info, err = f.Stat()
		}
	}
	return info, err
}

// doubtIndex notes whether a replaced index may get lost.
func (s *Store) doubtIndex(repo oci.Repo, doubtful bool) {
	s.indexes.mu.Lock()
	defer s.indexes.mu.Unlock()
	if !doubtful {
		delete(s.indexes.doubtful, repo)
		return
	}
	if s.indexes.doubtful == nil {
		s.indexes.doubtful = make(map[oci.Repo]struct{})
	}
	s.indexes.doubtful[repo] = struct{}{}
}

// settleDoubt makes an index durable before anybody sees it whose replacement,
// or whose repository's creation, failed halfway.
func (s *Store) settleDoubt(repo oci.Repo) error {
	if !s.commit {
		return nil
	}
	s.indexes.mu.Lock()
	_, doubtful := s.indexes.doubtful[repo]
	s.indexes.mu.Unlock()
	if !doubtful {
		return nil
	}
	mu := s.indexes.lock(repo)
	mu.Lock()
	defer mu.Unlock()
	err := s.syncIndex(repo)
	if durable.IsMissing(err) { // it was removed
		err = s.syncGone(repo)
	}
	if err == nil {
		s.doubtIndex(repo, false)
	}
	return s.fail("make index.json durable", repo, err)
}
