package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

const (
	maxTries  = 3 // openings in a row that took the process down
	shortWait = time.Minute
	longWait  = time.Hour
)

var (
	errPlatform = errors.New("the index engine (Badger) writes damaged tables on this 32-bit platform; build berth with the patched allocator (scripts/badger32)")
	errSpace    = errors.New("too little disk space to open it")
	errLocked   = errors.New("another process has it open")
	errDeadly   = errors.New("opening it ended the process several times")
	errDoubted  = errors.New("the last opening or closing of it did not end")
	errAsked    = errors.New("a reset was asked for")
)

func (w *writer) path(name string) string { return filepath.Join(w.opt.Dir, name) }

// open opens the index, wiped before where it is suspect or wipe says so. False
// where it stays out of service, until retry.
func (w *writer) open(wipe bool) bool {
	if err := w.acquire(); err != nil {
		w.out(err)
		return false
	}
	var doubt error
	if wipe {
		doubt = errAsked
	}
	db, m, err := w.openFiles(doubt)
	if err != nil {
		w.out(err)
		return false
	}
	w.gate.Lock()
	w.db = db
	w.gate.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage, w.meta, w.asked, w.reset = ready, m, false, false
	w.tell()
	if w.said != "" {
		w.opt.Log.Info("the dedupe index is in service again", "dir", w.opt.Dir)
		w.said = ""
	}
	return true
}

// acquire takes the directory for this process, after the checks that need
// nothing of what it holds.
func (w *writer) acquire() error {
	if !allocatorSound() {
		return errPlatform
	}
	if w.opt.Free() < w.opt.Floor {
		return errSpace
	}
	if w.lock != nil {
		return nil
	}
	if err := os.MkdirAll(w.opt.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(w.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errLocked
		}
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	w.lock = f
	return nil
}

// openFiles opens what is there, or wipes it and opens an empty index.
func (w *writer) openFiles(doubt error) (*badger.DB, meta, error) {
	tries, err := w.mark()
	if err != nil {
		return nil, meta{}, err
	}
	if doubt == nil && tries > 0 {
		doubt = errDoubted
	}
	if doubt == nil {
		db, m, err := w.try()
		if err == nil {
			return db, m, w.unmark()
		}
		doubt = err
	}
	if doubt != errAsked {
		w.opt.Log.Warn("the dedupe index is suspect and is made anew", "dir", w.opt.Dir, "reason", doubt)
	}
	if err := w.wipe(); err != nil {
		return nil, meta{}, err
	}
	db, m, err := w.try()
	if err != nil {
		return nil, meta{}, err
	}
	return db, m, w.unmark()
}

// mark writes the marker, with how many tries there were since one succeeded.
func (w *writer) mark() (tries int, err error) {
	b, err := os.ReadFile(w.path("probing"))
	if err == nil {
		tries = 1 // whatever it holds
		if n, err := strconv.Atoi(string(b)); err == nil {
			tries = max(1, n)
		}
	}
	if tries >= maxTries {
		return tries, errDeadly
	}
	return tries, os.WriteFile(w.path("probing"), []byte(strconv.Itoa(tries+1)), 0o600)
}

func (w *writer) unmark() error { return os.Remove(w.path("probing")) }

// try opens Badger on the directory's files, after a look at them.
func (w *writer) try() (*badger.DB, meta, error) {
	w.shutState()
	w.mu.Lock()
	w.failure = nil
	w.mu.Unlock()
	last, err := readState(w.path("state"))
	if err != nil {
		return nil, meta{}, err
	}
	dir, fresh, err := w.dataDir()
	if err != nil {
		return nil, meta{}, err
	}
	if fresh && last != (meta{}) {
		return nil, meta{}, errors.New("its files are gone")
	}
	unclean := false
	if !fresh {
		if err := guard(func() (err error) { unclean, err = checkFiles(dir); return err }); err != nil {
			return nil, meta{}, err
		}
	}
	if w.state, err = os.OpenFile(w.path("state"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, meta{}, err
	}
	return w.openBadger(dir, fresh, unclean, last)
}

// openBadger opens Badger and probes it.
func (w *writer) openBadger(dir string, fresh, unclean bool, last meta) (*badger.DB, meta, error) {
	var db *badger.DB
	sink := &errorSink{failed: w.fail}
	err := bounded(w.opt.stuckAfter, func() (err error) {
		db, err = badger.Open(badgerOptions(dir, sink))
		return err
	})
	if err != nil {
		sink.muted.Store(true)
		return nil, meta{}, err
	}
	m := meta{seq: 1}
	if fresh {
		err = w.first(db, m)
	} else {
		m, err = probe(db, unclean, last)
	}
	if err != nil {
		sink.muted.Store(true)
		return nil, meta{}, errors.Join(err, bounded(w.opt.stuckAfter, db.Close))
	}
	w.sink = sink
	return db, m, nil
}

// first writes the meta entry of an empty index.
func (w *writer) first(db *badger.DB, m meta) error {
	err := bounded(w.opt.stuckAfter, func() error {
		return db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(metaKey), m.encode()) })
	})
	if err != nil {
		return err
	}
	return writeState(w.state, m)
}

// dataDir finds Badger's directory, or makes one. Each wipe makes one of a new
// name: what is left of a Badger that was given up writes to the old one.
func (w *writer) dataDir() (dir string, fresh bool, err error) {
	names, err := filepath.Glob(w.path("db-*"))
	if err != nil {
		return "", false, err
	}
	switch len(names) {
	case 0:
		dir = w.path("db-" + strconv.FormatInt(time.Now().UnixNano(), 36))
		return dir, true, os.Mkdir(dir, 0o700)
	case 1:
		return names[0], false, nil
	}
	return "", false, fmt.Errorf("there are %d directories db-* in place of one", len(names))
}

// wipe removes everything but the lock and the marker.
func (w *writer) wipe() error {
	w.shutState()
	entries, err := os.ReadDir(w.opt.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "state" || strings.HasPrefix(e.Name(), "db-") {
			if err := os.RemoveAll(w.path(e.Name())); err != nil {
				return err
			}
		}
	}
	w.mu.Lock()
	w.wipes++
	w.meta = meta{}
	w.mu.Unlock()
	return nil
}

// close closes the index well, where there is the space for it.
func (w *writer) close() {
	db := w.detach()
	if w.opt.Free() >= w.opt.Floor {
		if _, err := w.mark(); err == nil && bounded(w.opt.stuckAfter, db.Close) == nil {
			w.shutState()
			w.unmark()
		}
	}
	w.release()
	debug.FreeOSMemory()
}

// give gives an index up whose files are not to be trusted, and removes them.
// It is opened anew at once, or later when it fails again and again.
func (w *writer) give(cause error) {
	w.stopRebuild()
	if w.db != nil {
		db := w.detach()
		if w.opt.Free() >= w.opt.Floor {
			bounded(w.opt.stuckAfter, db.Close)
		}
	}
	err := w.wipe()
	w.mu.Lock()
	w.failure, w.reset = nil, false
	w.mu.Unlock()
	w.opt.Log.Warn("the dedupe index failed and is made anew", "dir", w.opt.Dir, "reason", cause)
	w.strikes++
	if err != nil || w.strikes > 1 {
		w.out(errors.Join(cause, err))
	}
	debug.FreeOSMemory()
}

// detach takes the index from its readers.
func (w *writer) detach() *badger.DB {
	w.sink.muted.Store(true)
	w.gate.Lock()
	db := w.db
	w.db = nil
	w.gate.Unlock()
	w.mu.Lock()
	w.stage, w.asked = closed, false
	w.tell()
	w.mu.Unlock()
	return db
}

// out takes the index out of service for a while, and says so once.
func (w *writer) out(cause error) {
	w.release()
	wait := shortWait
	switch {
	case errors.Is(cause, errSpace):
		wait = spaceAgain
	case errors.Is(cause, errPlatform), errors.Is(cause, errDeadly):
		wait = forever
	default:
		wait = min(longWait, shortWait<<min(w.strikes, 6))
	}
	w.retry = time.Now().Add(wait)
	if cause.Error() != w.said {
		w.said = cause.Error()
		w.opt.Log.Warn("blobs are stored without the dedupe index", "dir", w.opt.Dir, "reason", cause)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stage, w.reset = out, false
	w.queue.drop()
	w.tell()
}

func (w *writer) shutState() {
	if w.state != nil {
		w.state.Close()
		w.state = nil
	}
}

// release lets other processes have the directory.
func (w *writer) release() {
	w.shutState()
	if w.lock != nil {
		w.lock.Close()
		w.lock = nil
	}
}

// freeSpace asks the file system of a directory, or of the first one above it
// that is there, for its free bytes.
func freeSpace(dir string) int64 {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			return int64(st.Bavail) * int64(st.Bsize)
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, unix.ENOENT) || up == dir {
			return 0
		}
		dir = up
	}
}
