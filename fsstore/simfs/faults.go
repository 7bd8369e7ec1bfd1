package simfs

import (
	"fmt"
)

// Fault makes calls fail, counted from the call of Fail on.
type Fault struct {
	// At is the first call that fails, 1 for the next one; 0: none.
	At int
	// Err is what it gives.
	Err error
	// Done: it takes effect nevertheless.
	Done bool
	// Sticky: all calls from At on fail, as on a medium that stays full.
	Sticky bool
	// Changes: only calls that change or sync something count and fail.
	Changes bool
}

type faults struct {
	fault   Fault
	calls   int
	changes int
	log     []string
	cut     bool
}

// Fail sets what is to fail, and begins to count calls anew.
func (f *FS) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults{fault: fault, cut: f.faults.cut}
}

// Calls is how many calls were made since Fail, and how many of them change or
// sync something.
func (f *FS) Calls() (all, changes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults.calls, f.faults.changes
}

// Log has the calls since Fail.
func (f *FS) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults.log
}

// call is one call: it counts it, and carries it out unless it is to fail
// before. The caller holds the lock.
func (f *FS) call(op, path string, changes bool, do func() error) error {
	if f.faults.cut {
		return ErrPowerCut
	}
	err, done := f.faults.next(op, path, changes)
	if err == nil {
		return do()
	}
	if done {
		_ = do()
	}
	if err == ErrPowerCut {
		f.faults.cut = true
	}
	return err
}

// next counts a call and tells whether it fails, and is done nevertheless.
func (fs *faults) next(op, path string, changes bool) (err error, done bool) {
	fs.calls++
	if changes {
		fs.changes++
	}
	fs.log = append(fs.log, fmt.Sprintf("%s %s", op, path))
	at := fs.fault.At
	if at == 0 || fs.fault.Changes && !changes {
		return nil, false
	}
	count := fs.calls
	if fs.fault.Changes {
		count = fs.changes
	}
	if count == at || fs.fault.Sticky && count > at {
		return fs.fault.Err, fs.fault.Done
	}
	return nil, false
}
