package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"berth/oci"
	"berth/s3lite"
)

// place is where content lies: an object of its size, with an ETag where it is
// known.
type place struct {
	key  string
	size int64
	etag string
}

// contentState is what there is of shared content.
type contentState struct {
	present, condemned bool
}

// usable tells whether a new reference may rely on the content.
func (c contentState) usable() bool { return c.present && !c.condemned }

// contentState asks for shared content and its mark with one list.
func (s *Store) contentState(ctx context.Context, d oci.Digest) (contentState, error) {
	page, err := s.client.ListObjects(ctx, s3lite.ListOptions{Prefix: s.keys.content(d), Max: 2})
	var state contentState
	for _, o := range page.Objects {
		switch o.Key {
		case s.keys.content(d):
			state.present = o.Size > 0
		case s.keys.condemned(d):
			state.condemned = o.Size > 0
		}
	}
	return state, asStored(err)
}

// shares tells whether content of a size is shared between repositories.
func (s *Store) shares(size int64) bool { return s.opts.Dedupe && size > smallBlob }

// give makes content that lies at a place a blob of a repository.
func (s *Store) give(ctx context.Context, to oci.Repo, d oci.Digest, source place) error {
	own := func(ctx context.Context) error { return s.copy(ctx, source, s.keys.blob(to, d)) }
	if !s.shares(source.size) {
		s.refs.drop(blobID{to, d})
		return own(ctx)
	}
	var looked time.Time
	if source.key != s.keys.content(d) {
		looked = s.opts.Now()
		state, err := s.contentState(ctx, d)
		switch {
		case err != nil:
			return err
		case state.condemned:
			return own(ctx)
		case !state.present:
			if err := s.copy(ctx, source, s.keys.content(d)); err != nil {
				return err
			}
		}
	}
	return s.refer(ctx, to, d, source.size, looked, own)
}

// lookAgain is how long it may be since content was looked at when a reference to
// it is made. A mark that came since is so young then that nothing is deleted
// before the reference has come, however late that is.
const lookAgain = 10 * time.Minute

// refer gives a repository a reference to shared content, and looks then
// whether it can rely on it: who deletes content marks it first and looks for
// references after that, so one of the two sees the other. own makes an object
// of the repository's own instead. looked is when the content was last seen to
// be usable, or to be none. Errors: ErrUnavailable where there is neither any
// more.
//
// It looks before, too: else a process that dies after the reference, or a
// request that is carried out late, could leave a reference where content is
// just being deleted, or in the place of the repository's own object.
func (s *Store) refer(ctx context.Context, repo oci.Repo, d oci.Digest, size int64, looked time.Time, own func(context.Context) error) error {
	gone := func(err error) error {
		return missing(err, oci.Errorf(oci.ErrUnavailable, "%s was being deleted from repository %s's store; push it again", d, repo))
	}
	if s.opts.Now().Sub(looked) >= lookAgain {
		state, err := s.contentState(ctx, d)
		if err != nil {
			return err
		}
		if !state.usable() {
			s.refs.drop(blobID{repo, d})
			return gone(own(ctx))
		}
	}
	etag, err := s.putReference(ctx, repo, d, size)
	if err != nil {
		return err
	}
	state, err := s.contentState(ctx, d)
	if err != nil {
		return err
	}
	if state.usable() {
		s.refs.put(blobID{repo, d}, holding{size: size, modified: s.opts.Now(), shared: true})
		return nil
	}
	s.refs.drop(blobID{repo, d})
	if err := own(ctx); err != nil {
		after, cancel := afterwards(ctx)
		defer cancel()
		return errors.Join(gone(err), s.withdraw(after, repo, d, etag))
	}
	return nil
}

func (s *Store) putReference(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) (etag string, err error) {
	metadata := map[string]string{
		metaContent: strings.TrimPrefix(s.keys.content(d), s.keys.root),
		metaSize:    strconv.FormatInt(size, 10),
	}
	etag, err = s.client.PutObject(ctx, s.keys.blob(repo, d), s3lite.Bytes(nil), s3lite.PutOptions{Metadata: metadata})
	return etag, asStored(err)
}

// withdraw takes back a reference to content that is gone, where it is still one:
// what another process has put in its place stays. It becomes an object of no
// bytes that refers to nothing, and so stands for the content from when that
// comes again, as another's reference would (foreign.go). A DELETE could come
// late, and meet what somebody has pushed since.
func (s *Store) withdraw(ctx context.Context, repo oci.Repo, d oci.Digest, etag string) error {
	state, err := s.contentState(ctx, d)
	if err != nil || state.present {
		return err
	}
	_, err = s.swapBytes(ctx, s.keys.blob(repo, d), etag, nil)
	if errors.Is(err, errStale) {
		err = nil
	}
	s.arrived(d)
	return err
}

// copy has the bucket copy an object, in parts where it is large.
func (s *Store) copy(ctx context.Context, from place, to string) error {
	if from.size > s.opts.CopyThreshold {
		return s.copyParts(ctx, from, to)
	}
	_, err := s.client.CopyObject(ctx, from.key, to, s3lite.CopyOptions{IfSourceMatch: from.etag, Replace: &s3lite.PutOptions{}})
	return asStored(err)
}

func (s *Store) copyParts(ctx context.Context, from place, to string) error {
	upload, err := s.client.CreateMultipartUpload(ctx, to, s3lite.PutOptions{})
	if err != nil {
		return asStored(err)
	}
	over, err := s.noteCopy(ctx, upload)
	if err != nil {
		s.abort(ctx, upload)
		return err
	}
	defer over(ctx)
	chunk := max(s.opts.CopyChunkSize, (from.size+s3lite.MaxParts-1)/s3lite.MaxParts)
	parts := make([]s3lite.Part, (from.size+chunk-1)/chunk)
	err = parallel(ctx, s.opts.CopyConcurrency, len(parts), func(ctx context.Context, i int) (err error) {
		offset := int64(i) * chunk
		r := &s3lite.Range{Offset: offset, Length: min(chunk, from.size-offset)}
		parts[i], err = s.client.UploadPartCopy(ctx, upload, i+1, from.key, r, from.etag)
		return err
	})
	if err == nil {
		err = s.complete(ctx, upload, parts, from.size)
	}
	if err != nil {
		s.abort(ctx, upload)
	}
	return asStored(err)
}

// complete makes an object of parts. Where an attempt was made before, or its
// answer was lost, the object is looked for. Errors: s3lite.ErrNoSuchUpload.
func (s *Store) complete(ctx context.Context, upload s3lite.Upload, parts []s3lite.Part, size int64) error {
	_, err := s.client.CompleteMultipartUpload(ctx, upload, parts, s3lite.PutOptions{})
	if !errors.Is(err, s3lite.ErrNoSuchUpload) && !errors.Is(err, s3lite.ErrOutcomeUnknown) {
		return err
	}
	info, headErr := s.client.HeadObject(ctx, upload.Key, s3lite.GetOptions{})
	if headErr == nil && info.Size == size {
		return nil
	}
	return err
}

// abort ends a multipart upload, whatever became of the request. What cannot be
// aborted now RemoveLeftovers finds.
func (s *Store) abort(ctx context.Context, upload s3lite.Upload) {
	after, cancel := afterwards(ctx)
	defer cancel()
	if err := s.client.AbortMultipartUpload(after, upload); err != nil {
		s.opts.Log.Warn("parts of an upload could not be removed", "key", upload.Key, "error", err)
	}
}
