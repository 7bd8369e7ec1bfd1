package fsstore

import (
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io/fs"

	"berth/fsstore/durable"
	"berth/oci"
)

// A side file keeps the running hash of an upload. It has two slots that are
// written in turn, so that a torn write leaves the one before:
//
//	magic(8) sequence(8) offset(8) algorithm(1+n) state(2+n) repository(2+n) [loan(1+n)] crc32c(4)
//
// Numbers are little-endian. With commit a slot is written only after the
// content up to its offset is durable. A loan is there with another magic.
const (
	sideMagic = "berthup1"
	loanMagic = "berthup2"
	slotSize  = 1024
)

// progress is what a slot holds.
type progress struct {
	sequence  uint64
	offset    int64 // bytes of the upload that the state covers
	algorithm oci.Algorithm
	state     []byte // of the hash, encoding.BinaryMarshaler
	repo      oci.Repo
	loan      oci.Digest // of the blob whose beginning is the content; "": the file has it
}

var errSlot = errors.New("no valid slot")

// encodeSlot fails where the fields do not fit.
func encodeSlot(p progress) ([]byte, error) {
	magic := sideMagic
	if p.loan != "" {
		magic = loanMagic
	}
	b := append(make([]byte, 0, slotSize), magic...)
	b = binary.LittleEndian.AppendUint64(b, p.sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.offset))
	b = append(append(b, byte(len(p.algorithm))), p.algorithm...)
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(p.state))), p.state...)
	b = append(binary.LittleEndian.AppendUint16(b, uint16(len(p.repo))), p.repo...)
	if p.loan != "" {
		b = append(append(b, byte(len(p.loan))), p.loan...)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	if len(b) > slotSize {
		return nil, errSlot
	}
	return b, nil
}

// decodeSlot reads a slot; what follows its checksum does not matter.
func decodeSlot(b []byte) (progress, error) {
	r := slotReader{b: b}
	magic := r.take(len(sideMagic))
	p := progress{sequence: r.uint(8), offset: int64(r.uint(8))}
	p.algorithm = oci.Algorithm(r.take(int(r.uint(1))))
	p.state = r.take(int(r.uint(2)))
	p.repo = oci.Repo(r.take(int(r.uint(2))))
	lent := string(magic) == loanMagic
	if lent {
		p.loan = oci.Digest(r.take(int(r.uint(1))))
	}
	sum := crc32.Checksum(b[:r.at], crc32.MakeTable(crc32.Castagnoli))
	if uint64(sum) != r.uint(4) || r.short || string(magic) != sideMagic && !lent || p.offset < 0 {
		return progress{}, errSlot
	}
	if _, err := oci.ParseDigest(string(p.loan)); lent && err != nil {
		return progress{}, errSlot
	}
	if _, err := oci.ParseAlgorithm(string(p.algorithm)); err != nil {
		return progress{}, errSlot
	}
	return p, nil
}

// slotReader takes fields off a slot; short says that one was missing.
type slotReader struct {
	b     []byte
	at    int
	short bool
}

func (r *slotReader) take(n int) []byte {
	if n > len(r.b)-r.at {
		r.short = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *slotReader) uint(n int) uint64 {
	var v [8]byte
	copy(v[:], r.take(n))
	return binary.LittleEndian.Uint64(v[:])
}

// readSide is the latest progress that a side file tells.
func readSide(fsys durable.FS, path string) (progress, error) {
	content, _, err := durable.ReadFile(fsys, path, 2*slotSize)
	if err != nil {
		return progress{}, err
	}
	best, err := progress{}, errSlot
	for off := 0; off < len(content); off += slotSize {
		p, bad := decodeSlot(content[off:min(off+slotSize, len(content))])
		if bad == nil && (err != nil || p.sequence > best.sequence) {
			best, err = p, nil
		}
	}
	return best, err
}

// writeSide writes the slot of p's sequence:
//
//	open [O_CREAT], pwrite, [fdatasync], close
//
// made tells that the file is new.
func writeSide(fsys durable.FS, path string, p progress, sync bool) (made bool, err error) {
	slot, err := encodeSlot(p)
	if err != nil {
		return false, err
	}
	f, err := fsys.OpenWrite(path)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		f, err = fsys.Create(path)
	}
	if err != nil {
		return made, err
	}
	_, err = f.WriteAt(slot, int64(p.sequence%2)*slotSize)
	if err == nil && sync {
		err = f.Sync()
	}
	return made, errors.Join(err, f.Close())
}

// marshalHash is the state of a running hash; those of crypto/sha256 and
// crypto/sha512 have one.
func marshalHash(h hash.Hash) ([]byte, error) {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, errors.New("the hash has no state to keep")
	}
	return m.MarshalBinary()
}

func unmarshalHash(h hash.Hash, state []byte) error {
	m, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return errors.New("the hash has no state to restore")
	}
	return m.UnmarshalBinary(state)
}
