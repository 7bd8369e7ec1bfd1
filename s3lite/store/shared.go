package store

import (
	"context"
	"errors"
	"strconv"
	"strings"

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
	if source.key != s.keys.content(d) {
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
	return s.refer(ctx, to, d, source.size, own)
}

// refer gives a repository a reference to shared content, and looks then
// whether it can rely on it: who deletes content marks it first and looks for
// references after that, so one of the two sees the other. own makes an object
// of the repository's own instead. Errors: ErrUnavailable where there is neither
// any more.
func (s *Store) refer(ctx context.Context, repo oci.Repo, d oci.Digest, size int64, own func(context.Context) error) error {
	if err := s.putReference(ctx, repo, d, size); err != nil {
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
		return errors.Join(missing(err, oci.Errorf(oci.ErrUnavailable, "%s was being deleted from repository %s's store; push it again", d, repo)),
			s.withdraw(after, repo, d, size))
	}
	return nil
}

func (s *Store) putReference(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) error {
	metadata := map[string]string{
		metaContent: strings.TrimPrefix(s.keys.content(d), s.keys.root),
		metaSize:    strconv.FormatInt(size, 10),
	}
	_, err := s.client.PutObject(ctx, s.keys.blob(repo, d), s3lite.Bytes(nil), s3lite.PutOptions{Metadata: metadata})
	return asStored(err)
}

// withdraw takes back a reference to content that is gone. Where the content is
// there, somebody may rely on the reference: it stays, and comes back where the
// content came meanwhile.
func (s *Store) withdraw(ctx context.Context, repo oci.Repo, d oci.Digest, size int64) error {
	state, err := s.contentState(ctx, d)
	if err != nil || state.present {
		return err
	}
	if err := s.client.DeleteObject(ctx, s.keys.blob(repo, d), ""); err != nil {
		return asStored(err)
	}
	state, err = s.contentState(ctx, d)
	if err != nil || !state.present {
		return err
	}
	return s.putReference(ctx, repo, d, size)
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
