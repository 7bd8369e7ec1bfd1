package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Body is what a request sends. Its length is always known, and it is never
// buffered.
type Body struct {
	Size int64
	// SHA256 in lower-case hexadecimal, where it is known: the service checks
	// the body against it. Empty otherwise.
	SHA256 string
	// MD5 goes as Content-MD5 where it is set: 16 bytes.
	MD5 []byte
	// open starts the body anew; nil for one that can be read once only.
	open   func() io.Reader
	stream io.Reader
}

// hashAtOnce is the size up to which a body in memory is hashed before it is
// sent, and so checked by the service.
const hashAtOnce = 128 << 10

// Bytes is a body in memory, which must not change until the call is over. A
// small one is hashed.
func Bytes(b []byte) *Body {
	body := &Body{Size: int64(len(b)), open: func() io.Reader { return bytes.NewReader(b) }}
	if len(b) <= hashAtOnce {
		sum := sha256.Sum256(b)
		body.SHA256 = hex.EncodeToString(sum[:])
	}
	return body
}

// Section is size bytes of something that can be read at any place, such as a
// file.
func Section(r io.ReaderAt, offset, size int64) *Body {
	return &Body{Size: size, open: func() io.Reader { return io.NewSectionReader(r, offset, size) }}
}

// Stream is a body that can be read once: a call that has begun to send it is
// not repeated. Do waits for a Read that is under way when it returns.
func Stream(r io.Reader, size int64) *Body { return &Body{Size: size, stream: r} }

// Repeatable tells whether the body can be sent more than once.
func (b *Body) Repeatable() bool { return b.open != nil }

// WithSHA256 sets the hash, in lower-case hexadecimal, and returns the body.
func (b *Body) WithSHA256(sum string) *Body {
	b.SHA256 = sum
	return b
}

var errDetached = errors.New("request is over")

// sending is a body on its way. The transport may go on reading it after the
// answer has come: detach ends that.
type sending struct {
	watch *watch

	mu       sync.Mutex // guards all below
	src      io.Reader
	left     int64 // bytes of the framed body to come
	touched  bool
	err      error // of the source
	detached bool
}

// Read implements io.Reader for the transport. While the source is being read
// nothing counts as a stall: the source's slowness is its own.
func (s *sending) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.detached:
		return 0, errDetached
	case s.err != nil:
		return 0, s.err
	case s.left == 0:
		return 0, io.EOF
	}
	s.touched = true
	s.watch.pause(sendingPhase)
	n, err := s.src.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	s.watch.resume(sendingPhase)
	if err == io.EOF && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("%w, %d bytes before its end: %w", ErrBody, s.left, err)
		return n, s.err
	}
	return n, nil
}

// Close implements io.Closer; the source is not this package's to close.
func (s *sending) Close() error { return nil }

// detach keeps the transport from the source, and waits for a Read that is
// under way. It tells whether the source was touched, whether all of it was
// read, and its error.
func (s *sending) detach() (touched, whole bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
	return s.touched, s.left == 0, s.err
}
