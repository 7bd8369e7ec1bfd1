package fsstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"hash"
	"io/fs"
	"syscall"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// loan is a second name, in the private directory, for a blob that the root
// holds already. It cannot vanish, and becomes the new blob by a rename.
type loan struct {
	path   string // "" when it is a blob's
	f      durable.File
	info   durable.Info
	digest oci.Digest
	// marks are those of the digest, where the content is known to be its;
	// trusted says that it is.
	marks   []mark
	trusted bool
	settled bool  // its content is durable
	since   int64 // from where on this process has compared it
}

// borrow finds a copy of a blob that may be linked to:
//
//	open(holder), link(holder, tmp), open(tmp), fstat
//
// size is the blob's, or less than 0 where that is not known. Nil where there
// is none: then the blob is stored apart. Whether the content is right is for
// the caller to see, by check or otherwise.
func (s *Store) borrow(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) *loan {
	if !s.dedupe.on {
		return nil
	}
	for _, holder := range s.holders(ctx, repo, d) {
		if s.dedupe.refused.Load() || ctx.Err() != nil {
			return nil
		}
		l, lie := s.borrowFrom(ctx, holder, d, size)
		if l != nil {
			return l
		}
		if lie && holder != repo {
			s.forgetHolder(ctx, holder, d)
		}
	}
	return nil
}

// borrowFrom borrows from one repository. lie tells that it is no holder, or
// none that can be linked to.
func (s *Store) borrowFrom(ctx context.Context, holder oci.Repo, d oci.Digest, size int64) (l *loan, lie bool) {
	info, err := s.holderInfo(ctx, holder, d)
	if err != nil || size >= 0 && info.Size != size {
		return nil, err == nil || errors.Is(err, oci.ErrBlobUnknown) || durable.IsMissing(err)
	}
	l, err = s.lend(d, func(tmp string) error { return s.fs.Link(blobPath(holder, d), tmp) })
	if durable.CannotLink(err) {
		s.cannotLink(err)
		return nil, true
	}
	if err != nil {
		return nil, durable.IsMissing(err)
	}
	if l.info.Device != info.Device || l.info.Inode != info.Inode || l.info.Size != info.Size {
		s.giveBack(l) // it was replaced meanwhile
		return nil, false
	}
	if l.trusted = s.trusts(d, l.info); l.trusted {
		l.marks = s.dedupe.marks.of(d)
	}
	return l, false
}

// holderInfo describes a repository's blob, which must be a file of its own:
// what a symbolic link leads to is not the root's.
func (s *Store) holderInfo(ctx context.Context, holder oci.Repo, d oci.Digest) (durable.Info, error) {
	if err := s.served(holder, oci.ErrBlobUnknown); err != nil {
		return durable.Info{}, err
	}
	info, err := s.fs.Lstat(blobPath(holder, d))
	if err == nil && (info.Kind != durable.Regular || s.quarantine.isCondemned(info)) {
		err = oci.ErrBlobUnknown
	}
	if err == nil && s.suspects.doubts(info) {
		info, err = s.statBlob(ctx, holder, d)
	}
	return info, err
}

// lend makes a loan by a link to a temporary name.
func (s *Store) lend(d oci.Digest, link func(tmp string) error) (*loan, error) {
	l := &loan{path: s.tmpPath(), digest: d}
	err := link(l.path)
	if err == nil {
		l.f, err = s.fs.Open(l.path)
	}
	if err == nil {
		l.info, err = l.f.Stat()
	}
	if err == nil {
		err = s.usable(l)
	}
	if err != nil {
		s.giveBack(l) // a call that failed may have been carried out
		return nil, err
	}
	return l, nil
}

// giveBack removes a loan's name; where the loan became a blob, there is none.
func (s *Store) giveBack(l *loan) {
	if l == nil {
		return
	}
	if l.path != "" {
		_ = s.fs.Remove(l.path)
	}
	if l.f != nil {
		l.f.Close()
	}
}

// check is verify, and makes the content as durable as it must be.
func (s *Store) check(ctx context.Context, l *loan) error {
	if err := s.verify(ctx, l); err != nil {
		return err
	}
	return s.vouch(l)
}

// verify reads a loan whose content is not known to be right. ErrDigestInvalid
// where it is not.
func (s *Store) verify(ctx context.Context, l *loan) error {
	if s.trusts(l.digest, l.info) {
		return nil
	}
	h := l.digest.Algorithm().Hash()
	if err := s.hashFile(ctx, h, l.f, l.info.Size); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != l.digest.Encoded() {
		return oci.Errorf(oci.ErrDigestInvalid, "the stored content has digest %s:%s, not %s", l.digest.Algorithm(), got, l.digest)
	}
	return nil
}

// prove is vouch for a loan that was found equal to what arrived, which has the
// loan's digest; where an earlier process compared a part, it is read again.
func (s *Store) prove(ctx context.Context, l *loan) error {
	if l.since > 0 {
		return s.check(ctx, l)
	}
	return s.vouch(l)
}

// vouch makes durable a loan whose content was found right, so that it can
// stand for what was answered; another program may have written it just now.
func (s *Store) vouch(l *loan) error {
	if err := s.usable(l); err != nil {
		return err
	}
	if s.trusts(l.digest, l.info) {
		return nil
	}
	if err := s.settleFile(l.f, l.info); err != nil {
		return err
	}
	s.trust(l.digest, l.info)
	return nil
}

// writtenBack is after how long the kernel has written a file out by itself,
// with a wide margin.
const writtenBack = 10 * time.Minute

// settleFile makes a file's content durable that any program may have written.
func (s *Store) settleFile(f durable.File, info durable.Info) error {
	if info.Changed < s.opened-int64(writtenBack) {
		return nil
	}
	return f.Sync()
}

// borrowChecked is borrow of a copy that is known to be right.
func (s *Store) borrowChecked(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) *loan {
	l := s.borrow(ctx, repo, d, size)
	if l == nil {
		return nil
	}
	if err := s.check(ctx, l); err != nil {
		s.log.Warn("a blob is stored apart, since the copy that is there cannot be used", "repository", repo, "digest", d, "error", err)
		s.giveBack(l)
		return nil
	}
	return l
}

// usable fails where a loan was found damaged since it was made: its blob is
// missing.
func (s *Store) usable(l *loan) error {
	if s.quarantine.isCondemned(l.info) {
		return &fs.PathError{Op: "link", Path: string(l.digest), Err: syscall.ENOENT}
	}
	return nil
}

// takes reports whether bytes that arrived are the loan's at the session's end,
// and then counts them as arrived. Where the hash of the loan's content up to
// their end is known, that tells it; else they are compared.
func (s *Store) takes(one *session, p []byte) (bool, error) {
	l, before := one.loan, one.size.Load()
	after := before + int64(len(p))
	if after > l.info.Size {
		return false, nil
	}
	if !l.tells(one.algorithm, after) {
		same := s.equals(l, before, p)
		if same {
			one.absorb(p)
		}
		return same, nil
	}
	at, err := one.mark()
	if err != nil {
		return false, err
	}
	one.absorb(p)
	if l.begins(one.hash, after) {
		return true, nil
	}
	return false, one.rewind(at)
}

// tells reports whether the hash of the loan's first n bytes is known.
func (l *loan) tells(a oci.Algorithm, n int64) bool {
	return l.trusted && a == l.digest.Algorithm() && (n == l.info.Size || n%stride == 0 && n/stride <= int64(len(l.marks)))
}

// begins reports whether h is the hash of the loan's first n bytes, which is
// known.
func (l *loan) begins(h hash.Hash, n int64) bool {
	if n == l.info.Size {
		return hex.EncodeToString(h.Sum(nil)) == l.digest.Encoded()
	}
	return markOf(h) == l.marks[n/stride-1]
}

// equals compares a loan's content at an offset.
func (s *Store) equals(l *loan, off int64, p []byte) bool {
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	for len(p) > 0 {
		part := (*buffer)[:min(len(p), len(*buffer))]
		n, err := l.f.ReadAt(part, off)
		if err != nil || !bytes.Equal(part[:n], p[:n]) || n == 0 {
			return false
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}
