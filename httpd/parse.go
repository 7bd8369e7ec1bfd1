package httpd

import (
	"errors"
	"strings"

	"berth/oci"
)

// request is what a client asks for, checked: every name, digest, tag and
// session in it matches its grammar.
type request struct {
	method string
	end    endpoint
	repo   oci.Repo
	ref    oci.Reference // endManifest
	digest oci.Digest    // endBlob, endReferrers; the digest parameter of endUploads and endUpload
	upload oci.UploadID  // endUpload
	query  query

	mount       oci.Digest    // endUploads: what to mount
	from        oci.Repo      // endUploads: where from; "" for anywhere
	mountFrom   bool          // endUploads: from is usable
	algorithm   oci.Algorithm // endUploads: of the session
	last        oci.Digest    // endReferrers: the last one seen
	mediaType   string        // endManifest PUT: Content-Type without parameters
	ifMatch     []string      // nil: unconditional
	ifNoneMatch []string      // nil: unconditional
	rangeHeader string        // endBlob: a Range that applies
	chunk       span          // endUpload: Content-Range
	hasChunk    bool
	hasBody     bool  // a body is announced
	length      int64 // Content-Length; -1 where the body is chunked
}

// headers is the request's header fields: a field by its canonical name, as
// its value, several joined by commas, or "".
type headers interface {
	get(name string) string
}

// isRead tells whether the request changes nothing.
func (r *request) isRead() bool {
	switch r.method {
	case "GET", "HEAD", "OPTIONS":
		return true
	}
	return false
}

// parse reads a request: what the path and the method name, then the query and
// those headers that matter there. path and rawQuery are as they came. length
// is Content-Length, -1 for a chunked body, 0 for none.
//
// The request is usable for the log also where parse fails.
func parse(method, path, rawQuery string, length int64, h headers) (request, error) {
	r := request{method: method, length: length, hasBody: length != 0}
	t := route(path)
	r.end = t.end
	if r.end == endUnknown {
		return r, errNotFound()
	}
	if err := checkMethod(r.end, method); err != nil {
		return r, err
	}
	var err error
	if rawQuery != "" {
		if r.query, err = parseQuery(rawQuery); err != nil {
			return r, err
		}
	} else {
		r.query.n = -1
	}
	if t.name != "" {
		if r.repo, err = oci.ParseRepo(t.name); err != nil {
			return r, r.absent(err, oci.ErrNameUnknown)
		}
	}
	return r, r.parseEndpoint(t, h)
}

// parseEndpoint reads what only one endpoint has.
func (r *request) parseEndpoint(t target, h headers) (err error) {
	switch r.end {
	case endBlob:
		return r.parseBlob(t.arg, h)
	case endManifest:
		return r.parseManifest(t.arg, h)
	case endUploads:
		return r.parseUploads()
	case endUpload:
		return r.parseUpload(t.arg, h)
	case endReferrers:
		if r.digest, err = oci.ParseDigest(t.arg); err != nil {
			return err
		}
		if r.query.last != "" {
			r.last, err = oci.ParseDigest(r.query.last)
		}
		return err
	}
	return nil
}

func (r *request) parseBlob(arg string, h headers) (err error) {
	if r.digest, err = oci.ParseDigest(arg); err != nil {
		return r.absent(err, oci.ErrBlobUnknown)
	}
	if r.method == "DELETE" {
		return nil
	}
	r.parseConditions(h)
	if r.method != "GET" {
		return nil
	}
	r.rangeHeader = h.get("Range")
	if cond := h.get("If-Range"); r.rangeHeader != "" && cond != "" && !strongTag(cond, r.digest) {
		r.rangeHeader = ""
	}
	return nil
}

// parseConditions reads the conditions of a read.
func (r *request) parseConditions(h headers) {
	r.ifMatch = parseTags(h.get("If-Match"), false)
	r.ifNoneMatch = parseTags(h.get("If-None-Match"), true)
}

// strongTag tells whether an If-Range header holds the digest's entity tag; a
// date never matches, since berth sends none (RFC 9110, section 13.1.5).
func strongTag(header string, d oci.Digest) bool {
	return strings.TrimSpace(header) == `"`+string(d)+`"`
}

func (r *request) parseManifest(arg string, h headers) (err error) {
	if r.ref, err = oci.ParseReference(arg); err != nil {
		return r.absent(err, oci.ErrManifestUnknown)
	}
	r.parseConditions(h)
	if r.method != "PUT" {
		return nil
	}
	r.ifNoneMatch = parseTags(h.get("If-None-Match"), false)
	r.mediaType, _, _ = strings.Cut(h.get("Content-Type"), ";")
	r.mediaType = strings.ToLower(strings.TrimSpace(r.mediaType))
	if len(r.query.tags) > 0 && r.ref.Digest == "" {
		return errBadRequest("tag parameters belong to a push by digest; this one is by tag")
	}
	return nil
}

// absent is a failure to parse a name. What a client reads by an impossible
// name is not there (404, as the specification's table says); what it writes by
// one is refused.
func (r *request) absent(err error, kind error) error {
	var e *oci.Error
	if !r.isRead() || r.end == endReferrers || !errors.As(err, &e) {
		return err
	}
	return &oci.Error{Kind: kind, Message: e.Message}
}

// parseUploads reads the beginning of an upload, end-4 and end-11.
func (r *request) parseUploads() (err error) {
	r.algorithm = oci.SHA256
	if r.query.algorithm != "" {
		if r.algorithm, err = oci.ParseAlgorithm(r.query.algorithm); err != nil {
			return err
		}
	}
	if r.query.hasMount {
		return r.parseMount()
	}
	if r.query.hasDigest {
		if r.digest, err = oci.ParseDigest(r.query.digest); err != nil {
			return err
		}
		r.algorithm = r.digest.Algorithm()
	}
	return nil
}

// parseMount reads end-11. A repository that cannot exist is one that does not
// hold the blob: an upload begins instead.
func (r *request) parseMount() (err error) {
	if r.mount, err = oci.ParseDigest(r.query.mount); err != nil {
		return err
	}
	r.algorithm = r.mount.Algorithm()
	if r.query.from == "" {
		r.mountFrom = true
		return nil
	}
	r.from, err = oci.ParseRepo(r.query.from)
	r.mountFrom = err == nil
	return nil
}

// parseUpload reads what is done to a session.
func (r *request) parseUpload(arg string, h headers) (err error) {
	if r.upload, err = oci.ParseUploadID(arg); err != nil {
		return err
	}
	if r.method == "PUT" {
		if !r.query.hasDigest {
			return oci.Errorf(oci.ErrDigestInvalid, "the digest parameter is missing; it names the whole blob")
		}
		if r.digest, err = oci.ParseDigest(r.query.digest); err != nil {
			return err
		}
	}
	if r.method == "PUT" || r.method == "PATCH" {
		return r.parseChunk(h.get("Content-Range"))
	}
	return nil
}

func (r *request) parseChunk(header string) (err error) {
	if header == "" {
		return nil
	}
	r.hasChunk = true
	if r.chunk, err = parseContentRange(header); err != nil {
		return err
	}
	if r.length >= 0 && r.length != r.chunk.length() {
		return oci.Errorf(oci.ErrSizeInvalid, "Content-Range covers %d bytes, the body has %d", r.chunk.length(), r.length)
	}
	return nil
}
