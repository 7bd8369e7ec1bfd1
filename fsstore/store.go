package fsstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// Options of a Store.
type Options struct {
	Root     string // directory, made where it is missing
	Commit   bool   // make durable what is answered
	ReadOnly bool   // change nothing on the medium
	// MinFree is how many bytes pushes leave free. 0: 1 % of the file system,
	// at least 4 MiB and at most 256 MiB.
	MinFree int64
	Log     *slog.Logger // nil: discard
	// Dedupe lets the repositories share equal blobs by hard links. Without,
	// each new blob is stored apart.
	Dedupe bool
	// Locations tells which repositories may hold a blob; nil: that is not
	// known, and what is stored already is found by the background job only.
	Locations oci.Locations
	// FS stands for the file system below Root; nil: the operating system's.
	FS durable.FS
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Store is an oci.Store over one root directory.
type Store struct {
	fs       durable.FS
	log      *slog.Logger
	now      func() time.Time
	commit   bool
	readOnly bool
	device   uint64 // of the root
	opened   int64  // when, nanoseconds since 1970
	run      string
	tmpCount atomic.Uint64
	unlock   func() error
	closing  sync.Once // guards closed
	closed   error

	journal  *journal
	space    *space
	layouts  layouts
	removal  removal
	indexes  indexes
	pending  pending
	dirs     durable.DirSyncer
	chains   *recent[chainKey]
	suspects suspects
	dedupe   dedupe
	uploads  uploads
	buffers  bufferPool
	strides  stridePool

	quarantine quarantine
	trimmed    int64 // when damaged files were last looked through; of Run alone

	told   *recent[string] // what was logged once
	window int64           // bytes of an upload that are written out together
}

var (
	_ oci.Store     = (*Store)(nil)
	_ oci.Leftovers = (*Store)(nil)
)

// ErrInUse is Open's error where another process has the root.
var ErrInUse = errors.New("in use")

// Open opens a root without walking it. Unless ReadOnly it takes the root's
// lock; where the medium turns out to be read-only, it logs that and goes on
// as with ReadOnly.
func Open(opts Options) (*Store, error) {
	s := newStore(opts)
	if s.fs == nil {
		root, err := durable.OpenRoot(opts.Root, !opts.ReadOnly)
		if err != nil {
			return nil, fmt.Errorf("open the storage root: %w", err)
		}
		s.fs = root
	}
	if err := s.open(opts); err != nil {
		s.closeRoot()
		return nil, err
	}
	return s, nil
}

func newStore(opts Options) *Store {
	s := &Store{
		fs: opts.FS, log: opts.Log, now: opts.Now,
		commit: opts.Commit, readOnly: opts.ReadOnly,
		run:    rand.Text()[:8],
		chains: newRecent[chainKey](4096),
		told:   newRecent[string](256),
		window: windowSize(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.opened = s.now().UnixNano()
	s.indexes.seed = maphash.MakeSeed()
	s.layouts.recent = newRecent[oci.Repo](4096)
	return s
}

func (s *Store) open(opts Options) error {
	if !s.readOnly {
		err := s.takeRoot(opts.Root)
		if durable.IsReadOnly(err) {
			s.log.Warn("storage is on a read-only medium: serving it without writing", "root", opts.Root)
			s.readOnly, err = true, nil
		}
		if err != nil {
			return err
		}
	}
	state, err := readState(s.fs)
	if err != nil {
		return fmt.Errorf("read the state of storage root %s: %w", opts.Root, err)
	}
	if root, err := s.fs.Stat("."); err == nil {
		s.device = root.Device
	}
	s.suspects.windows = state.suspectsAfterStop()
	s.suspects.known = newRecent[fileID](4096)
	s.suspects.turn = make(chan struct{}, 1)
	s.journal = newJournal(s, state)
	s.space = newSpace(s.fs, s.now, opts.MinFree)
	s.uploads.open = make(map[oci.UploadID]*session)
	s.prepareDedupe(opts)
	s.loadQuarantine()
	if len(s.suspects.windows) > 0 && state.unclean() {
		s.log.Warn("storage was not closed: what was written shortly before is checked when it is first read", "root", opts.Root)
	}
	return nil
}

// takeRoot makes the private directories and takes the lock. The first write
// makes the directories durable.
func (s *Store) takeRoot(root string) error {
	for _, dir := range []string{privateDir, uploadsDir, tmpDir, keptDir} {
		err := s.fs.Mkdir(dir)
		if errors.Is(err, fs.ErrExist) {
			err = s.checkPrivate(root, dir)
		}
		if err != nil {
			return fmt.Errorf("prepare storage root %s: %w", root, err)
		}
	}
	unlock, err := s.fs.Lock(lockPath, fmt.Sprintf("process %d", os.Getpid()))
	var locked *durable.LockedError
	if errors.As(err, &locked) {
		return fmt.Errorf("storage root %s is %w by %s; stop that, or choose another root, or serve this one read-only", root, ErrInUse, locked.Note)
	}
	if err != nil {
		return fmt.Errorf("lock storage root %s: %w", root, err)
	}
	s.unlock = unlock
	return nil
}

// checkPrivate refuses a private directory that leads elsewhere: files could
// not be renamed out of it, and what is unfinished would lie outside the root.
func (s *Store) checkPrivate(root, dir string) error {
	info, err := s.fs.Lstat(dir)
	if err == nil && info.Kind != durable.Directory {
		return fmt.Errorf("%s/%s is no directory; remove it", root, dir)
	}
	return err
}

// ReadOnly reports whether the store changes nothing, by its options or since
// the medium cannot be written.
func (s *Store) ReadOnly() bool { return s.readOnly }

// Close settles what was written, marks the root clean and releases the lock.
// No other method may be called after it, but for Close, which does no more.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	s.closeSessions()
	var err error
	if !s.readOnly {
		err = s.journal.close()
	}
	return errors.Join(err, s.closeRoot())
}

func (s *Store) closeRoot() error {
	var err error
	if s.unlock != nil {
		err = s.unlock()
	}
	if s.fs != nil {
		err = errors.Join(err, s.fs.Close())
	}
	return err
}

// Run does the upkeep until ctx ends: it removes what an earlier process left
// unfinished, settles what was written without commit, and keeps the reserve.
// What fails is logged and tried again.
func (s *Store) Run(ctx context.Context) error {
	if s.readOnly {
		<-ctx.Done()
		return nil
	}
	s.removeLeftovers()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { s.resumeQuarantine(ctx) })
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		s.upkeep()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

const (
	upkeepInterval = 5 * time.Second
	settleAfter    = 30 * time.Second
)

func (s *Store) upkeep() {
	if err := s.journal.settleIfDue(settleAfter); err != nil {
		s.log.Error("cannot settle what was written", "error", err)
	}
	if err := s.space.keepReserve(); err != nil {
		s.log.Warn("cannot set space aside for deletes", "error", err)
	}
	if now := s.now().UnixNano(); s.quarantine.lost.Load() > 0 && (now < s.trimmed || now-s.trimmed > int64(trimInterval)) {
		s.trimmed = now
		s.trimQuarantine()
	}
}

// removeLeftovers is RemoveLeftovers in the background.
func (s *Store) removeLeftovers() {
	_ = s.RemoveLeftovers(context.Background(), false, func(string, int64) error { return nil })
}

// RemoveLeftovers is oci.Leftovers.RemoveLeftovers: temporary files of earlier
// processes, and hash states of uploads that are gone. What cannot be removed
// is logged.
func (s *Store) RemoveLeftovers(ctx context.Context, dry bool, fn func(name string, size int64) error) error {
	if s.readOnly {
		return nil
	}
	var stale []string
	_ = s.fs.ReadDir(tmpDir, func(name string, _ durable.Kind) error {
		if len(name) < len(s.run) || name[:len(s.run)] != s.run {
			stale = append(stale, tmpDir+"/"+name)
		}
		return nil
	})
	stale = append(stale, s.orphanedSides()...)
	for _, path := range stale {
		info, err := s.fs.Lstat(path)
		if err == nil && !dry {
			err = s.fs.Remove(path)
		}
		if durable.IsMissing(err) {
			continue
		}
		if err != nil {
			s.log.Warn("cannot remove a temporary file", "path", path, "error", err)
			continue
		}
		if info.Links > 1 {
			info.Size = 0 // a name of something that stays
		}
		if err := fn(path, info.Size); err != nil {
			return err
		}
	}
	return nil
}

// tmpPath names a new temporary file of this process.
func (s *Store) tmpPath() string {
	var count [8]byte
	n := s.tmpCount.Add(1)
	for i := range count {
		count[i] = byte(n >> (56 - 8*i))
	}
	return tmpDir + "/" + s.run + hex.EncodeToString(count[:])
}

// once reports whether this is the first time that something is to be logged.
func (s *Store) once(what string) bool { return s.told.add(what) }
