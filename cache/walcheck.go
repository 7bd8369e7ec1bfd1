package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	logHeader = 20      // key id (8 bytes, 0: not encrypted), initialisation vector
	logField  = 1 << 16 // bytes; no key or value written here is that long
)

// checkLog reads a log of Badger's and returns how many entries it has. Badger
// takes the first entry that it cannot read for the end, and drops what
// follows; and it believes an entry's lengths, whatever they are.
//
// A process that is killed while it writes leaves a last entry that is not
// whole, which nobody was told of: one such with nothing behind it counts as an
// entry. Where it is damage, the index has lost a write, which probe finds out.
func checkLog(path string, most int64) (entries int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if size := info.Size(); size < logHeader || size > most {
		return 0, fmt.Errorf("%s has %d bytes", path, size)
	}
	r := &logReader{r: bufio.NewReaderSize(f, 16<<10)}
	var header [logHeader]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint64(header[:]) != 0 {
		return 0, fmt.Errorf("%s claims to be encrypted", path)
	}
	for {
		more, err := r.entry()
		if errors.Is(err, errTorn) && r.blank() {
			return entries + 1, nil
		}
		if err != nil {
			return 0, fmt.Errorf("%s: entry %d: %w", path, entries+1, err)
		}
		if !more {
			return entries, nil
		}
		entries++
	}
}

// logReader reads entries: two bytes of flags, the lengths of key and value and
// the time of expiry as varints, key, value, CRC-32C of all before it.
type logReader struct {
	r    *bufio.Reader
	sum  uint32
	body []byte
}

// errTorn: an entry is not as it was to be written.
var errTorn = errors.New("it is torn, or damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadByte reads a byte of the header into the checksum.
func (l *logReader) ReadByte() (byte, error) {
	b, err := l.r.ReadByte()
	l.sum = crc32.Update(l.sum, castagnoli, []byte{b})
	return b, err
}

// entry reads one entry; false at the end, which is an entry without a key.
func (l *logReader) entry() (bool, error) {
	l.sum = 0
	var fields [5]uint64 // flags, flags, length of the key, of the value, expiry
	for i := range fields {
		b, err := l.field(i)
		if err == io.EOF && i == 0 {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		fields[i] = b
	}
	key, value := fields[2], fields[3]
	if key == 0 {
		if fields != [5]uint64{} {
			return false, errTorn
		}
		return false, nil
	}
	if key > logField || value > logField {
		return false, fmt.Errorf("its key has %d bytes and its value %d", key, value)
	}
	return true, l.verify(int(key + value))
}

func (l *logReader) field(i int) (uint64, error) {
	if i < 2 {
		b, err := l.ReadByte()
		return uint64(b), err
	}
	return binary.ReadUvarint(l)
}

// verify reads n bytes of key and value and the checksum after them.
func (l *logReader) verify(n int) error {
	if cap(l.body) < n+crc32.Size {
		l.body = make([]byte, n+crc32.Size)
	}
	body := l.body[:n+crc32.Size]
	if _, err := io.ReadFull(l.r, body); err != nil {
		return err
	}
	if crc32.Update(l.sum, castagnoli, body[:n]) != binary.BigEndian.Uint32(body[n:]) {
		return errTorn
	}
	return nil
}

// blank reads what is left and tells whether it was never written.
func (l *logReader) blank() bool {
	for {
		b, err := l.r.ReadByte()
		if err != nil || b != 0 {
			return err == io.EOF
		}
	}
}
