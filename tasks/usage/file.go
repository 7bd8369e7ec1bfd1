package usage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The file: numbers are little-endian, times milliseconds since 1970.
//
//	magic(8) entries(4) {key(8) pushed(8) pulled(8) origin(8)}… crc32c(4)
const (
	magic      = "berthus1"
	headSize   = len(magic) + 4
	recordSize = 32
	sumSize    = 4
	// MaxFile is the largest file that is read, in bytes.
	MaxFile = headSize + 4*defaultEntries*recordSize + sumSize
)

var errFile = errors.New("it is not whole, or of another version")

// Flush writes the file, if something changed since it was written.
func (m *Memory) Flush() {
	m.saving.Lock()
	defer m.saving.Unlock()
	if m.opts.File == nil || !m.dirty.Swap(false) {
		return
	}
	err := m.opts.File.Save(m.encode())
	if err != nil {
		m.dirty.Store(true)
		if !m.failed {
			m.opts.Log.Warn("cannot keep when tags were used last; it is tried again", "error", err)
		}
	}
	m.failed = err != nil
}

// load takes over what the file holds.
func (m *Memory) load() {
	if m.opts.File == nil {
		return
	}
	content, err := m.opts.File.Load()
	if err == nil && content != nil {
		err = m.decode(content)
	}
	if err != nil {
		m.opts.Log.Warn("when tags were used last is not known any more: the times of their manifests stand for it", "error", err)
	}
}

func (m *Memory) encode() []byte {
	b := make([]byte, 0, headSize+m.Len()*recordSize+sumSize)
	b = append(append(b, magic...), 0, 0, 0, 0)
	n := uint32(0)
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for key, r := range s.entries {
			b = binary.LittleEndian.AppendUint64(b, key)
			b = binary.LittleEndian.AppendUint64(b, uint64(r.pushed))
			b = binary.LittleEndian.AppendUint64(b, uint64(r.pulled))
			b = binary.LittleEndian.AppendUint64(b, r.origin)
			n++
		}
		s.mu.Unlock()
	}
	binary.LittleEndian.PutUint32(b[len(magic):], n)
	return binary.LittleEndian.AppendUint32(b, sum(b))
}

// decode takes all of a file, or nothing.
func (m *Memory) decode(b []byte) error {
	if len(b) < headSize+sumSize || string(b[:len(magic)]) != magic {
		return errFile
	}
	n := int64(binary.LittleEndian.Uint32(b[len(magic):]))
	end := len(b) - sumSize
	if int64(end) != int64(headSize)+n*int64(recordSize) || binary.LittleEndian.Uint32(b[end:]) != sum(b[:end]) {
		return errFile
	}
	limit := max(m.opts.Entries/shardCount, 1)
	for b := b[headSize:end]; len(b) > 0; b = b[recordSize:] {
		key := binary.LittleEndian.Uint64(b)
		s := &m.shards[key%shardCount]
		s.makeRoom(limit)
		s.entries[key] = record{
			pushed: int64(binary.LittleEndian.Uint64(b[8:])),
			pulled: int64(binary.LittleEndian.Uint64(b[16:])),
			origin: binary.LittleEndian.Uint64(b[24:]),
		}
	}
	return nil
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
