package store

import (
	"context"
	"crypto/rand"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"

	"berth/oci"
	"berth/s3lite"
)

// A session is one object: the bytes that are in no part yet, fewer than a part
// may have, and behind them the record. Its metadata say how many they are, and
// how many have arrived in all, so that a HEAD tells what a client asks for.
const (
	metaTail   = "berth-tail"
	metaOffset = "berth-offset"
	metaNonce  = "berth-nonce"
)

// record is what a session consists of. A change replaces the object on the
// condition that it is still the one that was read.
type record struct {
	Version   int           `json:"version"`
	Algorithm oci.Algorithm `json:"algorithm"`
	// Hash is the state of the running hash of all that has arrived.
	Hash []byte `json:"hash"`
	// Key is where Upload, a multipart upload, makes an object of Parts,
	// without the root. "" before the first part was begun.
	Key    string     `json:"key,omitempty"`
	Upload string     `json:"upload,omitempty"`
	Parts  []partNote `json:"parts,omitempty"`
	// Claimed is the last number of a part that some request has for its own.
	Claimed int `json:"claimed,omitempty"`
	// Final: no byte comes any more, and Upload is about to be an object, or is
	// one.
	Final bool `json:"final,omitempty"`
	// Tail is how many bytes precede the record.
	Tail int64 `json:"tail"`
	// Nonce makes the object, and so its ETag, unlike any other.
	Nonce string `json:"nonce"`
}

type partNote struct {
	Number int    `json:"number"`
	ETag   string `json:"etag"`
	Size   int64  `json:"size"`
}

// stored is how many bytes lie in parts.
func (r *record) stored() (n int64) {
	for _, p := range r.Parts {
		n += p.Size
	}
	return n
}

// offset is how many bytes have arrived.
func (r *record) offset() int64 { return r.stored() + r.Tail }

func (r *record) list() []s3lite.Part {
	parts := make([]s3lite.Part, len(r.Parts))
	for i, p := range r.Parts {
		parts[i] = s3lite.Part{Number: p.Number, ETag: p.ETag, Size: p.Size}
	}
	return parts
}

// session is a session as it was read or written last.
type session struct {
	record
	etag string
	// tail is nil where it is not in memory.
	tail []byte
	// kept: it was remembered, and another process may have changed it since.
	kept bool
	// saved is the tail as it was written, in bytes.
	saved int64
	// numbers are those that this process has claimed for parts to come.
	numbers numbers
}

const (
	// sessionsKept bounds the sessions that are remembered between requests, and
	// tailKept the bytes of each that are.
	sessionsKept = 256
	tailKept     = smallBlob
)

// sessionID names a session.
type sessionID struct {
	repo oci.Repo
	id   oci.UploadID
}

// metadata is that of the object.
func (r *record) metadata() map[string]string {
	return map[string]string{
		metaTail: strconv.FormatInt(r.Tail, 10), metaOffset: strconv.FormatInt(r.offset(), 10), metaNonce: r.Nonce,
	}
}

// load reads a session, or takes the one that is remembered. Errors:
// ErrUploadUnknown, ErrRangeInvalid.
func (s *Store) load(ctx context.Context, name sessionID, fresh bool) (*session, error) {
	if kept, ok := s.sessions.get(name); ok && !fresh {
		own := *kept
		own.Parts = slices.Clip(kept.Parts) // appended to, never changed
		own.kept = true
		return &own, nil
	}
	for range readTries {
		out, err := s.readSession(ctx, s.keys.session(name.repo, name.id))
		if !errors.Is(err, s3lite.ErrPrecondition) {
			return out, missing(err, oci.ErrUploadUnknown)
		}
	}
	return nil, oci.Errorf(oci.ErrRangeInvalid, "other requests write to the upload")
}

// readTries bounds how often a session is read that is written meanwhile.
const readTries = 5

// readSession is load of what is in the bucket. Errors: ErrNotFound,
// ErrPrecondition where it was written between two requests.
func (s *Store) readSession(ctx context.Context, key string) (*session, error) {
	object, err := s.client.GetObject(ctx, key, s3lite.GetOptions{})
	if err != nil {
		return nil, err
	}
	body := object.Body
	defer func() { _ = body.Close() }()
	tail, err := strconv.ParseInt(object.Metadata[metaTail], 10, 64)
	if err != nil || tail < 0 || tail > object.Size || object.Size-tail > maxRecord {
		return nil, fmt.Errorf("%w: %s is no upload session", oci.ErrUnavailable, key)
	}
	out := &session{etag: object.ETag, saved: tail}
	if tail <= tailKept {
		out.tail = make([]byte, tail)
		_, err = io.ReadFull(body, out.tail)
	} else {
		// The record alone: the bucket can copy the rest where it belongs.
		_ = body.Close()
		object, err = s.client.GetObject(ctx, key, s3lite.GetOptions{Range: &s3lite.Range{Offset: tail}, IfMatch: out.etag})
		if err == nil {
			body = object.Body
		}
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(body)
	}
	if err != nil {
		return nil, err
	}
	if out.record, err = parseRecord(text, tail); err != nil {
		return nil, fmt.Errorf("%w: session %s: %w", oci.ErrUnavailable, key, err)
	}
	return out, nil
}

// maxRecord bounds a record, in bytes: a part takes about 70.
const maxRecord = 4 << 20

// parseRecord reads the record of a session with so many bytes of tail.
func parseRecord(text []byte, tail int64) (r record, err error) {
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	bad := r.Version != 1 || r.Tail != tail || r.Claimed > s3lite.MaxParts || len(r.Parts) > 0 && r.Upload == "" || (r.Key == "") != (r.Upload == "")
	last := 0
	for _, p := range r.Parts {
		bad = bad || p.Number <= last || p.Size <= 0 || p.Size > s3lite.MaxPart || p.ETag == ""
		last = p.Number
	}
	bad = bad || last > r.Claimed
	if bad {
		return r, errors.New("the record contradicts itself")
	}
	_, err = r.running()
	return r, err
}

// running is the hash of all that has arrived.
func (r *record) running() (hash.Hash, error) {
	if _, err := oci.ParseAlgorithm(string(r.Algorithm)); err != nil {
		return nil, err
	}
	h := r.Algorithm.Hash()
	if len(r.Hash) == 0 {
		return h, nil
	}
	state, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("the state of a %s hash cannot be read", r.Algorithm)
	}
	return h, state.UnmarshalBinary(r.Hash)
}

// note takes the state of a hash into the record.
func (r *record) note(h hash.Hash) error {
	state, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return fmt.Errorf("the state of a %s hash cannot be kept", r.Algorithm)
	}
	text, err := state.MarshalBinary()
	r.Hash = text
	return err
}

// save writes a session whose tail a buffer begins with, and remembers it.
// Errors: ErrRangeInvalid where another process has changed it, ErrUploadUnknown
// where it is gone.
func (s *Store) save(ctx context.Context, name sessionID, w *session, tail *buffer, size int64) error {
	w.Tail, w.Nonce = size, rand.Text()
	text, err := json.Marshal(&w.record)
	if err != nil {
		return err
	}
	s.sessions.drop(name)
	key := s.keys.session(name.repo, name.id)
	body := s3lite.Section(joined{tail, size, text}, 0, size+int64(len(text)))
	etag, err := s.swap(ctx, key, w.etag, body, swapOptions{metadata: w.metadata()})
	if errors.Is(err, errStale) {
		if _, headErr := s.client.HeadObject(ctx, key, s3lite.GetOptions{}); errors.Is(headErr, s3lite.ErrNotFound) {
			return oci.ErrUploadUnknown
		}
		return oci.Errorf(oci.ErrRangeInvalid, "another request has written to the upload; ask where it stands")
	}
	if err != nil {
		return err
	}
	w.etag, w.saved, w.tail, w.kept = etag, size, nil, false
	if size <= tailKept {
		w.tail = make([]byte, size)
		_, _ = tail.ReadAt(w.tail, 0)
	}
	own := *w
	s.sessions.put(name, &own)
	return nil
}
