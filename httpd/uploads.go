package httpd

import (
	"context"
	"errors"
	"io"
	"net/http"

	"berth/oci"
)

// startUpload is end-4 and end-11.
func (s *Server) startUpload(ctx context.Context, c *call) error {
	r := &c.req
	if r.mount != "" && r.mountFrom {
		err := s.reg.Mount(ctx, r.repo, r.from, r.mount)
		if err == nil {
			c.created(r.repo, r.mount)
			return nil
		}
		if !errors.Is(err, oci.ErrBlobUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
			return err
		}
	}
	if r.digest != "" && (r.hasBody || isEmptyDigest(r.digest)) {
		return s.postBlob(ctx, c)
	}
	id, err := s.reg.StartUpload(ctx, r.repo, r.algorithm)
	if err != nil {
		return err
	}
	c.status = http.StatusAccepted
	c.describeUpload(id, 0)
	if s.opts.ChunkMinLength > 0 {
		c.set("OCI-Chunk-Min-Length", itoa(s.opts.ChunkMinLength))
	}
	return nil
}

// isEmptyDigest tells whether d is of no bytes at all. A POST that names any
// other digest and has no body wants to send the content by a PUT.
func isEmptyDigest(d oci.Digest) bool { return d.Algorithm().FromBytes(nil) == d }

// postBlob is end-4b.
func (s *Server) postBlob(ctx context.Context, c *call) error {
	if err := s.uploads.enter(ctx, 1); err != nil {
		return err
	}
	defer s.uploads.leave(1)
	r := &c.req
	if err := s.reg.PushBlob(ctx, r.repo, r.digest, c.body); err != nil {
		return err
	}
	c.created(r.repo, r.digest)
	return nil
}

// created answers that a blob is there now.
func (c *call) created(repo oci.Repo, d oci.Digest) {
	c.status = http.StatusCreated
	c.set("Location", blobPath(repo, d))
	c.set("Docker-Content-Digest", string(d))
}

// describeUpload sets the headers that tell a client where a session stands.
// For one that has nothing yet, Range cannot say so; 0-0 is what clients know.
func (c *call) describeUpload(id oci.UploadID, size int64) {
	c.set("Location", "/v2/"+string(c.req.repo)+"/blobs/uploads/"+string(id))
	c.set("Range", "0-"+itoa(max(0, size-1)))
	c.set("Docker-Upload-UUID", string(id))
}

// at is the offset that a chunk belongs at.
func (r *request) at() int64 {
	if r.hasChunk {
		return r.chunk.start
	}
	return oci.AtEnd
}

// patchUpload is end-5, chunked with Content-Range or streamed without.
func (s *Server) patchUpload(ctx context.Context, c *call) error {
	if err := s.uploads.enter(ctx, 1); err != nil {
		return err
	}
	defer s.uploads.leave(1)
	r := &c.req
	size, err := s.reg.AppendUpload(ctx, r.repo, r.upload, r.at(), r.checkChunk(c.body))
	if err != nil {
		return s.uploadFailed(ctx, c, err)
	}
	c.status = http.StatusAccepted
	c.describeUpload(r.upload, size)
	return nil
}

// putUpload is end-6, with or without a last chunk.
func (s *Server) putUpload(ctx context.Context, c *call) error {
	r := &c.req
	var last io.Reader
	if r.hasBody {
		if err := s.uploads.enter(ctx, 1); err != nil {
			return err
		}
		defer s.uploads.leave(1)
		last = r.checkChunk(c.body)
	}
	if _, err := s.reg.FinishUpload(ctx, r.repo, r.upload, r.digest, r.at(), last); err != nil {
		return s.uploadFailed(ctx, c, err)
	}
	c.created(r.repo, r.digest)
	return nil
}

// uploadFailed adds to a 416 where the session stands, so that the client can
// go on from there.
func (s *Server) uploadFailed(ctx context.Context, c *call, err error) error {
	if !errors.Is(err, oci.ErrRangeInvalid) {
		return err
	}
	info, statErr := s.reg.StatUpload(ctx, c.req.repo, c.req.upload)
	if statErr != nil {
		return err
	}
	c.fail(err)
	c.describeUpload(c.req.upload, info.Size)
	return nil
}

// getUpload is end-13.
func (s *Server) getUpload(ctx context.Context, c *call) error {
	info, err := s.reg.StatUpload(ctx, c.req.repo, c.req.upload)
	if err != nil {
		return err
	}
	c.status = http.StatusNoContent
	c.describeUpload(c.req.upload, info.Size)
	return nil
}

// cancelUpload is end-14.
func (s *Server) cancelUpload(ctx context.Context, c *call) error {
	if err := s.reg.CancelUpload(ctx, c.req.repo, c.req.upload); err != nil {
		return err
	}
	c.status = http.StatusNoContent
	return nil
}
