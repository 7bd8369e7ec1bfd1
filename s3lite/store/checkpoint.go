package store

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// A request that brings many parts writes the session down now and then, so that
// another process can go on from there when this one dies. And it names the
// upload in parts before it sends the first, so that these are found.
//
// A part takes the place of an earlier one of its number, also when it comes
// late, from a process that has lost the session. So a number is used by one
// process only: it claims some by writing the session, which only one of two can
// do that have read it.

const (
	// numbersClaimed is how many parts are sent between two checkpoints at most.
	numbersClaimed = 8
	// numbersSpare are left when one is made: a part that breaks off is sent
	// again under another number before the next one can be.
	numbersSpare = 3
	// checkpointAfter is the time after which a part is followed by one.
	checkpointAfter = 30 * time.Second
	// numbersSkipped bounds what a request that is to be the last leaves out
	// where it has claimed nothing: others may be about to do the same.
	numbersSkipped = 64
)

// numbers are those from next to last; none where last is 0.
type numbers struct{ next, last int }

// left is how many there are.
func (n numbers) left() int {
	if n.last == 0 {
		return 0
	}
	return n.last + 1 - n.next
}

// take is the next one.
func (n *numbers) take() int {
	n.next++
	return n.next - 1
}

// extend claims as many numbers as can be used before the next checkpoint, with
// the record that is about to be written. Where this process has claimed none
// it sends no parts.
func (w *writer) extend() {
	if w.numbers.last == 0 {
		return
	}
	w.numbers.last = min(w.numbers.next-1+numbersClaimed, s3lite.MaxParts)
	w.Claimed = max(w.Claimed, w.numbers.last)
}

// checkpoint writes the session down after a part, where it is time to. Errors:
// as of save.
func (w *writer) checkpoint(ctx context.Context) error {
	if w.last || w.discard || w.buf.n > 0 || len(w.Parts) == 0 {
		return nil
	}
	now := w.store.opts.Now()
	if w.numbers.left() >= numbersSpare && now.Sub(w.written) < checkpointAfter {
		return nil
	}
	w.written = now
	return w.save(ctx)
}

const (
	// signAfter is how long a body comes before there is a sign of it, and again.
	signAfter = time.Minute
	// signPatience is how long a body waits for that.
	signPatience = 10 * time.Second
)

// live shows that bytes still arrive, so that no process takes the session for
// one that nobody uses. It says nothing else, and is tried again where it fails.
func (w *writer) live(ctx context.Context) {
	now := w.store.opts.Now()
	if now.Sub(w.written) < signAfter || now.Sub(w.shown) < signAfter {
		return
	}
	w.shown = now
	ctx, cancel := context.WithTimeout(ctx, signPatience)
	defer cancel()
	if _, err := w.store.client.PutObject(ctx, w.store.keys.alive(w.name.repo, w.name.id), s3lite.Bytes(nil), s3lite.PutOptions{}); err != nil {
		w.store.opts.Log.Debug("a long upload could not be shown to go on", "repository", w.name.repo, "upload", w.name.id, "error", err)
	}
}

// upload is the multipart upload of the session, which it begins where needed,
// and the number of the next part. Errors: ErrUploadInvalid, ErrTooLarge.
func (w *writer) upload(ctx context.Context) (s3lite.Upload, int, error) {
	if w.Final {
		return s3lite.Upload{}, 0, oci.Errorf(oci.ErrUploadInvalid, "the upload was to be finished already, and takes no more; begin a new one")
	}
	if len(w.Parts) == 0 && !w.begun {
		if err := w.beginParts(ctx); err != nil {
			return s3lite.Upload{}, 0, err
		}
		if err := w.claim(ctx); err != nil {
			return s3lite.Upload{}, 0, err
		}
	}
	if w.numbers.left() <= 0 {
		if err := w.claimMore(ctx); err != nil {
			return s3lite.Upload{}, 0, err
		}
	}
	return s3lite.Upload{Key: w.store.keys.root + w.Key, ID: w.Upload}, w.numbers.take(), nil
}

// beginParts begins a multipart upload in the place of one without a part that
// is known of: who had begun it may have died, or is on the way to another key.
func (w *writer) beginParts(ctx context.Context) error {
	if w.Upload != "" {
		w.store.abort(ctx, s3lite.Upload{Key: w.store.keys.root + w.Key, ID: w.Upload})
		w.Key, w.Upload = "", ""
	}
	key := w.target
	if key == "" {
		key = w.store.keys.data(w.name.repo, w.name.id)
	}
	upload, err := w.store.client.CreateMultipartUpload(ctx, key, s3lite.PutOptions{})
	if err != nil {
		return err
	}
	w.Key, w.Upload, w.begun = w.store.relative(key), upload.ID, true
	w.Claimed, w.numbers = numbersClaimed, numbers{1, numbersClaimed}
	if w.last {
		w.numbers.last = s3lite.MaxParts // nobody else has parts of this one
	}
	return nil
}

// claimMore claims numbers for parts of an upload that is known already.
func (w *writer) claimMore(ctx context.Context) error {
	first := w.Claimed + 1
	if w.last {
		first += rand.IntN(numbersSkipped)
	}
	if first > s3lite.MaxParts {
		return oci.Errorf(oci.ErrTooLarge, "the upload has %d parts, and a bucket takes no more than %d; a larger chunksize makes room", len(w.Parts), s3lite.MaxParts)
	}
	w.numbers = numbers{first, s3lite.MaxParts}
	if w.last {
		return nil
	}
	w.extend()
	return w.claim(ctx)
}

// claim writes the session down as it was, with the upload and what is claimed
// of it. No part has been added since, and the buffer begins with the tail.
func (w *writer) claim(ctx context.Context) error {
	now := w.Tail
	err := w.store.save(ctx, w.name, w.session, &w.buf, w.saved)
	w.Tail = now
	return err
}

// joined is the first bytes of a buffer, and a text behind them.
type joined struct {
	buf  *buffer
	size int64 // of what comes from the buffer
	text []byte
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < j.size {
		n = j.buf.readUpTo(p, off, j.size)
		off += int64(n)
	}
	if at := off - j.size; at >= 0 && at < int64(len(j.text)) {
		n += copy(p[n:], j.text[at:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}
