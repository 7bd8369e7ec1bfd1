package subpath

import (
	"context"
	"errors"
	"fmt"
	"io"

	"berth/oci"
)

// ForeignLinker is what a store may also be: it makes a blob appear in a
// repository of its own by a link to content that another store has open, of
// which it may find out more than oci.Content tells, such as its file. The
// content is the caller's to close. An error that wraps errors.ErrUnsupported
// says that no link can be made (another file system, a content without a
// file); then the blob is copied.
type ForeignLinker interface {
	LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error
}

// LinkBlob implements oci.Blobs. Within one store it is that store's. From
// one store to another it links where the second can, and otherwise copies,
// which takes as long as reading the blob does.
func (r *Router) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	t := r.table.Load()
	source, sourceName := t.route(from)
	target, targetName := t.route(to)
	if source.store == target.store {
		return target.store.LinkBlob(ctx, sourceName, targetName, d)
	}
	content, err := source.store.OpenBlob(ctx, sourceName, d, 0)
	if errors.Is(err, oci.ErrUnavailable) {
		return fmt.Errorf("%w: %w", oci.ErrBlobUnknown, err)
	}
	if err != nil {
		return err
	}
	defer content.Close()
	if linker, ok := target.store.(ForeignLinker); ok {
		err := linker.LinkFrom(ctx, targetName, d, content)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return copyBlob(ctx, content, target.store, targetName, d)
}

// copyBlob uploads content into a repository. The store checks it against d:
// what is corrupt in one store never enters another. On failure nothing is
// left.
func copyBlob(ctx context.Context, content oci.Content, store oci.Store, repo oci.Repo, d oci.Digest) error {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("copy %s to %q: %w", d, repo, err)
	}
	id, err := store.CreateUpload(ctx, repo, d.Algorithm())
	if err != nil {
		return err
	}
	body := &body{r: content, left: content.Info().Size}
	if _, err = store.FinishUpload(ctx, repo, id, d, 0, body); err == nil {
		return nil
	}
	cancelled := store.CancelUpload(context.WithoutCancel(ctx), repo, id)
	if errors.Is(cancelled, oci.ErrUploadUnknown) {
		cancelled = nil
	}
	if errors.Is(err, oci.ErrDigestInvalid) {
		// Seen from the client, the repository it named does not hold the blob.
		err = fmt.Errorf("%w: its bytes in the other repository are not those of %s", oci.ErrBlobUnknown, d)
	}
	return errors.Join(err, cancelled)
}

// body is a content as an upload's body.
type body struct {
	r    io.Reader
	left int64 // bytes to come
}

var _ oci.Remaining = (*body)(nil)

// Remaining implements oci.Remaining.
func (b *body) Remaining() int64 { return b.left }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
