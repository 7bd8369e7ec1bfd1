package httpd

import (
	"context"
	"net/http"
	"strconv"

	"berth/oci"
)

// immutable is the Cache-Control of content named by its digest: it never
// changes. A cache that keeps it may serve it after its deletion here.
const immutable = "max-age=31536000, immutable"

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func blobPath(repo oci.Repo, d oci.Digest) string {
	return "/v2/" + string(repo) + "/blobs/" + string(d)
}

// getBlob is end-2, GET and HEAD.
func (s *Server) getBlob(ctx context.Context, c *call) error {
	r := &c.req
	if c.isHead() || len(r.ifNoneMatch) > 0 || r.ifMatch != nil {
		return s.statBlob(ctx, c)
	}
	return s.openBlob(ctx, c)
}

// statBlob answers what needs no content: HEAD, and conditions that fail.
func (s *Server) statBlob(ctx context.Context, c *call) error {
	r := &c.req
	info, err := s.reg.StatBlob(ctx, r.repo, r.digest)
	if err != nil {
		return err
	}
	if done, err := c.condition(r.digest); done || err != nil {
		return err
	}
	if !c.isHead() {
		return s.openBlob(ctx, c)
	}
	c.describeBlob()
	c.length = info.Size
	return nil
}

// condition evaluates If-Match and If-None-Match against what is there, in
// RFC 9110's order (section 13.2.2). done means that a 304 is the answer.
func (c *call) condition(d oci.Digest) (done bool, err error) {
	r := &c.req
	if r.ifMatch != nil && !anyTag(r.ifMatch, string(d)) {
		return false, oci.Errorf(oci.ErrPrecondition, "If-Match does not name %s, which is what is here", d)
	}
	if r.ifNoneMatch != nil && anyTag(r.ifNoneMatch, string(d)) {
		c.status = http.StatusNotModified
		c.set("Docker-Content-Digest", string(d))
		c.set("ETag", `"`+string(d)+`"`)
		return true, nil
	}
	return false, nil
}

// describeBlob sets the headers of every answer with a blob.
func (c *call) describeBlob() {
	d := string(c.req.digest)
	c.typ = "application/octet-stream"
	c.set("Accept-Ranges", "bytes")
	c.set("Cache-Control", immutable)
	c.set("Docker-Content-Digest", d)
	c.set("ETag", `"`+d+`"`)
}

// openBlob answers with the blob or those parts of it that Range asks for.
func (s *Server) openBlob(ctx context.Context, c *call) error {
	r := &c.req
	if moved, err := s.redirectBlob(ctx, c); moved || err != nil {
		return err
	}
	offset, length := firstPart(r.rangeHeader)
	content, err := s.reg.OpenBlob(ctx, r.repo, r.digest, offset, length)
	if err != nil {
		return err
	}
	size := content.Info().Size
	c.payload = &payload{content: content}
	var spans []span
	if r.rangeHeader != "" {
		var ok bool
		if spans, ok = parseRange(r.rangeHeader, size); !ok {
			return s.notSatisfiable(c, size)
		}
	}
	c.describeBlob()
	switch len(spans) {
	case 0:
		c.payload.whole(span{0, size})
	case 1:
		c.status = http.StatusPartialContent
		c.set("Content-Range", contentRange(spans[0], size))
		c.payload.whole(spans[0])
	default:
		c.status = http.StatusPartialContent
		c.typ = c.payload.multipart(spans, size, c.typ, s.ids.boundary())
	}
	return nil
}

// redirectBlob answers with where the blob can be read, if the store wants it
// read there; the Range of the request is for whoever answers then. The answer
// is for this client and for now: it must not be kept.
func (s *Server) redirectBlob(ctx context.Context, c *call) (moved bool, err error) {
	r := &c.req
	url, err := s.reg.RedirectBlob(ctx, r.repo, r.digest)
	if err != nil || url == "" {
		return false, err
	}
	c.status = http.StatusTemporaryRedirect
	c.set("Location", url)
	c.set("Docker-Content-Digest", string(r.digest))
	c.set("Cache-Control", "no-store")
	return true, nil
}

// contentRange is the value of a Content-Range header in an answer.
func contentRange(sp span, size int64) string {
	return "bytes " + itoa(sp.start) + "-" + itoa(sp.end-1) + "/" + itoa(size)
}

// notSatisfiable answers a Range that holds nothing of the blob.
func (s *Server) notSatisfiable(c *call, size int64) error {
	c.fail(&failure{
		status: http.StatusRequestedRangeNotSatisfiable, code: "SIZE_INVALID",
		message: "the range lies outside of the blob, which has " + itoa(size) + " bytes",
	})
	c.set("Accept-Ranges", "bytes")
	c.set("Content-Range", "bytes */"+itoa(size))
	return nil
}

// deleteBlob is end-10.
func (s *Server) deleteBlob(ctx context.Context, c *call) error {
	r := &c.req
	if err := s.reg.DeleteBlob(ctx, r.repo, r.digest); err != nil {
		return err
	}
	c.set("Docker-Content-Digest", string(r.digest))
	c.status = http.StatusAccepted
	return nil
}
