package httpd

import (
	"context"
	"encoding/json"

	"berth/oci"
	"berth/oci/registry"
)

// Extension is what /v2/_oci/ext/discover tells about one extension of the API.
type Extension struct {
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Endpoints   []string `json:"endpoints"`
}

// page is the part of a list that the query asks for.
func (q *query) page() registry.Page { return registry.Page{Last: q.last, N: q.n} }

// getTags is end-8.
func (s *Server) getTags(ctx context.Context, c *call) error {
	r := &c.req
	tags, more, err := s.reg.Tags(ctx, r.repo, r.query.page())
	if err != nil {
		return err
	}
	if more && len(tags) > 0 {
		c.next("/v2/"+string(r.repo)+"/tags/list", r.query.n, string(tags[len(tags)-1]))
	}
	return c.document(struct {
		Name oci.Repo  `json:"name"`
		Tags []oci.Tag `json:"tags"`
	}{r.repo, notNil(tags)})
}

// getCatalog lists the repositories.
func (s *Server) getCatalog(ctx context.Context, c *call) error {
	q := &c.req.query
	repos, more, err := s.reg.Catalog(ctx, q.page())
	if err != nil {
		return err
	}
	if more && len(repos) > 0 {
		c.next("/v2/_catalog", q.n, string(repos[len(repos)-1]))
	}
	return c.document(struct {
		Repositories []oci.Repo `json:"repositories"`
	}{notNil(repos)})
}

// next links to the rest of a list (RFC 5988), which begins after last.
func (c *call) next(path string, n int, last string) {
	parameters := "?last=" + escape(last)
	if n >= 0 {
		parameters = "?n=" + itoa(int64(n)) + "&last=" + escape(last)
	}
	c.set("Link", "<"+path+parameters+`>; rel="next"`)
}

// notNil makes a list that is [] in JSON where it is empty.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// document answers with JSON that only this request sees.
func (c *call) document(v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.set("Cache-Control", "no-cache")
	c.json(doc)
	return nil
}

// getReferrers is end-12.
func (s *Server) getReferrers(ctx context.Context, c *call) error {
	r := &c.req
	list, err := s.reg.Referrers(ctx, r.repo, r.digest, r.query.artifactType, r.last)
	if err != nil {
		return err
	}
	if r.query.hasFilter {
		c.set("OCI-Filters-Applied", "artifactType")
	}
	if list.Next != "" {
		c.set("Link", `<`+s.referrersPath(r, list.Next)+`>; rel="next"`)
	}
	c.set("Cache-Control", "no-cache")
	c.typ = "application/vnd.oci.image.index.v1+json"
	c.content = list.Content
	return nil
}

func (s *Server) referrersPath(r *request, last oci.Digest) string {
	path := "/v2/" + string(r.repo) + "/referrers/" + string(r.digest) + "?last=" + escape(string(last))
	if r.query.hasFilter {
		path += "&artifactType=" + escape(r.query.artifactType)
	}
	return path
}

// discover is the extensions API's list of extensions.
func (s *Server) discover(_ context.Context, c *call) error {
	return c.document(struct {
		Extensions []Extension `json:"extensions"`
	}{notNil(s.opts.Extensions)})
}
