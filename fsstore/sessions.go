package fsstore

import (
	"context"
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
	marks     []mark    // of them, as far as they were seen
	sequence  uint64    // of the last slot of the side file
	side      bool      // there is a side file
	listed    bool      // its name is durable, and so is the session's
	recorded  int64     // the offset in the side file
	synced    int64     // bytes that are durable
	// loan stands for the session's content as long as what arrives is equal
	// to its bytes; written says that the file has them nevertheless.
	loan    *loan
	written bool
	lent    bool // the side file says that a loan at loanPath is the content
	named   bool // there may be a file at loanPath
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
		s.shut(one)
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
		s.shut(oldest)
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
	s.shut(one)
}

// shut closes a session's files.
func (s *Store) shut(one *session) {
	if one.file != nil {
		one.file.Close()
		one.file = nil
	}
	s.endLoan(one)
}

// closeSessions closes those that nobody writes to.
func (s *Store) closeSessions() {
	u := &s.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, one := range u.open {
		if !one.busy {
			s.shut(one)
		}
		delete(u.open, id)
	}
}

// age is when the last byte of a session arrived.
func (one *session) age() time.Time { return time.Unix(0, one.modified.Load()) }
