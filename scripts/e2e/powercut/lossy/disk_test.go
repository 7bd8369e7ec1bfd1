package lossy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// memory is a medium of a fixed size.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func fill(b byte, blocks int) []byte { return bytes.Repeat([]byte{b}, blocks*BlockSize) }

func newDisk(blocks int) (*Disk, memory) {
	m := make(memory, blocks*BlockSize)
	return New(m, int64(len(m))), m
}

func write(t *testing.T, d *Disk, b byte, at, blocks int, durable bool) {
	t.Helper()
	if err := d.Write(fill(b, blocks), int64(at*BlockSize), durable); err != nil {
		t.Fatal(err)
	}
}

// firsts is the first byte of each block.
func firsts(p []byte) (s string) {
	for at := 0; at < len(p); at += BlockSize {
		s += string('0' + p[at])
	}
	return s
}

func read(t *testing.T, d *Disk) []byte {
	t.Helper()
	p := make([]byte, d.Size())
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// What is read is what was written last; what is on the medium was flushed, or
// written durably.
func TestCache(t *testing.T) {
	d, m := newDisk(8)
	write(t, d, 1, 0, 4, false)
	write(t, d, 2, 2, 2, false)
	if got, medium := firsts(read(t, d)), firsts(m); got != "11220000" || medium != "00000000" {
		t.Errorf("read %s, medium %s", got, medium)
	}
	part := make([]byte, BlockSize)
	if _, err := d.ReadAt(part, BlockSize+100); err != nil || part[0] != 1 || part[BlockSize-101] != 1 || part[BlockSize-100] != 2 {
		t.Errorf("a read across blocks: %v", err)
	}
	write(t, d, 3, 1, 2, true)
	if got, medium := firsts(read(t, d)), firsts(m); got != "13320000" || medium != "03300000" {
		t.Errorf("read %s, medium %s", got, medium)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if medium := firsts(m); medium != "13320000" {
		t.Errorf("after a flush: medium %s", medium)
	}
	for _, off := range []int64{-BlockSize, 1, 8 * BlockSize} {
		if err := d.Write(fill(1, 1), off, false); !errors.Is(err, ErrRange) {
			t.Errorf("write at %d: %v", off, err)
		}
	}
}

// A full cache writes its oldest half, and what was written since stays on top.
func TestFullCache(t *testing.T) {
	d, m := newDisk(2)
	for i := range maxPending + 1 {
		write(t, d, byte(1+i%2), i%2, 1, false)
	}
	if len(d.pending) > maxPending {
		t.Errorf("%d blocks are pending", len(d.pending))
	}
	if got, medium := firsts(read(t, d)), firsts(m); got != "12" || medium != "12" {
		t.Errorf("read %s, medium %s", got, medium)
	}
}

// Cuts take nothing that was flushed, leave every block one of those that were
// written there, and lose all, something and nothing of the rest.
func TestCut(t *testing.T) {
	kept := map[int]int{}
	torn := false
	for seed := range uint64(200) {
		d, m := newDisk(8)
		write(t, d, 1, 0, 8, false)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		write(t, d, 2, 0, 4, false)
		write(t, d, 3, 2, 4, false)
		write(t, d, 4, 6, 1, true)
		if err := d.Cut(rand.New(rand.NewPCG(seed, 1))); err != nil {
			t.Fatal(err)
		}
		after := firsts(m)
		for i, allowed := range []string{"12", "12", "123", "123", "13", "13", "4", "1"} {
			if !bytes.Contains([]byte(allowed), []byte{after[i]}) {
				t.Fatalf("seed %d: block %d is %c, not one of %s", seed, i, after[i], allowed)
			}
		}
		if got := firsts(read(t, d)); got != after {
			t.Fatalf("seed %d: read %s, medium %s", seed, got, after)
		}
		s := d.Stats()
		if s.Unflushed != 8 || s.Lost < 0 || s.Lost > 8 {
			t.Fatalf("seed %d: %+v", seed, s)
		}
		kept[s.Unflushed-s.Lost]++
		torn = torn || after[4] != after[5]
	}
	if kept[0] == 0 || kept[8] == 0 || len(kept) < 4 || !torn {
		t.Errorf("cuts are not various: blocks kept %v, torn %v", kept, torn)
	}
}

// The protocol, as a client speaks it, up to a client that is gone in the
// middle of a write.
func TestServe(t *testing.T) {
	d, m := newDisk(4)
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- d.Serve(server) }()
	say := func(values ...any) {
		t.Helper()
		for _, v := range values {
			if err := binary.Write(client, binary.BigEndian, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	hear := func(n int) []byte {
		t.Helper()
		p := make([]byte, n)
		if _, err := io.ReadFull(client, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	hear(18)
	say(uint32(3))
	say(uint64(optionMagic), uint32(8), uint32(0)) // structured replies
	if got := binary.BigEndian.Uint32(hear(20)[12:]); got != repUnknown {
		t.Errorf("an unknown option: %x", got)
	}
	say(uint64(optionMagic), uint32(optGo), uint32(6), uint32(0), uint16(0))
	if size := binary.BigEndian.Uint64(hear(20 + 12)[22:]); size != uint64(d.Size()) {
		t.Errorf("the size is %d", size)
	}
	hear(20 + 14 + 20)

	request := func(flags, command uint16, offset uint64, length uint32) {
		t.Helper()
		say(uint32(requestMagic), flags, command, uint64(7), offset, length)
	}
	status := func() uint32 { t.Helper(); return binary.BigEndian.Uint32(hear(16)[4:]) }
	request(0, cmdWrite, 0, BlockSize)
	say(fill(1, 1))
	if s := status(); s != 0 || m[0] != 0 {
		t.Errorf("write: status %d, medium %d", s, m[0])
	}
	request(0, cmdRead, 0, BlockSize)
	if s, p := status(), hear(BlockSize); s != 0 || p[0] != 1 {
		t.Errorf("read: status %d, %d", s, p[0])
	}
	request(0, cmdFlush, 0, 0)
	if s := status(); s != 0 || m[0] != 1 {
		t.Errorf("flush: status %d, medium %d", s, m[0])
	}
	request(forceUnit, cmdWrite, BlockSize, BlockSize)
	say(fill(2, 1))
	if s := status(); s != 0 || m[BlockSize] != 2 {
		t.Errorf("durable write: status %d, medium %d", s, m[BlockSize])
	}
	request(0, cmdRead, 1<<40, BlockSize)
	if s := status(); s != errInvalid {
		t.Errorf("a read behind the end: status %d", s)
	}
	request(0, cmdWrite, 0, BlockSize)
	say(fill(3, 1)[:100])
	_ = client.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := firsts(read(t, d)); got != "1200" {
		t.Errorf("after half a write: %s", got)
	}
}
