package fsstore

import (
	"context"
	"errors"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// uploads has the sessions that are open: those that a request writes to, and
// the latest others, so that the next request finds descriptor and hash.
type uploads struct {
	mu    sync.Mutex // guards open, and of each session what it says
	open  map[oci.UploadID]*session
	clock uint64 // counts uses, for the order of the sessions
}

// maxIdle is how many sessions stay open that nobody writes to.
const maxIdle = 64

// session is a blob upload session whose file is open.
type session struct {
	id   oci.UploadID
	repo oci.Repo
	path string

	// Guarded by uploads.mu.
	busy      bool
	freed     chan struct{} // closed when it is no longer busy; nil: nobody waits
	used      uint64
	ready     chan struct{} // closed when the session is loaded
	failed    error         // why it could not be
	cancelled atomic.Bool   // set under uploads.mu

	size     atomic.Int64 // bytes that have arrived
	modified atomic.Int64 // when the last did, nanoseconds since 1970

	// Owned by whoever made the session busy.
	file      durable.File
	algorithm oci.Algorithm
	hash      hash.Hash // of the bytes that have arrived
	sequence  uint64    // of the last slot of the side file
	side      bool      // there is a side file
	listed    bool      // its name is durable, and so is the session's
	recorded  int64     // the offset in the side file
	synced    int64     // bytes that are durable
	// loan stands for the session's content as long as what arrives is equal
	// to its bytes; written says that the file has them nevertheless.
	loan    *loan
	written bool
}

var errBusy = oci.Errorf(oci.ErrRangeInvalid, "another request is writing to this upload; ask for its status and go on from there when it has ended")

// claim makes a session busy, and opens it where it is not open. It waits for
// a request that writes to the session: that may be about to end, since its
// connection was cut and the client is back already.
func (s *Store) claim(ctx context.Context, repo oci.Repo, id oci.UploadID) (*session, error) {
	one, freed, err := s.tryClaim(ctx, repo, id)
	if freed == nil {
		return one, err
	}
	patient, cancel := context.WithTimeout(ctx, oci.UploadPatience)
	defer cancel()
	for freed != nil {
		select {
		case <-freed:
		case <-patient.Done():
			return nil, errBusy
		}
		one, freed, err = s.tryClaim(ctx, repo, id)
	}
	return one, err
}

// tryClaim is claim without waiting; where another request has the session,
// freed is closed when that has ended.
func (s *Store) tryClaim(ctx context.Context, repo oci.Repo, id oci.UploadID) (one *session, freed <-chan struct{}, err error) {
	u := &s.uploads
	u.mu.Lock()
	one = u.open[id]
	switch {
	case one != nil && one.repo != repo:
		u.mu.Unlock()
		return nil, nil, oci.ErrUploadUnknown
	case one != nil && one.busy:
		defer u.mu.Unlock()
		if one.freed == nil {
			one.freed = make(chan struct{})
		}
		return nil, one.freed, nil
	case one != nil:
		one.busy = true
		u.mu.Unlock()
		return one, nil, nil
	}
	one = newSession(repo, id)
	one.busy = true
	u.open[id] = one
	u.mu.Unlock()
	return one, nil, s.load(ctx, one)
}

// free ends a claim; uploads.mu is held.
func (one *session) free() {
	one.busy = false
	one.wake()
}

// wake lets those look again that wait for the session; uploads.mu is held.
func (one *session) wake() {
	if one.freed != nil {
		close(one.freed)
		one.freed = nil
	}
}

func newSession(repo oci.Repo, id oci.UploadID) *session {
	return &session{id: id, repo: repo, path: uploadPath(repo, id), ready: make(chan struct{})}
}

// load opens a session that was claimed, and forgets it where that fails.
func (s *Store) load(ctx context.Context, one *session) error {
	err := s.resume(ctx, one)
	s.uploads.mu.Lock()
	one.failed = err
	s.uploads.mu.Unlock()
	close(one.ready)
	if err != nil {
		s.forget(one)
	}
	return err
}

// release ends the claim. Of the sessions that nobody writes to, the one that
// was used longest ago may be closed.
func (s *Store) release(one *session) {
	u := &s.uploads
	u.mu.Lock()
	one.free()
	if u.open[one.id] != one { // it ended, or was cancelled
		u.mu.Unlock()
		one.close()
		return
	}
	u.clock++
	one.used = u.clock
	oldest := u.excess()
	if oldest != nil {
		delete(u.open, oldest.id)
	}
	u.mu.Unlock()
	if oldest != nil {
		oldest.close()
	}
}

// excess is the session that should be closed, if any.
func (u *uploads) excess() *session {
	var oldest *session
	idle := 0
	for _, one := range u.open {
		if one.busy {
			continue
		}
		if idle++; oldest == nil || one.used < oldest.used {
			oldest = one
		}
	}
	if idle <= maxIdle {
		return nil
	}
	return oldest
}

// forget takes a session that the caller has claimed out of the table.
func (s *Store) forget(one *session) {
	s.uploads.mu.Lock()
	if s.uploads.open[one.id] == one {
		delete(s.uploads.open, one.id)
	}
	one.free()
	s.uploads.mu.Unlock()
	one.close()
}

func (one *session) close() {
	if one.file != nil {
		one.file.Close()
		one.file = nil
	}
}

func (u *uploads) closeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, one := range u.open {
		if !one.busy {
			one.close()
		}
		delete(u.open, id)
	}
}

// resume opens a session's file where a process before, or this one, left it.
func (s *Store) resume(ctx context.Context, one *session) error {
	f, err := s.fs.OpenWrite(one.path)
	if err != nil {
		if durable.IsMissing(err) || s.readOnly {
			return oci.ErrUploadUnknown
		}
		return s.fail("open an upload", one.repo, err)
	}
	one.file = f
	info, err := f.Stat()
	if err == nil && (info.Kind != durable.Regular || info.Links != 1) {
		err = oci.ErrUploadUnknown // a power cut left the name of what is a blob now
	}
	if err == nil {
		err = s.restore(ctx, one, info)
	}
	return s.fail("open an upload", one.repo, err)
}

// restore brings a session to the last recorded progress, or to its beginning
// where there is none, or where its file does not hold it.
func (s *Store) restore(ctx context.Context, one *session, info durable.Info) error {
	p, err := readSide(s.fs, sidePath(one.path))
	if err != nil && !durable.IsMissing(err) && !errors.Is(err, errSlot) {
		return err
	}
	one.side = err == nil || errors.Is(err, errSlot)
	if err != nil || p.repo != one.repo {
		p = progress{algorithm: oci.SHA256}
	}
	one.sequence = p.sequence
	one.reset(p.algorithm)
	if p.offset > 0 && p.offset <= info.Size {
		if err := s.adopt(ctx, one, p, info); err != nil {
			return err
		}
	}
	size := one.size.Load()
	one.recorded, one.synced = size, size
	one.modified.Store(info.Modified)
	if info.Size == size {
		return nil
	}
	return one.file.Truncate(size)
}

// adopt takes over a recorded progress. Content that an unclean stop may have
// torn is hashed anew; where it is not what had arrived, the session begins
// anew.
func (s *Store) adopt(ctx context.Context, one *session, p progress, info durable.Info) error {
	err := unmarshalHash(one.hash, p.state)
	if err != nil || s.suspects.contains(info.Modified) {
		one.reset(p.algorithm)
		if err := s.hashFile(ctx, one.hash, one.file, p.offset); err != nil {
			return err
		}
		state, err := marshalHash(one.hash)
		if err != nil || string(state) != string(p.state) {
			one.reset(p.algorithm)
			return err
		}
	}
	one.size.Store(p.offset)
	return nil
}

// reset makes the session an empty one.
func (one *session) reset(a oci.Algorithm) {
	one.algorithm, one.hash = a, a.Hash()
	one.size.Store(0)
}

// record keeps the session's progress across a restart:
//
//	[fdatasync(content)], write the slot, [fdatasync(side file)], [fsync(uploads)]
func (s *Store) record(one *session) error {
	size := one.size.Load()
	if one.side && one.recorded == size && (one.listed || !s.commit) {
		return nil
	}
	if err := s.syncContent(one); err != nil {
		return err
	}
	state, err := marshalHash(one.hash)
	if err != nil {
		return err
	}
	p := progress{sequence: one.sequence + 1, offset: size, algorithm: one.algorithm, state: state, repo: one.repo}
	if _, err := writeSide(s.fs, sidePath(one.path), p, s.commit); err != nil {
		return err
	}
	one.sequence, one.recorded, one.side = p.sequence, size, true
	if !s.commit || one.listed {
		return nil
	}
	if err := s.dirs.Sync(s.fs, uploadsDir); err != nil {
		return err
	}
	one.listed = true
	return nil
}

// syncContent makes durable what has arrived, with commit.
func (s *Store) syncContent(one *session) error {
	size := one.size.Load()
	if !s.commit || one.synced == size {
		return nil
	}
	if err := one.file.Sync(); err != nil {
		return err
	}
	one.synced = size
	return nil
}

// age is when the last byte of a session arrived.
func (one *session) age() time.Time { return time.Unix(0, one.modified.Load()) }
