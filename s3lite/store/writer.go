package store

import (
	"context"
	"errors"
	"hash"
	"io"
	"slices"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// writer is a request that writes to a session: the only one of this process.
type writer struct {
	*session // as it will be
	store    *Store
	name     sessionID
	unlock   func()

	hash     hash.Hash
	buf      buffer
	reserved int64 // bytes of memory
	// plan is asked before the first part; nil where there is nothing to decide.
	plan func(context.Context) error
	// looked is when shared content was looked at last; zero: it was not.
	looked time.Time
	// target is where parts go; "" for the session's own object.
	target string
	// begun: no part of the multipart upload is written down yet.
	begun bool
	// last: this request is to be the last, and writes down no bytes before it
	// has failed: what it brings may be wrong.
	last bool
	// written is when the session was written down, and shown when there was a
	// sign of life after that; zero: there was none.
	written, shown time.Time
	// assembled: the parts are an object now.
	assembled bool
	// discard: parts are hashed and not stored, since the content is there.
	discard   bool
	discarded int64 // bytes of such parts
}

// begin makes the caller the only one of this process to write to a session.
// Errors: ErrUploadUnknown, ErrRangeInvalid.
// What is remembered of the session is taken for current, and found out not to
// be when the session is saved; with last, which saves nothing, it is checked.
func (s *Store) begin(ctx context.Context, name sessionID, at int64, last bool) (*writer, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	patience, cancel := context.WithTimeout(ctx, oci.UploadPatience)
	defer cancel()
	unlock, err := s.writing.lock(patience, name)
	if err != nil {
		return nil, oci.Errorf(oci.ErrRangeInvalid, "another request writes to the upload")
	}
	w, err := s.load(ctx, name, false)
	if err == nil && w.kept && (at != oci.AtEnd && at != w.offset() || last && w.offset() > 0) {
		w, err = s.refresh(ctx, name, w)
	}
	if err == nil && at != oci.AtEnd && at != w.offset() {
		err = oci.Errorf(oci.ErrRangeInvalid, "the upload is at %d, and %d was given", w.offset(), at)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return s.writer(name, w, unlock, last)
}

// refresh is a session that was remembered, as it is now.
func (s *Store) refresh(ctx context.Context, name sessionID, w *session) (*session, error) {
	info, err := s.client.HeadObject(ctx, s.keys.session(name.repo, name.id), s3lite.GetOptions{})
	if err != nil {
		return nil, missing(err, oci.ErrUploadUnknown)
	}
	if info.ETag == w.etag {
		w.kept = false
		return w, nil
	}
	return s.load(ctx, name, true)
}

func (s *Store) writer(name sessionID, w *session, unlock func(), last bool) (*writer, error) {
	own := *w
	own.Parts = slices.Clone(w.Parts)
	out := &writer{session: &own, store: s, name: name, unlock: unlock, last: last, written: s.opts.Now(), buf: buffer{memory: &s.memory}}
	var err error
	if out.hash, err = own.running(); err != nil {
		unlock()
		return nil, asStored(err)
	}
	return out, nil
}

// end lets the next request have the session. What nobody knows of is removed.
func (w *writer) end(ctx context.Context) {
	w.buf.free()
	if w.reserved > 0 {
		w.store.memory.release(w.reserved)
	}
	if w.begun {
		w.store.abort(ctx, s3lite.Upload{Key: w.store.keys.root + w.Key, ID: w.Upload})
	}
	w.unlock()
}

// reserve waits for memory for what r will yield. What is read over the limit
// of a part goes to the next one.
func (w *writer) reserve(ctx context.Context, r io.Reader) error {
	need := w.store.opts.ChunkSize
	if known, ok := r.(oci.Remaining); ok {
		if left := known.Remaining(); left >= 0 {
			need = min(need, w.Tail+1+left) // one was read ahead
		}
	}
	if err := w.store.memory.acquire(ctx, need); err != nil {
		return errStore{err}
	}
	w.reserved = need
	return nil
}

// loadTail gets the bytes that are in no part into the buffer.
func (w *writer) loadTail(ctx context.Context) error {
	if w.buf.n > 0 || w.Tail == 0 {
		return nil
	}
	if w.tail != nil {
		_, _ = w.buf.Write(w.tail)
		return nil
	}
	tail, err := w.store.client.GetObject(ctx, w.store.keys.session(w.name.repo, w.name.id), s3lite.GetOptions{
		Range: &s3lite.Range{Length: w.Tail}, IfMatch: w.etag,
	})
	if err != nil {
		return err
	}
	defer tail.Body.Close()
	_, err = io.CopyN(&w.buf, tail.Body, w.Tail)
	return err
}

// receive takes in what r yields: whole parts go to the bucket, and the rest is
// in the buffer in the end. Its error is that of r, or an errStore.
func (w *writer) receive(ctx context.Context, r io.Reader) error {
	if r == nil {
		return nil
	}
	var one [1]byte // read ahead: a full part goes when more is to come
	n, end := readOne(r, one[:])
	if n == 0 {
		return endOf(end) // nothing is reserved for a body that is empty
	}
	if err := w.reserve(ctx, r); err != nil {
		return err
	}
	if err := w.loadTail(ctx); err != nil {
		return errStore{err}
	}
	for n > 0 {
		if w.buf.n >= w.store.opts.ChunkSize {
			if err := w.flush(ctx); err != nil {
				return errStore{err}
			}
		}
		if err := w.checkpoint(ctx); err != nil {
			return errStore{err}
		}
		_, _ = w.hash.Write(one[:])
		_, _ = w.buf.Write(one[:])
		if end == nil && w.fillsPart(r) {
			var err error
			if end, err = w.pass(ctx, r); err != nil {
				return errStore{err}
			}
		} else if end == nil {
			end = w.fill(ctx, r, nil)
		}
		w.Tail = w.buf.n
		if end != nil {
			break
		}
		n, end = readOne(r, one[:])
	}
	return endOf(end)
}

// fill reads until the buffer has a part, or r ends. told is called with how
// much there is.
func (w *writer) fill(ctx context.Context, r io.Reader, told func(int64)) error {
	for {
		room := w.buf.space(w.store.opts.ChunkSize)
		if room == nil {
			return nil
		}
		n, err := r.Read(room)
		_, _ = w.hash.Write(room[:n])
		w.buf.n += int64(n)
		if told != nil {
			told(w.buf.n)
		}
		if err != nil {
			return err
		}
		w.live(ctx)
	}
}

// readOne reads one byte, or the end.
func readOne(r io.Reader, one []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = r.Read(one)
	}
	return n, err
}

func endOf(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// decide asks the plan, once.
func (w *writer) decide(ctx context.Context) error {
	if w.plan == nil {
		return nil
	}
	if err := w.plan(ctx); err != nil {
		return err
	}
	w.plan = nil
	return nil
}

// flush makes a part of what the buffer holds.
func (w *writer) flush(ctx context.Context) error {
	if err := w.decide(ctx); err != nil {
		return err
	}
	if w.discard {
		w.discarded += w.buf.n
		w.buf.cut(0)
		w.Tail = 0
		return nil
	}
	upload, number, err := w.upload(ctx)
	if err != nil {
		return err
	}
	part, err := w.store.client.UploadPart(ctx, upload, number, w.buf.body())
	if err != nil {
		return err
	}
	w.addPart(part, w.buf.n)
	w.buf.cut(0)
	return nil
}

// addPart notes a part that has all of the tail in it.
func (w *writer) addPart(p s3lite.Part, size int64) {
	w.Parts = append(w.Parts, partNote{p.Number, p.ETag, size})
	w.Tail = 0
}

// arrived is how many bytes have.
func (w *writer) arrived() int64 { return w.offset() + w.discarded }

// save writes the session down as it is now.
func (w *writer) save(ctx context.Context) error {
	if err := w.loadTail(ctx); err != nil {
		return asStored(err)
	}
	if w.buf.n >= w.store.opts.minPart {
		if err := w.flush(ctx); err != nil {
			return asStored(err)
		}
	}
	if err := w.note(w.hash); err != nil {
		return err
	}
	w.extend()
	err := w.store.save(ctx, w.name, w.session, &w.buf, w.buf.n)
	// Where it is not known what was written, the session may tell of the parts.
	w.begun = w.begun && (len(w.Parts) == 0 || errors.Is(err, oci.ErrRangeInvalid) || errors.Is(err, oci.ErrUploadUnknown))
	return err
}
