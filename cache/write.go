package cache

import (
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// A transaction of Badger's is bounded by its memory table; these stay
	// far below.
	txnKeys  = 512
	txnBytes = 128 << 10

	// stuckAfter is how long Badger may take for one thing, where Options do not
	// say otherwise.
	stuckAfter = 20 * time.Second
	// spaceAgain is how often a lack of space is looked at again.
	spaceAgain = time.Second
)

// write writes what was noted, when it is due, and tells when to look again.
func (w *writer) write() time.Duration {
	if w.park() {
		return spaceAgain
	}
	w.mu.Lock()
	idle := w.queue.empty() && !w.queue.completing && !(w.queue.lossy && w.meta.complete)
	wait := w.queue.due(w.opt.Group)
	if idle || wait > 0 {
		w.mu.Unlock()
		if idle {
			return forever
		}
		return wait
	}
	m := w.meta
	m.complete = (m.complete || w.queue.completing) && !w.queue.lossy
	w.queue.completing = false
	notes := w.queue.take()
	w.mu.Unlock()

	m, err := w.commit(notes, m)
	w.wrote, w.untidy = time.Now(), true
	w.mu.Lock()
	w.queue.writing = nil
	if err == nil {
		w.meta = m
	}
	w.tell()
	w.mu.Unlock()
	if err != nil {
		w.fail(err)
	}
	return 0
}

// park stops or resumes writing by the space that is left. It reports whether
// nothing may be written.
func (w *writer) park() bool {
	low := w.opt.Free() < w.opt.Floor
	w.mu.Lock()
	defer w.mu.Unlock()
	if low {
		w.queue.drop()
		w.queue.completing = false
	}
	if low != w.parked {
		w.parked = low
		if low {
			w.opt.Log.Warn("too little disk space: the dedupe index is not written to", "dir", w.opt.Dir, "floor", w.opt.Floor)
		} else {
			w.opt.Log.Info("there is disk space again for the dedupe index", "dir", w.opt.Dir)
		}
		w.tell()
	}
	return low
}

// commit writes notes in as many transactions as it takes, and m with the last.
// It returns m with what has become of it.
func (w *writer) commit(notes map[string][]change, m meta) (meta, error) {
	complete := m.complete
	m.complete = false
	b := batch{w: w, meta: m}
	for key, changes := range notes {
		if err := b.add(key, changes); err != nil {
			b.discard()
			return b.meta, err
		}
	}
	b.meta.complete = complete
	err := b.end()
	return b.meta, err
}

// batch is a run of transactions.
type batch struct {
	w     *writer
	txn   *badger.Txn
	meta  meta
	keys  int
	bytes int
}

func (b *batch) add(key string, changes []change) error {
	if b.txn == nil {
		b.txn = b.w.db.NewTransaction(true)
	}
	if err := guard(func() error { return b.update(key, changes) }); err != nil {
		return err
	}
	if b.keys < txnKeys && b.bytes < txnBytes {
		return nil
	}
	return b.end()
}

// update applies changes to one entry, and writes it where they matter.
func (b *batch) update(key string, changes []change) error {
	before, err := holders(b.txn, key)
	if err != nil {
		return err
	}
	after := apply(before, changes)
	if slices.Equal(before, after) {
		return nil
	}
	switch {
	case len(after) == 0:
		err = b.txn.Delete([]byte(key))
		b.meta.count--
	default:
		value := encodeHolders(after)
		err = b.txn.Set([]byte(key), value)
		b.bytes += len(value)
	}
	if len(before) == 0 {
		b.meta.count++
	}
	b.keys++
	b.bytes += len(key)
	return err
}

// end commits the transaction with the meta entry, and then notes that in the
// state file: a crash between the two leaves the index ahead of it.
func (b *batch) end() error {
	if b.txn == nil {
		b.txn = b.w.db.NewTransaction(true)
	}
	txn := b.txn
	b.txn, b.keys, b.bytes = nil, 0, 0
	b.meta.seq++
	if err := txn.Set([]byte(metaKey), b.meta.encode()); err != nil {
		txn.Discard()
		return err
	}
	if err := bounded(b.w.opt.stuckAfter, txn.Commit); err != nil {
		return err
	}
	return writeState(b.w.state, b.meta)
}

func (b *batch) discard() {
	if b.txn != nil {
		b.txn.Discard()
	}
}
