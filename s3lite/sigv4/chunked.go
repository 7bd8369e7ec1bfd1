package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ChunkSize is how many bytes of a body one chunk signs, the last one aside.
const ChunkSize = 64 << 10

// Seed is the signature of a request whose payload is Chunked, and what the
// chunks' signatures go on from. It prints no secret.
type Seed struct {
	key       Key
	scope     Scope
	now       time.Time
	signature string
}

// NewSeed makes the seed of a signature that came from elsewhere, to check
// the chunks that follow it.
func NewSeed(key Key, s Scope, now time.Time, signature string) Seed {
	return Seed{key, s, now, signature}
}

// Signature returns the request's signature, or the last chunk's.
func (s *Seed) Signature() string { return s.signature }

// Next returns the signature of the next chunk.
func (s *Seed) Next(chunk []byte) string {
	sum := sha256.Sum256(chunk)
	s.signature = s.key.Sign("AWS4-HMAC-SHA256-PAYLOAD\n" + s.now.UTC().Format(TimeFormat) + "\n" +
		s.scope.credential(s.now) + "\n" + s.signature + "\n" + Empty + "\n" + hex.EncodeToString(sum[:]))
	return s.signature
}

// ChunkedLength returns how long a body of size bytes is with its chunks'
// signatures.
func ChunkedLength(size int64) int64 {
	full, rest := size/ChunkSize, size%ChunkSize
	n := full*(ChunkSize+overhead(ChunkSize)) + overhead(0)
	if rest > 0 {
		n += rest + overhead(rest)
	}
	return n
}

// overhead is what the line before a chunk and the line end behind it take.
func overhead(size int64) int64 {
	return int64(len(strconv.FormatInt(size, 16))+len(";chunk-signature=")+2*sha256.Size) + 4
}

// Chunks turns a body of known size into the form of aws-chunked: each chunk
// behind its size and signature. It holds one chunk in memory.
type Chunks struct {
	seed  Seed
	body  io.Reader
	left  int64 // of the body
	chunk []byte
	out   []byte // what of the framed chunk has not been read yet
	head  []byte
	tail  bool // the line end behind the chunk is still to come
	done  bool
}

// NewChunks frames the next size bytes of a body. A body that ends before is
// an io.ErrUnexpectedEOF; what follows is not read.
func NewChunks(seed Seed, body io.Reader, size int64) *Chunks {
	return &Chunks{seed: seed, body: body, left: size, chunk: make([]byte, min(size, ChunkSize))}
}

// Read implements io.Reader.
func (c *Chunks) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		switch {
		case len(c.head) > 0:
			c.out, c.head = c.chunk, nil
		case c.tail:
			c.out, c.tail = []byte("\r\n"), false
		case c.done:
			return 0, io.EOF
		default:
			if err := c.next(); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// next reads and signs the next chunk; the last one is empty.
func (c *Chunks) next() error {
	c.chunk = c.chunk[:min(c.left, int64(cap(c.chunk)))]
	n, err := io.ReadFull(c.body, c.chunk)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("body ends %d bytes before its length: %w", c.left-int64(n), err)
	}
	c.left -= int64(n)
	c.done = n == 0
	c.head = fmt.Appendf(c.head[:0], "%x;chunk-signature=%s\r\n", n, c.seed.Next(c.chunk))
	c.out, c.tail = c.head, true
	return nil
}
