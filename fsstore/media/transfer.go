package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"berth/oci"
)

// unheld decorates a store so that an open content holds no file between two
// reads: each of them opens the blob, reads, and closes it. What the store's
// contents offer beside reading, such as their file for sendfile(2), which
// could not be taken back from a paused transfer, is not passed on.
type unheld struct {
	oci.Store
	pause func() // see quiet
}

// OpenBlob implements oci.Blobs.
func (s *unheld) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	c, err := s.Store.OpenBlob(ctx, repo, d, offset)
	if err != nil {
		return nil, err
	}
	t := &transfer{store: s, repo: repo, digest: d, info: c.Info()}
	t.at = min(offset, t.info.Size)
	return t, c.Close()
}

// transfer is a content of unheld.
type transfer struct {
	store  *unheld
	repo   oci.Repo
	digest oci.Digest
	info   oci.BlobInfo
	at     int64 // bytes
	read   int64 // bytes read in all
}

// Info implements oci.Content.
func (t *transfer) Info() oci.BlobInfo { return t.info }

// Close implements io.Closer; nothing is open.
func (t *transfer) Close() error { return nil }

// Seek implements io.Seeker.
func (t *transfer) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += t.at
	case io.SeekEnd:
		offset += t.info.Size
	}
	if offset < 0 {
		return t.at, errors.New("seek in a blob: negative offset")
	}
	t.at = offset
	return offset, nil
}

// pauseFrom is how many bytes a transfer reads before it keeps the pauses:
// manifests and other small content never wait.
const pauseFrom = 4 << 20

// Read implements io.Reader. It fails with ErrUnavailable when the medium has
// gone, or has another blob there than when the content was opened.
func (t *transfer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if t.at >= t.info.Size {
		return 0, io.EOF
	}
	if t.read >= pauseFrom {
		t.store.pause()
	}
	// The content outlives the request's context only by this one read.
	c, err := t.store.Store.OpenBlob(context.Background(), t.repo, t.digest, t.at)
	if errors.Is(err, oci.ErrBlobUnknown) || err == nil && !sameInfo(c.Info(), t.info) {
		if c != nil {
			err = c.Close()
		}
		return 0, errors.Join(oci.Errorf(oci.ErrUnavailable, "the medium of %q was removed or changed during the transfer", t.repo), err)
	}
	if err != nil {
		return 0, err
	}
	n, err := c.Read(p[:min(int64(len(p)), t.info.Size-t.at)])
	t.at += int64(n)
	t.read += int64(n)
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = fmt.Errorf("read a blob of %q: %w", t.repo, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

func sameInfo(a, b oci.BlobInfo) bool { return a.Size == b.Size && a.Modified.Equal(b.Modified) }

const (
	// quietEvery and quietFor: of each 1.2 s, the last 150 ms see no long
	// transfer read. umount(8) fails while any file is open at that instant,
	// and a slow medium under load would hardly know another one.
	quietEvery = 1200 * time.Millisecond
	quietFor   = 150 * time.Millisecond
)

// quiet returns a function that waits while a pause lasts.
func quiet() func() {
	start := time.Now()
	return func() {
		if wait := quietWait(time.Since(start)); wait > 0 {
			time.Sleep(wait)
		}
	}
}

// quietWait tells how long a read at a time after the start has to wait.
func quietWait(since time.Duration) time.Duration {
	if left := quietEvery - since%quietEvery; left <= quietFor {
		return left
	}
	return 0
}
