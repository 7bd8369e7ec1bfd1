package fsstore

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// space keeps pushes away from the medium's last bytes, and a reserve that is
// given up when even a delete finds no room.
type space struct {
	fs    durable.FS
	now   func() time.Time
	floor int64 // bytes; 0: derived from the medium's size

	mu      sync.Mutex // guards what follows
	last    durable.Space
	read    int64 // when last was read, nanoseconds since 1970
	spent   int64 // bytes written since
	given   bool  // the reserve was given up or was never made
	reserve int64 // bytes the reserve should have
}

const (
	leastFloor   = 4 << 20
	mostFloor    = 256 << 20
	leastReserve = 1 << 20
	mostReserve  = 16 << 20
	// spaceAge and spaceSlack: what was read of the medium's space is good so
	// long, and as long as so many bytes above the floor are left.
	spaceAge   = time.Second
	spaceSlack = 64 << 20
	leastInode = 16 // files that pushes leave possible
)

func newSpace(fsys durable.FS, now func() time.Time, floor int64) *space {
	return &space{fs: fsys, now: now, floor: floor, given: true, reserve: leastReserve}
}

// need refuses a push that would leave less than the floor.
func (sp *space) need(n int64) error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	n = max(n, 0)
	now := sp.now().UnixNano()
	age := now - sp.read
	if age >= 0 && age < int64(spaceAge) && sp.last.Free-sp.spent-n > sp.least()+spaceSlack {
		return nil
	}
	last, err := sp.fs.Space()
	if err != nil {
		return err
	}
	sp.last, sp.read, sp.spent = last, now, 0
	if last.Free-n < sp.least() || last.Inodes >= 0 && last.Inodes < leastInode {
		return sp.fullError(n)
	}
	return nil
}

// spend notes that n bytes were written.
func (sp *space) spend(n int64) {
	sp.mu.Lock()
	sp.spent += n
	sp.mu.Unlock()
}

// least is the floor in bytes.
func (sp *space) least() int64 {
	if sp.floor > 0 {
		return sp.floor
	}
	return min(max(sp.last.Total/100, leastFloor), mostFloor)
}

// full is the error for a medium that refused a write of n bytes.
func (sp *space) full(n int64) error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if last, err := sp.fs.Space(); err == nil {
		sp.last, sp.read, sp.spent = last, sp.now().UnixNano(), 0
	}
	return sp.fullError(n)
}

func (sp *space) fullError(n int64) error {
	if sp.last.Inodes >= 0 && sp.last.Inodes < leastInode {
		return oci.Errorf(oci.ErrStorageFull, "the file system has no room for more files (%d left); delete what is not needed", sp.last.Inodes)
	}
	if n == 0 {
		return oci.Errorf(oci.ErrStorageFull, "%d bytes are free, %d are kept free; delete what is not needed", sp.last.Free, sp.least())
	}
	return oci.Errorf(oci.ErrStorageFull, "%d bytes are to be stored, %d are free, %d of them are kept free; delete what is not needed", n, sp.last.Free, sp.least())
}

// withReserve runs a write that a full medium must not stop, and again with
// the reserve given up where it is stopped nevertheless.
func (sp *space) withReserve(write func() error) error {
	err := write()
	if !durable.IsFull(err) {
		return err
	}
	if sp.fs.Remove(reservePath) != nil {
		return err
	}
	sp.mu.Lock()
	sp.given = true
	sp.mu.Unlock()
	return write()
}

// reserveFor makes the next reserve large enough to replace an index of n bytes.
func (sp *space) reserveFor(n int64) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if want := min(2*n, mostReserve); want > sp.reserve {
		sp.reserve, sp.given = want, true
	}
}

// keepReserve makes the reserve anew where it is missing or too small and the
// medium has room for it above the floor.
func (sp *space) keepReserve() error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if !sp.given {
		return nil
	}
	last, err := sp.fs.Space()
	if err != nil {
		return err
	}
	sp.last, sp.read, sp.spent = last, sp.now().UnixNano(), 0
	if last.Free-sp.reserve < sp.least() {
		return nil
	}
	if err := allocate(sp.fs, reservePath, sp.reserve); err != nil && !durable.IsFull(err) {
		return err
	}
	sp.given = err != nil
	return nil
}

// allocate makes a file of at least size bytes that take their space.
func allocate(fsys durable.FS, path string, size int64) error {
	f, err := fsys.Create(path)
	if errors.Is(err, fs.ErrExist) {
		f, err = fsys.OpenWrite(path)
	}
	if err != nil {
		return err
	}
	err = f.Allocate(size)
	return errors.Join(err, f.Close())
}
