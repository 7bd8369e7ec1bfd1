package httpd

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

// entry is what the logs tell of one answer. It is empty where no log wants it.
type entry struct {
	wanted bool
	method string
	path   string // raw, without the query, which may hold what is nobody's business
	id     string
	agent  string
	remote string
	repo   string
	object string // tag, digest or upload
	began  time.Time
	status int
	write  bool
	cut    bool // the client did not get all of it
	err    error
}

func (s *Server) newEntry(rc *fasthttp.RequestCtx, c *call) entry {
	write := s.opts.Audit != nil && !c.req.isRead()
	if s.opts.Access == nil && !write {
		return entry{}
	}
	return entry{
		wanted: true, method: c.req.method, path: c.path, id: c.id, began: c.began, status: c.status,
		agent: string(rc.Request.Header.UserAgent()), remote: rc.RemoteAddr().String(),
		repo: string(c.req.repo), object: c.req.object(), write: write && c.req.method != "", err: c.failed,
	}
}

// object is what of a repository the request is about.
func (r *request) object() string {
	switch r.end {
	case endManifest:
		return r.ref.String()
	case endUpload:
		return string(r.upload)
	case endUploads:
		if r.mount != "" {
			return string(r.mount)
		}
	}
	return string(r.digest)
}

// logCall logs an answer that fasthttp sends.
func (s *Server) logCall(rc *fasthttp.RequestCtx, c *call, size int64) {
	e := s.newEntry(rc, c)
	s.logAnswer(&e, size)
}

// logAnswer writes the lines of an answer whose body has, or had, size bytes.
func (s *Server) logAnswer(e *entry, size int64) {
	if !e.wanted {
		return
	}
	ctx := context.Background()
	if s.opts.Access != nil {
		attrs := []slog.Attr{
			slog.String("method", e.method), slog.String("path", e.path), slog.Int("status", e.status),
			slog.Int64("bytes", size), slog.Duration("duration", time.Since(e.began)),
			slog.String("remote", e.remote), slog.String("request", e.id), slog.String("agent", e.agent),
		}
		if e.cut {
			attrs = append(attrs, slog.Bool("cut", true))
		}
		s.opts.Access.LogAttrs(ctx, slog.LevelInfo, "answered", attrs...)
	}
	if e.write {
		s.audit(ctx, e)
	}
}

// audit tells of a write and how it ended.
func (s *Server) audit(ctx context.Context, e *entry) {
	attrs := []slog.Attr{
		slog.String("method", e.method), slog.String("repository", e.repo), slog.String("object", e.object),
		slog.Int("status", e.status), slog.String("remote", e.remote), slog.String("request", e.id),
	}
	if e.status >= http.StatusBadRequest && e.err != nil {
		attrs = append(attrs, slog.String("refused", e.err.Error()))
	}
	s.opts.Audit.LogAttrs(ctx, slog.LevelInfo, "write", attrs...)
}

// fastLog takes what fasthttp has to say.
type fastLog struct{ log *slog.Logger }

// Printf logs one message.
func (l fastLog) Printf(format string, args ...any) {
	l.log.Debug("fasthttp", slog.String("message", fmt.Sprintf(format, args...)))
}
