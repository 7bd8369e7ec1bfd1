package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/dgraph-io/badger/v4"
)

// probeReads is how many entries are read to see that the index works.
const probeReads = 32

// probe compares an index that was just opened with the state file, and reads
// a few entries; where it was not closed, it counts all of them: Badger drops
// what it cannot replay.
func probe(db *badger.DB, unclean bool, last meta) (m meta, err error) {
	err = guard(func() error {
		return db.View(func(txn *badger.Txn) error {
			m, err = readMeta(txn)
			switch {
			case err != nil:
				return err
			case m.seq < last.seq:
				return fmt.Errorf("it has lost the last %d of its writes", last.seq-m.seq)
			case m.seq == last.seq && m.count != last.count:
				return fmt.Errorf("it should have %d entries and says %d", last.count, m.count)
			}
			if !unclean {
				return sample(txn)
			}
			return recount(txn, m.count)
		})
	})
	return m, err
}

func readMeta(txn *badger.Txn) (m meta, err error) {
	item, err := txn.Get([]byte(metaKey))
	if err != nil {
		return meta{}, fmt.Errorf("its own entry: %w", err)
	}
	err = item.Value(func(value []byte) error {
		m, err = decodeMeta(value)
		return err
	})
	return m, err
}

// sample reads entries at random places.
func sample(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for range probeReads {
		it.Seek([]byte{keySHA256, byte(rand.Uint32()), byte(rand.Uint32())})
		if !it.Valid() {
			continue
		}
		err := it.Item().Value(func(value []byte) error {
			_, err := decodeHolders(value)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// recount counts the entries.
func recount(txn *badger.Txn, want int64) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	var got int64
	for it.Seek([]byte{keySHA256}); it.Valid(); it.Next() {
		if size := len(it.Item().Key()); size != 33 && size != 65 {
			return errors.New("there is a key of an unknown kind")
		}
		got++
	}
	if got != want {
		return fmt.Errorf("it should have %d entries and has %d", want, got)
	}
	return nil
}
