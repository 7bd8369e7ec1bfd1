package fsstore

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"berth/fsstore/durable"
	"berth/oci"
)

// StatBlob is oci.Blobs.StatBlob.
func (s *Store) StatBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (oci.BlobInfo, error) {
	info, err := s.statBlob(ctx, repo, d)
	if err != nil {
		if errors.Is(err, oci.ErrBlobUnknown) {
			s.missed(repo, d)
		}
		return oci.BlobInfo{}, s.lacking(repo, d, err)
	}
	return s.blobInfo(info), nil
}

// lacking tells the log where a blob is unknown since it was damaged.
func (s *Store) lacking(repo oci.Repo, d oci.Digest, err error) error {
	if s.quarantine.has(d) && errors.Is(err, oci.ErrBlobUnknown) && s.once("lacking "+string(repo)+string(d)) {
		s.log.Warn("a blob is not served, since it was damaged: it has to be pushed again", "repository", repo, "digest", d)
	}
	return err
}

func (s *Store) statBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (durable.Info, error) {
	if err := s.readable(repo, d); err != nil {
		return durable.Info{}, err
	}
	info, err := s.fs.Stat(blobPath(repo, d))
	if err != nil {
		return durable.Info{}, s.blobError("look for a blob", repo, err)
	}
	if info.Kind != durable.Regular || s.quarantine.isCondemned(info) {
		return durable.Info{}, oci.ErrBlobUnknown
	}
	if s.suspects.doubts(info) {
		f, err := s.openBlob(ctx, repo, d)
		if err != nil {
			return durable.Info{}, err
		}
		f.Close()
	}
	return info, nil
}

// OpenBlob is oci.Blobs.OpenBlob.
func (s *Store) OpenBlob(ctx context.Context, repo oci.Repo, d oci.Digest, offset int64) (oci.Content, error) {
	if err := s.readable(repo, d); err != nil {
		return nil, err
	}
	c, err := s.openBlob(ctx, repo, d)
	if err != nil {
		return nil, s.lacking(repo, d, err)
	}
	c.at = min(max(offset, 0), c.info.Size)
	return c, nil
}

// readable fails where a blob is not to be served whatever its file says.
func (s *Store) readable(repo oci.Repo, d oci.Digest) error {
	if err := s.served(repo, oci.ErrBlobUnknown); err != nil {
		return err
	}
	if key := (blobKey{repo, d}); s.commit && s.pending.wait(key) {
		return s.blobError("make a blob durable", repo, s.settleDoubtful(key))
	}
	return nil
}

// settleDoubtful makes a blob durable before anybody sees it whose publication
// failed halfway.
func (s *Store) settleDoubtful(key blobKey) error {
	if s.readOnly {
		return nil
	}
	s.pending.enter(key)
	defer s.pending.leave(key)
	err := s.syncExisting(key.repo, key.digest)
	if err == nil || durable.IsMissing(err) {
		s.pending.trust(key)
	}
	return err
}

func (s *Store) openBlob(ctx context.Context, repo oci.Repo, d oci.Digest) (*content, error) {
	f, err := s.fs.Open(blobPath(repo, d))
	if err != nil {
		return nil, s.blobError("open a blob", repo, err)
	}
	info, err := f.Stat()
	if err == nil && (info.Kind != durable.Regular || s.quarantine.isCondemned(info)) {
		err = oci.ErrBlobUnknown
	}
	if err == nil && s.suspects.doubts(info) {
		err = s.examine(ctx, repo, d, f)
	}
	if err != nil {
		f.Close()
		return nil, s.blobError("open a blob", repo, err)
	}
	return &content{s: s, f: f, info: info}, nil
}

func (s *Store) blobError(doing string, repo oci.Repo, err error) error {
	if durable.IsMissing(err) {
		return oci.ErrBlobUnknown
	}
	return s.fail(doing, repo, err)
}

// blobInfo leaves out the number of a copy that lies on another file system,
// by a symbolic link: such numbers are not comparable.
func (s *Store) blobInfo(info durable.Info) oci.BlobInfo {
	b := oci.BlobInfo{Size: info.Size, Modified: time.Unix(0, info.Changed), Links: info.Links}
	if info.Device == s.device {
		b.Copy = info.Inode
	}
	return b
}

// content is an open blob.
type content struct {
	s    *Store
	f    durable.File
	info durable.Info
	at   int64
}

var _ oci.Content = (*content)(nil)

// File returns the blob's file for sendfile(2), and where in it the content
// begins, which is 0 here, wherever it was opened; nil where the operating
// system has no such file. The content stays the owner.
func (c *content) File() (f *os.File, base int64) {
	if f, ok := c.f.(durable.OSFile); ok {
		return f.OS(), 0
	}
	return nil, 0
}

func (c *content) Info() oci.BlobInfo { return c.s.blobInfo(c.info) }

func (c *content) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.f.ReadAt(p, c.at)
	c.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

var errSeek = errors.New("seek before the beginning of a blob")

// Seek counts from the blob's beginning, wherever it was opened.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.info.Size
	}
	if offset < 0 {
		return c.at, errSeek
	}
	c.at = offset
	return offset, nil
}

func (c *content) Close() error { return c.f.Close() }

// PutBlob is oci.Blobs.PutBlob:
//
//	stat; open(tmp), pwrite, [fdatasync], close; publish
//
// Where another repository holds the blob, a link to that is published.
func (s *Store) PutBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	err := s.putBlob(ctx, repo, d, content)
	if err == nil {
		s.arrived(ctx, repo, d)
	}
	return err
}

func (s *Store) putBlob(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	if err := s.journal.begin(); err != nil {
		return s.fail("store a blob", repo, err)
	}
	defer s.journal.end()
	size := int64(len(content))
	if there, err := s.hasBlob(ctx, repo, d, size); there || err != nil {
		return err
	}
	if err := s.space.need(0); err != nil {
		return err
	}
	defer s.enterDigest(d)()
	err := s.putLoan(ctx, repo, d, content)
	if errors.Is(err, errNoLoan) {
		err = s.putCopy(repo, d, content)
	}
	if err != nil {
		return s.fail("store a blob", repo, err)
	}
	s.note(ctx, repo, d)
	return nil
}

// errNoLoan: there is no copy that could be linked to.
var errNoLoan = errors.New("no copy to link to")

// putLoan is PutBlob by a link to a copy that has the same bytes.
func (s *Store) putLoan(ctx context.Context, repo oci.Repo, d oci.Digest, content []byte) error {
	l := s.borrow(ctx, repo, d, int64(len(content)))
	if l == nil {
		return errNoLoan
	}
	defer s.giveBack(l)
	if !s.equals(l, 0, content) || s.vouch(l) != nil {
		return errNoLoan
	}
	return s.publish(repo, d, candidate{path: l.path, size: l.info.Size})
}

// putCopy is PutBlob by a file of its own.
func (s *Store) putCopy(repo oci.Repo, d oci.Digest, content []byte) error {
	size := int64(len(content))
	if err := s.space.need(size); err != nil {
		return err
	}
	tmp := s.tmpPath()
	info, err := s.writeBlob(tmp, content)
	if err != nil {
		return err
	}
	s.space.spend(size)
	if err := s.publish(repo, d, candidate{path: tmp, size: size}); err != nil {
		_ = s.fs.Remove(tmp)
		return err
	}
	s.trust(d, info)
	return nil
}

// writeBlob is durable.WriteTemp, and describes the file where that is needed.
func (s *Store) writeBlob(tmp string, content []byte) (info durable.Info, err error) {
	err = durable.WriteTemp(s.fs, tmp, content, s.commit)
	if err == nil && s.dedupe.on {
		if info, err = s.fs.Lstat(tmp); err != nil {
			_ = s.fs.Remove(tmp)
		}
	}
	return info, err
}

// hasBlob reports whether the blob is there, durably where that matters.
func (s *Store) hasBlob(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) (bool, error) {
	info, err := s.statBlob(ctx, repo, d)
	if err != nil || info.Size != size {
		return false, nil // to write it is the answer to every doubt
	}
	if !s.commit {
		return true, nil
	}
	key := blobKey{repo, d}
	s.pending.enter(key)
	defer s.pending.leave(key)
	err = s.syncExisting(repo, d)
	if durable.IsMissing(err) { // deleted meanwhile
		return false, nil
	}
	return err == nil, s.fail("make a blob durable", repo, err)
}

// DeleteBlob is oci.Blobs.DeleteBlob: unlink, [fsync(directory)]. It writes
// nothing, so that it works on a full medium.
func (s *Store) DeleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return s.deleteBlob(ctx, repo, d, s.commit)
}

// DiscardBlob is oci.Discarder.DiscardBlob: unlink.
func (s *Store) DiscardBlob(ctx context.Context, repo oci.Repo, d oci.Digest) error {
	return s.deleteBlob(ctx, repo, d, false)
}

func (s *Store) deleteBlob(ctx context.Context, repo oci.Repo, d oci.Digest, durably bool) error {
	if s.readOnly {
		return oci.ErrReadOnly
	}
	if err := s.served(repo, oci.ErrBlobUnknown); err != nil {
		return err
	}
	// The directory has to be there until it is durable that the blob is not.
	lock := s.removalLock(repo)
	lock.RLock()
	defer lock.RUnlock()
	key := blobKey{repo, d}
	s.pending.enter(key)
	defer s.pending.leave(key)
	if err := s.fs.Remove(blobPath(repo, d)); err != nil {
		return s.blobError("delete a blob", repo, err)
	}
	s.forgetHolder(ctx, repo, d)
	s.pending.trust(key)
	if !durably {
		if !s.commit {
			s.journal.loosen()
		}
		return nil
	}
	return s.fail("delete a blob", repo, s.dirs.Sync(s.fs, algorithmDir(repo, d.Algorithm())))
}

// WalkBlobs is oci.Blobs.WalkBlobs.
func (s *Store) WalkBlobs(ctx context.Context, repo oci.Repo, fn func(oci.Digest, oci.BlobInfo) error) error {
	return s.eachBlob(ctx, repo, s.fs.Stat, func(d oci.Digest, info durable.Info) error {
		return fn(d, s.blobInfo(info))
	})
}

// eachBlob lists the blobs of a repository that are regular files by stat.
func (s *Store) eachBlob(ctx context.Context, repo oci.Repo, stat func(string) (durable.Info, error), fn func(oci.Digest, durable.Info) error) error {
	if err := s.served(repo, oci.ErrNameUnknown); err != nil {
		return err
	}
	for _, algorithm := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		dir := algorithmDir(repo, algorithm)
		err := s.fs.ReadDir(dir, func(name string, _ durable.Kind) error {
			d, err := oci.ParseDigest(string(algorithm) + ":" + name)
			if err != nil {
				return nil // no blob of ours
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			info, err := stat(dir + "/" + name)
			if durable.IsMissing(err) || err == nil && info.Kind != durable.Regular {
				return nil
			}
			if err != nil {
				return s.fail("look at a blob", repo, err)
			}
			return fn(d, info)
		})
		if err != nil && !durable.IsMissing(err) {
			return err
		}
	}
	return nil
}
