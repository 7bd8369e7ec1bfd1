package store

import (
	"context"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"berth/oci"
	"berth/s3lite"
)

// FinishUpload is oci.Uploads.FinishUpload. Content that comes as a whole with
// its digest goes straight to where it belongs; content that has arrived before
// lies in the session's object, from where the bucket copies it.
//
// Where the whole content comes and is stored already, it is compared with its
// digest and not kept: a reader that fails then has to begin anew.
func (s *Store) FinishUpload(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	size, err := s.finish(ctx, repo, id, d, at, r)
	if errors.Is(err, errRemembered) {
		return s.finish(ctx, repo, id, d, at, nil)
	}
	return size, err
}

// errRemembered: the session was changed by another process since it was
// remembered, and the body, which was empty, can be taken as read.
var errRemembered = errors.New("the session is another by now")

// finish is FinishUpload. Errors: errRemembered.
func (s *Store) finish(ctx context.Context, repo oci.Repo, id oci.UploadID, d oci.Digest, at int64, r io.Reader) (int64, error) {
	w, err := s.begin(ctx, sessionID{repo, id}, at, true)
	if err != nil {
		return 0, err
	}
	defer w.end(ctx)
	before := w.offset()
	if before == 0 {
		if err := w.expect(d); err != nil {
			return 0, err
		}
	}
	if err := w.receive(ctx, r); err != nil {
		if w.discard {
			return 0, err
		}
		return w.keep(ctx, before, err)
	}
	size := w.arrived()
	right, err := w.matches(ctx, d, before)
	if err != nil {
		return before, w.overtaken(ctx, err)
	}
	if !right {
		return before, w.mismatch(ctx, d, size, size == before)
	}
	err = w.place(ctx, d, size)
	placed := err == nil
	if !placed && !w.placedElsewhere(ctx, d, err) {
		return before, w.overtaken(ctx, err)
	}
	s.arrived(d)
	if err := s.ensure(ctx, repo); err != nil {
		return before, err
	}
	if placed {
		w.done(ctx)
	}
	return size, nil
}

// expect prepares for the whole content of a digest.
func (w *writer) expect(d oci.Digest) error {
	if w.Algorithm != d.Algorithm() {
		w.Algorithm, w.Hash = d.Algorithm(), nil
		var err error
		if w.hash, err = w.running(); err != nil {
			return err
		}
	}
	w.plan = func(ctx context.Context) error {
		w.target = w.store.keys.blob(w.name.repo, d)
		if !w.store.opts.Dedupe {
			return nil
		}
		w.looked = w.store.opts.Now()
		state, err := w.store.contentState(ctx, d)
		switch {
		case state.usable():
			w.discard = true
		case !state.condemned:
			w.target = w.store.keys.content(d)
		}
		return err
	}
	return nil
}

// mismatch is the failure of content that is not what its digest says. The
// session stays as it was.
func (w *writer) mismatch(ctx context.Context, d oci.Digest, size int64, bare bool) error {
	if w.kept {
		w.store.sessions.drop(w.name)
		now, err := w.store.load(ctx, w.name, true)
		if err != nil {
			return err
		}
		if now.etag != w.etag && bare {
			return errRemembered
		}
		if now.etag != w.etag {
			return oci.Errorf(oci.ErrRangeInvalid, "another request has written to the upload; ask where it stands")
		}
	}
	return oci.Errorf(oci.ErrDigestInvalid, "the %d bytes uploaded are not %s", size, d)
}

// matches tells whether all that has arrived is what a digest says.
func (w *writer) matches(ctx context.Context, d oci.Digest, before int64) (bool, error) {
	if len(w.Parts) > 0 && w.relativeData() != w.Key && !w.isTarget(d) {
		return false, nil // it was announced as something else, and lies there
	}
	if d.Algorithm() == w.Algorithm {
		return digestOf(d.Algorithm(), w.hash) == d, nil
	}
	if len(w.Parts) == 0 {
		if err := w.loadTail(ctx); err != nil {
			return false, err
		}
		h := d.Algorithm().Hash()
		_, err := io.Copy(h, io.NewSectionReader(&w.buf, 0, w.buf.n))
		return digestOf(d.Algorithm(), h) == d, err
	}
	return w.rehash(ctx, d, before)
}

// isTarget tells whether the parts go to where content of a digest belongs.
func (w *writer) isTarget(d oci.Digest) bool {
	key := w.store.keys.root + w.Key
	return key == w.store.keys.content(d) || key == w.store.keys.blob(w.name.repo, d)
}

func (w *writer) relativeData() string {
	return w.store.relative(w.store.keys.data(w.name.repo, w.name.id))
}

// rehash reads what has arrived again, by another algorithm than it was hashed
// with: for that it has to become an object. Where it is not right, the session
// goes on with its beginning as its only part.
func (w *writer) rehash(ctx context.Context, d oci.Digest, before int64) (bool, error) {
	if err := w.assemble(ctx); err != nil {
		return false, err
	}
	at := place{key: w.store.keys.data(w.name.repo, w.name.id)}
	right, err := w.store.verify(ctx, &at, d)
	if err != nil || right {
		return right, err
	}
	after, cancel := afterwards(ctx)
	defer cancel()
	return false, w.reopen(after, at.key, at.etag, before)
}

// reopen begins the session's multipart upload anew with the first bytes of an
// object. The hash is that of the record.
func (w *writer) reopen(ctx context.Context, key, etag string, size int64) (err error) {
	w.Parts, w.Upload, w.Key, w.Tail, w.Final, w.assembled = nil, "", "", 0, false, false
	w.buf.cut(0)
	if w.hash, err = w.running(); err != nil {
		return err
	}
	if err := w.beginParts(ctx); err != nil {
		return err
	}
	upload := s3lite.Upload{Key: w.store.keys.root + w.Key, ID: w.Upload}
	for offset := int64(0); offset < size; {
		n := min(size-offset, w.store.opts.CopyChunkSize)
		if rest := size - offset - n; rest > 0 && rest < w.store.opts.minPart {
			n += rest
		}
		part, err := w.store.client.UploadPartCopy(ctx, upload, w.numbers.take(), key, &s3lite.Range{Offset: offset, Length: n}, etag)
		if err != nil {
			return err
		}
		w.addPart(part, n)
		offset += n
	}
	return w.save(ctx)
}

// assemble makes an object of all that has arrived. What of the session's own
// becomes one is written down before, so that it is known what the object is
// when that has to be done again.
func (w *writer) assemble(ctx context.Context) error {
	if w.assembled {
		return nil
	}
	size := w.offset()
	err := w.lastPart(ctx)
	if err == nil && w.Key == w.relativeData() && !w.Final {
		w.Final = true
		err = w.save(ctx)
	}
	upload := s3lite.Upload{Key: w.store.keys.root + w.Key, ID: w.Upload}
	if err == nil || errors.Is(err, s3lite.ErrNoSuchUpload) && w.Key != w.relativeData() {
		err = w.store.complete(ctx, upload, w.list(), size)
	}
	if err != nil {
		return err
	}
	w.assembled, w.begun = true, false
	return nil
}

// lastPart makes a part of the tail, wherever it is.
func (w *writer) lastPart(ctx context.Context) error {
	if w.Tail == 0 {
		return nil
	}
	if w.buf.n == 0 && w.tail == nil {
		upload, number, err := w.upload(ctx)
		if err != nil {
			return err
		}
		part, err := w.store.client.UploadPartCopy(ctx, upload, number, w.store.keys.session(w.name.repo, w.name.id),
			&s3lite.Range{Length: w.Tail}, w.etag)
		if err != nil {
			return err
		}
		w.addPart(part, w.Tail)
		return nil
	}
	if err := w.loadTail(ctx); err != nil {
		return err
	}
	return w.flush(ctx)
}

// place makes what has arrived a blob of the repository.
func (w *writer) place(ctx context.Context, d oci.Digest, size int64) error {
	s, own := w.store, w.store.keys.blob(w.name.repo, d)
	w.plan = nil
	if w.discard {
		return s.refer(ctx, w.name.repo, d, size, w.looked, func(ctx context.Context) error {
			return s.copy(ctx, place{key: s.keys.content(d), size: size}, own)
		})
	}
	if len(w.Parts) > 0 && w.Key != w.relativeData() {
		if err := w.assemble(ctx); err != nil {
			return err
		}
		if w.Key == s.relative(own) {
			s.refs.drop(blobID{w.name.repo, d})
			return nil
		}
		return s.refer(ctx, w.name.repo, d, size, w.looked, func(ctx context.Context) error {
			return s.copy(ctx, place{key: s.keys.content(d), size: size}, own)
		})
	}
	if !s.shares(size) {
		s.refs.drop(blobID{w.name.repo, d})
		return w.put(ctx, d, own, size)
	}
	w.looked = s.opts.Now()
	state, err := s.contentState(ctx, d)
	switch {
	case err != nil:
		return err
	case state.condemned:
		return w.put(ctx, d, own, size)
	case !state.present:
		if err := w.put(ctx, d, s.keys.content(d), size); err != nil {
			return err
		}
	}
	return s.refer(ctx, w.name.repo, d, size, w.looked, func(ctx context.Context) error { return w.put(ctx, d, own, size) })
}

// put stores what has arrived at a key. It may be done more than once.
func (w *writer) put(ctx context.Context, d oci.Digest, key string, size int64) error {
	if len(w.Parts) > 0 {
		if err := w.assemble(ctx); err != nil {
			return err
		}
		return w.store.copy(ctx, place{key: w.store.keys.root + w.Key, size: size}, key)
	}
	if w.buf.n == 0 && w.tail == nil && w.Tail > 0 {
		return w.copyTail(ctx, key)
	}
	if err := w.loadTail(ctx); err != nil {
		return err
	}
	body := w.buf.body()
	if d.Algorithm() == oci.SHA256 {
		body = body.WithSHA256(d.Encoded()) // and the bucket checks it once more
	}
	_, err := w.store.client.PutObject(ctx, key, body, s3lite.PutOptions{})
	return err
}

// copyTail has the bucket copy the tail out of the session's object.
func (w *writer) copyTail(ctx context.Context, key string) error {
	upload, err := w.store.client.CreateMultipartUpload(ctx, key, s3lite.PutOptions{})
	if err != nil {
		return err
	}
	part, err := w.store.client.UploadPartCopy(ctx, upload, 1, w.store.keys.session(w.name.repo, w.name.id), &s3lite.Range{Length: w.Tail}, w.etag)
	if err == nil {
		err = w.store.complete(ctx, upload, []s3lite.Part{part}, w.Tail)
	}
	if err != nil {
		w.store.abort(ctx, upload)
	}
	return err
}

// done removes the session, whatever becomes of the request: what stays behind
// is found as a session that nobody uses.
func (w *writer) done(ctx context.Context) {
	after, cancel := afterwards(ctx)
	defer cancel()
	if w.assembled && w.Key != w.relativeData() {
		w.Upload = "" // it lies where it belongs
	}
	w.begun = false
	if err := w.store.drop(after, w.name, w.session, !w.shown.IsZero()); err != nil && !errors.Is(err, oci.ErrUploadUnknown) {
		w.store.opts.Log.Warn("an upload that is done could not be removed", "repository", w.name.repo, "upload", w.name.id, "error", err)
	}
}

// digestOf is the digest of what a hash was fed with.
func digestOf(a oci.Algorithm, h hash.Hash) oci.Digest {
	return oci.Digest(string(a) + ":" + hex.EncodeToString(h.Sum(nil)))
}
