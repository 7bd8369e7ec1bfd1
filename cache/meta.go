package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// meta is what the index says of itself. It is written within each transaction,
// and thereafter to the state file: Badger loses committed transactions without
// a word when its files were damaged, and the comparison shows it.
type meta struct {
	seq      uint64 // transactions so far
	count    int64  // digests that have holders
	complete bool   // a walk over everything has ended, and no note was dropped since
}

const metaSize = 8 + 8 + 1

func (m meta) encode() []byte {
	b := make([]byte, 0, metaSize)
	b = binary.BigEndian.AppendUint64(b, m.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.count))
	if m.complete {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) != metaSize {
		return meta{}, fmt.Errorf("the index's own entry has %d bytes in place of %d", len(b), metaSize)
	}
	m := meta{
		seq:      binary.BigEndian.Uint64(b),
		count:    int64(binary.BigEndian.Uint64(b[8:])),
		complete: b[16] == 1,
	}
	if m.count < 0 {
		return meta{}, errors.New("the index's own entry has a negative count")
	}
	return m, nil
}

// readState reads the state file. Where it does not exist, the zero meta.
func readState(path string) (meta, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return meta{}, nil
	}
	if err != nil {
		return meta{}, err
	}
	if len(b) != metaSize+4 || crc32.ChecksumIEEE(b[:metaSize]) != binary.BigEndian.Uint32(b[metaSize:]) {
		return meta{}, fmt.Errorf("%s is damaged", path)
	}
	return decodeMeta(b[:metaSize])
}

// writeState overwrites the open state file in place: the record lies within
// one sector and never grows, so it needs no space, and it is not synced: it
// may be older than the index, never newer.
func writeState(f *os.File, m meta) error {
	b := m.encode()
	_, err := f.WriteAt(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), 0)
	return err
}
