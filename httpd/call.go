package httpd

import (
	"io"
	"net/http"
	"time"
)

// field is one header field of an answer.
type field struct{ name, value string }

// call is one request and the answer that its handler makes.
type call struct {
	req   request
	id    string // of the request: for the client, the log and errors
	path  string // raw
	api   bool   // it is under /v2/
	body  io.Reader
	began time.Time

	status  int
	typ     string // Content-Type; "" for none
	length  int64  // Content-Length of an answer to HEAD that has no content; -1: of content
	fields  []field
	content []byte   // shared with others: never changed
	payload *payload // in place of content; closed once sent or replaced
	failed  error    // what the handler returned, for the log
	space   [14]field
}

// set adds a header field.
func (c *call) set(name, value string) { c.fields = append(c.fields, field{name, value}) }

// reset drops the answer made so far, for an error to take its place.
func (c *call) reset() {
	if c.payload != nil {
		c.payload.close()
	}
	c.status, c.typ, c.length, c.content, c.payload = http.StatusOK, "", -1, nil, nil
	c.fields = c.space[:0]
}

// json answers with a document.
func (c *call) json(doc []byte) {
	c.typ = "application/json"
	c.content = doc
}

// text answers with plain text.
func (c *call) text(s string) {
	c.typ = "text/plain; charset=utf-8"
	c.content = []byte(s)
}

// isHead tells whether the answer goes without its body.
func (c *call) isHead() bool { return c.req.method == "HEAD" }

// fail makes the answer that an error stands for. known is false where the
// client is told nothing.
func (c *call) fail(err error) (known bool) {
	c.reset()
	f, known := explain(err, c.id)
	c.failed = err
	c.status = f.status
	c.json(f.body())
	if f.allow != "" {
		c.set("Allow", f.allow)
	}
	if f.retryAfter != 0 {
		c.set("Retry-After", itoa(int64(f.retryAfter)))
	}
	return known
}
