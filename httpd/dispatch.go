package httpd

import (
	"context"
	"net/http"
	"strings"

	"berth/oci"
)

// handler answers a request that parse understood. What it returns as an error
// becomes the answer in place of what it wrote.
type handler func(s *Server, ctx context.Context, c *call) error

// methods is what an endpoint does, by method.
type methods struct {
	allow                          string // the Allow header
	get, put, post, patch, delete_ handler
}

// of returns the handler of a method, nil where there is none. HEAD is a GET
// whose answer goes without its body.
func (m *methods) of(method string) handler {
	switch method {
	case "GET", "HEAD":
		return m.get
	case "PUT":
		return m.put
	case "POST":
		return m.post
	case "PATCH":
		return m.patch
	case "DELETE":
		return m.delete_
	case "OPTIONS":
		return (*Server).options
	}
	return nil
}

// table is the specification's table of endpoints.
func table(end endpoint) methods {
	switch end {
	case endBase:
		return methods{allow: "GET, HEAD", get: (*Server).base}
	case endBlob:
		return methods{allow: "GET, HEAD, DELETE", get: (*Server).getBlob, delete_: (*Server).deleteBlob}
	case endManifest:
		return methods{allow: "GET, HEAD, PUT, DELETE",
			get: (*Server).getManifest, put: (*Server).putManifest, delete_: (*Server).deleteManifest}
	case endUploads:
		return methods{allow: "POST", post: (*Server).startUpload}
	case endUpload:
		return methods{allow: "GET, HEAD, PATCH, PUT, DELETE",
			get: (*Server).getUpload, patch: (*Server).patchUpload, put: (*Server).putUpload, delete_: (*Server).cancelUpload}
	case endTags:
		return methods{allow: "GET, HEAD", get: (*Server).getTags}
	case endReferrers:
		return methods{allow: "GET, HEAD", get: (*Server).getReferrers}
	case endCatalog:
		return methods{allow: "GET, HEAD", get: (*Server).getCatalog}
	case endDiscover:
		return methods{allow: "GET, HEAD", get: (*Server).discover}
	case endLive, endReady, endStarted:
		return methods{allow: "GET, HEAD", get: (*Server).health}
	case endRoot:
		return methods{allow: "GET, HEAD", get: (*Server).root}
	}
	return methods{}
}

// checkMethod fails with a 405 that names the endpoint's methods.
func checkMethod(end endpoint, method string) error {
	m := table(end)
	if m.of(method) != nil {
		return nil
	}
	return &failure{
		status: http.StatusMethodNotAllowed, code: "UNSUPPORTED", allow: m.allow + ", OPTIONS",
		message: "this endpoint has no " + clipMethod(method) + "; it has " + m.allow,
	}
}

// clipMethod shortens a method that goes into a message.
func clipMethod(method string) string {
	const most = 16
	return method[:min(len(method), most)]
}

// admit decides whether a request that was understood is answered at all. It
// stands between parsing and handling, before any of the body is read: the
// place for whoever must say no.
func (s *Server) admit(_ context.Context, r *request) error {
	if s.opts.ReadOnly && !r.isRead() {
		return oci.Errorf(oci.ErrReadOnly, "this registry is read-only: it takes no pushes and no deletes")
	}
	return nil
}

// dispatch answers a request that was parsed and admitted.
func (s *Server) dispatch(ctx context.Context, c *call) error {
	m := table(c.req.end)
	return m.of(c.req.method)(s, ctx, c)
}

// options answers OPTIONS with the endpoint's methods.
func (s *Server) options(_ context.Context, c *call) error {
	m := table(c.req.end)
	c.set("Allow", m.allow+", OPTIONS")
	c.status = http.StatusNoContent
	return nil
}

// base is end-1.
func (s *Server) base(_ context.Context, c *call) error {
	c.json([]byte("{}"))
	return nil
}

// root tells who looks at the registry with a browser what this is.
func (s *Server) root(_ context.Context, c *call) error {
	c.text("berth, an OCI registry. Its API is at /v2/.\n")
	return nil
}

// health answers /livez, /readyz and /startupz.
func (s *Server) health(_ context.Context, c *call) error {
	c.set("Cache-Control", "no-store")
	if err := s.checkHealth(c.req.end); err != nil {
		c.status = http.StatusServiceUnavailable
		c.text(strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
		return nil
	}
	c.text("ok\n")
	return nil
}

func (s *Server) checkHealth(end endpoint) error {
	check := s.opts.Ready
	switch end {
	case endLive:
		return nil
	case endStarted:
		check = s.opts.Started
	case endReady:
		if s.stopping.Load() {
			return errStopping
		}
	}
	if check == nil {
		return nil
	}
	return check()
}
