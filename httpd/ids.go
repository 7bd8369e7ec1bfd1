package httpd

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
)

// ids makes the names of requests: random for each server, then counted.
type ids struct {
	prefix [8]byte // hexadecimal
	count  atomic.Uint64
}

func newIDs() *ids {
	g := &ids{}
	var seed [4]byte
	rand.Read(seed[:]) // never fails
	hex.Encode(g.prefix[:], seed[:])
	return g
}

// next makes an id that this server has not used: 8 random hexadecimal digits
// and a counter.
func (g *ids) next() string {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], g.count.Add(1))
	var out [20]byte
	copy(out[:8], g.prefix[:])
	hex.Encode(out[8:], n[2:])
	return string(out[:])
}

// boundary makes the boundary of a multipart answer. It needs to be nothing
// that a client could plant in a blob beforehand.
func (g *ids) boundary() string { return rand.Text() }

// maxRequestID is the longest X-Request-Id that is taken over from a client.
const maxRequestID = 64

// saneID tells whether a client's request id can go into logs and headers.
func saneID(id []byte) bool {
	if len(id) == 0 || len(id) > maxRequestID {
		return false
	}
	for _, c := range id {
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !word && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
