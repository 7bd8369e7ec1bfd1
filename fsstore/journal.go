package fsstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// journal keeps .berth/state.json true: before anything is written without
// commit, a durable mark covers the time at which it is written, and the mark
// goes only after everything under it is durable.
type journal struct {
	s *Store

	settling sync.Mutex  // held by the one who settles
	marked   atomic.Bool // state.Committing, for a quick look

	mu      sync.Mutex // guards what follows; held while the state is written
	state   state
	unclean bool // the process before did not stop cleanly: sync before the first write
	closed  bool
	loose   bool   // something changed that needs no mark and is not settled
	active  int    // operations that are writing
	writes  uint64 // counts what they did
	rooted  bool   // the private directory's own name is durable
	since   int64  // when the first write after the last settling was
	// kept has the repositories whose last durable index lies in keptDir, and
	// the round of settling in which it was last replaced.
	kept  map[oci.Repo]uint64
	round uint64
}

const (
	// markAhead is how long a mark lasts before it must be written again.
	markAhead = 2 * time.Minute
	// markMargin is by how much a file's time may differ from the clock: FAT
	// keeps two seconds, kernels round to a timer tick.
	markMargin = 2 * time.Second
)

// keptBusy is the round of a repository whose index is being replaced.
const keptBusy = ^uint64(0)

var errClosed = errors.New("the store is closed")

func newJournal(s *Store, st state) *journal {
	j := &journal{s: s, unclean: st.unclean(), kept: make(map[oci.Repo]uint64)}
	j.state = state{Version: stateVersion, Suspect: s.suspects.windows}
	return j
}

// begin must come before an operation writes, and end after. Its errors are
// not mapped for clients yet.
func (j *journal) begin() error {
	if j.s.readOnly {
		return oci.ErrReadOnly
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.mark(); err != nil {
		return fmt.Errorf("mark a write: %w", err)
	}
	j.active++
	return nil
}

func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active--
	j.writes++
}

// loosen notes a change that needs no mark, since losing it does no harm: it
// is made durable by the next settling, at the latest by a clean stop.
func (j *journal) loosen() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.loose && j.state.Dirty == nil {
		j.since = j.s.now().UnixNano()
	}
	j.loose = true
}

// touch must come before each write of an operation that may take long.
func (j *journal) touch() error {
	if j.marked.Load() {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mark()
}

// mark sees to it that the state on disk covers a write now.
func (j *journal) mark() error {
	if j.closed {
		return errClosed
	}
	j.writes++
	if j.s.commit {
		if j.state.Committing {
			return nil
		}
		next := j.state
		next.Committing = true
		if err := j.advance(next); err != nil {
			return err
		}
		j.marked.Store(true)
		return nil
	}
	now := j.s.now().Round(0).UTC()
	dirty := j.state.Dirty
	if dirty != nil && dirty.contains(now.Add(-markMargin).UnixNano()) && dirty.contains(now.Add(markMargin).UnixNano()) {
		return nil
	}
	next := j.state
	next.Dirty = &span{From: now.Add(-2 * markMargin), To: now.Add(markAhead)}
	if dirty != nil {
		*next.Dirty = join(*next.Dirty, *dirty)
	} else {
		j.since = now.UnixNano()
	}
	return j.advance(next)
}

// advance writes a state, and with it makes the private directories durable.
// After an unclean stop it first makes durable what the process before left: so
// what is visible is durable before anything is built on it.
func (j *journal) advance(next state) error {
	if j.unclean {
		if err := j.s.fs.Sync(); err != nil {
			return err
		}
		j.unclean = false
	}
	if !j.rooted {
		if err := j.s.fs.SyncDir("."); err != nil {
			return err
		}
		j.rooted = true
	}
	content, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(j.s.fs, j.s.tmpPath(), statePath, content, true); err != nil {
		return err
	}
	j.state = next
	return nil
}

// settleLeft makes durable what an unclean stop left, before the store vouches
// for it.
func (j *journal) settleLeft() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.unclean {
		return nil
	}
	if err := j.s.fs.Sync(); err != nil {
		return err
	}
	j.unclean = false
	return nil
}

// settleIfDue settles when the first unsettled write is old enough.
func (j *journal) settleIfDue(age time.Duration) error {
	j.mu.Lock()
	waited := j.s.now().UnixNano() - j.since
	due := (j.loose || j.state.Dirty != nil) && (waited >= int64(age) || waited < 0)
	j.mu.Unlock()
	if !due {
		return nil
	}
	return j.settle()
}

// settle makes durable what was written so far (syncfs), and then moves the
// mark behind it, or removes the mark where nobody wrote meanwhile.
func (j *journal) settle() error {
	j.settling.Lock()
	defer j.settling.Unlock()
	j.mu.Lock()
	start, clean := j.s.now().Round(0).UTC(), j.state.Dirty == nil && !j.loose
	wasLoose, writes := j.loose, j.writes
	j.loose = false
	before := maps.Clone(j.kept)
	j.round++
	j.mu.Unlock()
	if clean {
		return nil
	}
	err := j.s.fs.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.loose = j.loose || wasLoose
		return err
	}
	if j.state.Dirty == nil {
		return nil
	}
	next := j.state
	if j.active == 0 && j.writes == writes {
		next.Dirty = nil
	} else {
		next.Dirty = &span{From: start.Add(-2 * markMargin), To: start.Add(markAhead)}
		next.Dirty.To = later(next.Dirty.To, j.state.Dirty.To)
	}
	if err := j.advance(next); err != nil {
		return err
	}
	j.since = start.UnixNano()
	j.dropKept(before)
	return nil
}

// dropKept removes the kept indexes whose repositories have a durable one of
// their own: those that were not replaced since the settling began.
func (j *journal) dropKept(before map[oci.Repo]uint64) {
	for repo, round := range before {
		if round != keptBusy && j.kept[repo] == round {
			delete(j.kept, repo)
			_ = j.s.fs.Remove(keptPath(repo)) // one that stays is replaced before it matters
		}
	}
}

// close settles and leaves a state that tells of a clean stop.
func (j *journal) close() error {
	if err := j.settle(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if !j.state.unclean() {
		return nil
	}
	next := j.state
	next.Committing, next.Dirty = false, nil
	j.marked.Store(false)
	return j.advance(next)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
