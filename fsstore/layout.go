package fsstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"

	"berth/fsstore/durable"
	"berth/oci"
)

// layouts knows which repositories have a layout that can be served.
type layouts struct {
	// recent has repositories whose oci-layout was found good, so that opening
	// a blob reads no JSON.
	*recent[oci.Repo]

	removing sync.Mutex    // held while one is forgotten or remembered
	removals atomic.Uint64 // counts those that were removed by this process
}

// remember notes that a repository's layout was found good by a look that began
// after so many removals: it may have been removed since.
func (l *layouts) remember(repo oci.Repo, removals uint64) {
	l.removing.Lock()
	defer l.removing.Unlock()
	if l.removals.Load() == removals {
		l.add(repo)
	}
}

// forget notes that a repository was removed.
func (l *layouts) forget(repo oci.Repo) {
	l.removing.Lock()
	defer l.removing.Unlock()
	l.removals.Add(1)
	l.remove(repo)
}

// layoutState is what a repository's directory is.
type layoutState int

const (
	absent  layoutState = iota // no layout, or one whose creation was interrupted
	valid                      // a layout that is served
	refused                    // one that is not: no oci-layout, or one of an unknown version
)

const (
	layoutContent = `{"imageLayoutVersion":"1.0.0"}`
	emptyIndex    = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	knownLayout   = "1.0.0" // image-spec, Image Layout, oci-layout file
	maxLayout     = 64 << 10
)

// layout tells what a repository's directory is, from memory where it is
// known to be valid.
func (s *Store) layout(repo oci.Repo) (layoutState, error) {
	if s.layouts.has(repo) {
		return valid, nil
	}
	return s.readLayout(repo)
}

func (s *Store) readLayout(repo oci.Repo) (layoutState, error) {
	removals := s.layouts.removals.Load()
	content, info, err := durable.ReadFile(s.fs, layoutPath(repo), maxLayout)
	if durable.IsMissing(err) {
		s.layouts.remove(repo)
		return s.withoutLayout(repo, removals)
	}
	if err != nil {
		return absent, s.fail("read oci-layout", repo, err)
	}
	version, ok := parseLayout(content)
	switch {
	case ok && version == knownLayout:
		s.layouts.remember(repo, removals)
		return valid, nil
	case !ok && s.suspects.contains(info.Modified):
		return s.repairLayout(repo, removals)
	case !ok:
		s.refuse(repo, "its oci-layout file is not valid")
	default:
		s.refuse(repo, fmt.Sprintf("its oci-layout file has version %q, known is %s", version, knownLayout))
	}
	s.layouts.remove(repo)
	return refused, nil
}

func parseLayout(content []byte) (version string, ok bool) {
	var layout struct {
		Version *string `json:"imageLayoutVersion"`
	}
	if json.Unmarshal(content, &layout) != nil || layout.Version == nil {
		return "", false
	}
	return *layout.Version, true
}

// withoutLayout tells apart a repository that is not there, one whose creation
// was cut short (its index is still the empty one, or a power cut took the
// file), and somebody's directory that lacks the file.
func (s *Store) withoutLayout(repo oci.Repo, removals uint64) (layoutState, error) {
	content, info, err := durable.ReadFile(s.fs, indexPath(repo), int64(len(emptyIndex)))
	switch {
	case durable.IsMissing(err):
		return absent, nil
	case err != nil:
		return absent, s.fail("read index.json", repo, err)
	case string(content) == emptyIndex: // or its removal was
		return absent, nil
	}
	// Another index than the empty one comes after oci-layout: where both were
	// written since that was looked for, it is there now.
	if _, err := s.fs.Stat(layoutPath(repo)); err == nil {
		return s.readLayout(repo)
	}
	if s.suspects.contains(info.Modified) {
		return s.repairLayout(repo, removals)
	}
	s.refuse(repo, "its oci-layout file is missing")
	return refused, nil
}

func (s *Store) refuse(repo oci.Repo, why string) {
	if s.once("refuse " + string(repo)) {
		s.log.Error("repository is not served", "repository", repo, "reason", why)
	}
}

// repairLayout writes an oci-layout that an unclean stop tore.
func (s *Store) repairLayout(repo oci.Repo, removals uint64) (layoutState, error) {
	if !s.readOnly {
		if err := durable.WriteFile(s.fs, s.tmpPath(), layoutPath(repo), []byte(layoutContent), true); err != nil {
			return absent, s.fail("repair oci-layout", repo, err)
		}
		s.log.Warn("an unclean stop had torn oci-layout: written anew", "repository", repo)
	}
	s.layouts.remember(repo, removals)
	return valid, nil
}

// served fails with kind unless the repository is served.
func (s *Store) served(repo oci.Repo, kind error) error {
	state, err := s.layout(repo)
	if err == nil && state != valid {
		err = kind
	}
	return err
}

// writable fails where the repository cannot be written to.
func (s *Store) writable(repo oci.Repo) error {
	state, err := s.layout(repo)
	if err == nil && state == refused {
		return fmt.Errorf("repository %s has no valid oci-layout: %w", repo, oci.ErrNameUnknown)
	}
	return err
}

// complete makes a repository visible that is not: index.json unless it is
// there, then oci-layout. The caller holds the repository's lock and has made
// its directory.
//
//	[write index.json's temporary, rename]
//	write oci-layout's temporary, rename        <- commit point
//
// With commit the caller syncs the directory and those above.
func (s *Store) complete(repo oci.Repo) error {
	_, err := s.fs.Lstat(indexPath(repo))
	if durable.IsMissing(err) {
		err = s.writeFirstIndex(repo)
	}
	if err != nil {
		return err
	}
	for _, a := range []oci.Algorithm{"", oci.SHA256, oci.SHA512} {
		s.chains.remove(chainKey{repo, a})
	}
	s.doubtIndex(repo, s.commit)
	if err := s.replace(layoutPath(repo), []byte(layoutContent)); err != nil {
		return err
	}
	s.layouts.add(repo)
	return nil
}

func (s *Store) writeFirstIndex(repo oci.Repo) error {
	if !s.commit {
		if err := s.fs.Remove(keptPath(repo)); err != nil && !durable.IsMissing(err) {
			return err
		}
		s.journal.setKept(repo) // there is no durable index to keep
		defer s.journal.replaced(repo)
	}
	return s.replace(indexPath(repo), []byte(emptyIndex))
}

// replace is durable.WriteFile without the sync of the directory.
func (s *Store) replace(to string, content []byte) error {
	tmp := s.tmpPath()
	if err := durable.WriteTemp(s.fs, tmp, content, s.commit); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, to); err != nil {
		_ = s.fs.Remove(tmp)
		return err
	}
	return nil
}

// makeDirs makes a directory of a repository and those above it. One above may
// go while it does so, since the last repository in it is removed.
func (s *Store) makeDirs(dir string) error {
	for tries := 0; ; tries++ {
		err := s.fs.Mkdir(dir)
		switch {
		case errors.Is(err, fs.ErrExist):
			return nil
		case !durable.IsMissing(err) || dir == "." || tries == 10:
			return err
		}
		if err := s.makeDirs(path.Dir(dir)); err != nil {
			return err
		}
	}
}

// chainKey stands for the directories from a repository's directory, or from
// its directory of an algorithm's blobs, up to the root.
type chainKey struct {
	repo      oci.Repo
	algorithm oci.Algorithm // "": the repository's directory
}

func (k chainKey) dir() string {
	if k.algorithm == "" {
		return repoDir(k.repo)
	}
	return algorithmDir(k.repo, k.algorithm)
}

// syncChain makes durable the directories of a chain, once: they may have been
// made by this process or left by one that was killed.
func (s *Store) syncChain(key chainKey) error {
	if s.chains.has(key) {
		return nil
	}
	for dir := key.dir(); ; dir = path.Dir(dir) {
		if err := s.dirs.Sync(s.fs, dir); err != nil {
			return err
		}
		if dir == "." {
			break
		}
	}
	s.chains.add(key)
	return nil
}
