package fsstore

import (
	"context"
	"errors"
	"io"
	"os"

	"berth/fsstore/durable"
	"berth/oci"
)

// LinkBlob is oci.Blobs.LinkBlob: a hard link, or a copy where the file system
// has none or blobs are to be stored apart.
func (s *Store) LinkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	err := s.linkBlob(ctx, from, to, d)
	if err == nil {
		s.arrived(ctx, to, d)
	}
	return s.lacking(from, d, err)
}

func (s *Store) linkBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	if err := s.journal.begin(); err != nil {
		return s.fail("mount a blob", to, err)
	}
	defer s.journal.end()
	info, err := s.statBlob(ctx, from, d)
	if err != nil || from == to {
		return err
	}
	if err := s.space.need(0); err != nil {
		return err
	}
	if !s.dedupe.on || s.dedupe.refused.Load() {
		return s.copyBlob(ctx, from, to, d)
	}
	if err := s.vouchFor(ctx, from, d, info); err != nil {
		return s.blobError("mount a blob", to, err)
	}
	err = s.publish(to, d, candidate{path: blobPath(from, d), size: info.Size, link: true})
	if durable.CannotLink(err) {
		s.cannotLink(err)
		s.forgetHolder(ctx, from, d)
		return s.copyBlob(ctx, from, to, d)
	}
	if err == nil {
		s.note(ctx, from, d)
		s.note(ctx, to, d)
	}
	return s.blobError("mount a blob", to, err)
}

// vouchFor sees to it that a blob may be linked to: what another program, or a
// process before this one, has written is read and made durable first, once.
// ErrBlobUnknown where it is not what its digest says.
func (s *Store) vouchFor(ctx context.Context, from oci.Repo, d oci.Digest, info durable.Info) error {
	if s.trusts(d, info) {
		return nil
	}
	c, err := s.openBlob(ctx, from, d)
	if err != nil {
		return err
	}
	defer c.Close()
	err = s.check(ctx, &loan{f: c.f, info: c.info, digest: d})
	if errors.Is(err, oci.ErrDigestInvalid) {
		if s.once("wrong " + string(from) + string(d)) {
			s.log.Error("a blob is not what its digest says: it is not mounted elsewhere", "repository", from, "digest", d)
		}
		return oci.ErrBlobUnknown
	}
	return err
}

// LinkFrom is a mount of a blob that another store has open, by a link to its
// file. It fails with errors.ErrUnsupported where no link can be made: on
// another file system, of a content that is no file of its own, and where
// blobs are to be stored apart.
func (s *Store) LinkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	err := s.linkFrom(ctx, to, d, from)
	if err == nil {
		s.arrived(ctx, to, d)
	}
	return err
}

func (s *Store) linkFrom(ctx context.Context, to oci.Repo, d oci.Digest, from oci.Content) error {
	c, ok := from.(interface{ File() (*os.File, int64) })
	if !ok || !s.dedupe.on {
		return errors.ErrUnsupported
	}
	f, base := c.File()
	if f == nil || base != 0 {
		return errors.ErrUnsupported
	}
	if err := s.journal.begin(); err != nil {
		return s.fail("mount a blob", to, err)
	}
	defer s.journal.end()
	if err := s.space.need(0); err != nil {
		return err
	}
	l, err := s.lend(d, func(tmp string) error { return s.fs.LinkFile(f, tmp) })
	if durable.CannotLink(err) || durable.IsMissing(err) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return s.fail("mount a blob", to, err)
	}
	defer s.giveBack(l)
	if l.info.Size != from.Info().Size || s.check(ctx, l) != nil {
		return errors.ErrUnsupported // a copy is checked as it is made
	}
	if err := s.publish(to, d, candidate{path: l.path, size: l.info.Size}); err != nil {
		return s.fail("mount a blob", to, err)
	}
	s.note(ctx, to, d)
	return nil
}

// copyBlob is LinkBlob by a copy, which is verified like an upload.
func (s *Store) copyBlob(ctx context.Context, from, to oci.Repo, d oci.Digest) error {
	source, err := s.OpenBlob(ctx, from, d, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	id, err := s.CreateUpload(ctx, to, d.Algorithm())
	if err != nil {
		return err
	}
	body := known{source, source.Info().Size}
	if _, err := s.finishUpload(ctx, to, id, d, 0, &body); err != nil {
		_ = s.CancelUpload(context.WithoutCancel(ctx), to, id)
		return err
	}
	return nil
}

// known is a reader of known length.
type known struct {
	io.Reader
	left int64
}

func (k *known) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	k.left -= int64(n)
	return n, err
}

// Remaining is oci.Remaining.
func (k *known) Remaining() int64 { return k.left }
