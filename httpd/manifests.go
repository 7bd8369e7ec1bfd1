package httpd

import (
	"context"
	"io"
	"net/http"

	"berth/oci"
	"berth/oci/registry"
)

// getManifest is end-3, GET and HEAD. The stored bytes are the answer whatever
// Accept says: a registry converts nothing, an answer of another type than asked
// for is allowed (RFC 9110, section 12.4.1), and clients exist that ask for less
// than they understand.
func (s *Server) getManifest(ctx context.Context, c *call) error {
	r := &c.req
	m, err := s.reg.Manifest(ctx, r.repo, r.ref)
	if err != nil {
		return err
	}
	if done, err := c.condition(m.Digest); done || err != nil {
		return err
	}
	c.typ = m.MediaType
	c.set("Docker-Content-Digest", string(m.Digest))
	c.set("ETag", `"`+string(m.Digest)+`"`)
	if r.ref.Digest != "" {
		c.set("Cache-Control", immutable)
	} else {
		c.set("Cache-Control", "no-cache")
	}
	c.content = m.Content
	return nil
}

// putManifest is end-7.
func (s *Server) putManifest(ctx context.Context, c *call) error {
	content, release, err := s.readManifest(ctx, c)
	if err != nil {
		return err
	}
	defer release()
	r := &c.req
	pushed, err := s.reg.PushManifest(ctx, r.repo, registry.ManifestPush{
		Ref: r.ref, Tags: r.query.tags, MediaType: r.mediaType, Content: content,
		IfMatch: r.ifMatch, IfNoneMatch: r.ifNoneMatch,
	})
	if err != nil {
		return err
	}
	c.status = http.StatusCreated
	c.set("Location", "/v2/"+string(r.repo)+"/manifests/"+r.ref.String())
	c.set("Docker-Content-Digest", string(pushed.Digest))
	c.set("ETag", `"`+string(pushed.Digest)+`"`)
	if pushed.Subject != "" {
		c.set("OCI-Subject", string(pushed.Subject))
	}
	for _, t := range pushed.Tags {
		c.set("OCI-Tag", string(t))
	}
	return nil
}

// readManifest reads the body of a push, which is held in memory: all of them
// together are bounded by the server's gate for manifests. release gives the
// room back.
func (s *Server) readManifest(ctx context.Context, c *call) (content []byte, release func(), err error) {
	limit := s.reg.MaxManifestSize()
	if c.req.length > limit {
		return nil, nil, manifestTooLarge(limit)
	}
	room := c.req.length
	if room < 0 {
		room = limit
	}
	if err := s.manifests.enter(ctx, room); err != nil {
		return nil, nil, err
	}
	release = func() { s.manifests.leave(room) }
	if c.req.length >= 0 {
		content = make([]byte, c.req.length)
		_, err = io.ReadFull(c.body, content)
	} else {
		content, err = io.ReadAll(io.LimitReader(c.body, limit+1))
	}
	if err == nil && int64(len(content)) > limit {
		err = manifestTooLarge(limit)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return content, release, nil
}

func manifestTooLarge(limit int64) error {
	return oci.Errorf(oci.ErrTooLarge, "manifests may have at most %d bytes", limit)
}

// deleteManifest is end-9.
func (s *Server) deleteManifest(ctx context.Context, c *call) error {
	r := &c.req
	if err := s.reg.DeleteManifest(ctx, r.repo, r.ref); err != nil {
		return err
	}
	c.status = http.StatusAccepted
	return nil
}
