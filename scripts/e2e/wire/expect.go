package wire

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Want fails the test unless the status is one of those given.
func (a *Answer) Want(status ...int) *Answer {
	a.t.Helper()
	if !slices.Contains(status, a.Status) {
		a.t.Fatalf("%s: status %d, want %v\n%v\n%s", a.request, a.Status, status, a.Header, clip(string(a.Body)))
	}
	return a
}

// WantHeader fails the test unless a header has exactly this value.
func (a *Answer) WantHeader(name, value string) *Answer {
	a.t.Helper()
	if got := a.Header.Get(name); got != value {
		a.t.Errorf("%s: %s is %q, want %q", a.request, name, got, value)
	}
	return a
}

// WantNoHeader fails the test when a header is there.
func (a *Answer) WantNoHeader(name string) *Answer {
	a.t.Helper()
	if got, found := a.Header[name]; found {
		a.t.Errorf("%s: unexpected header %s: %q", a.request, name, got)
	}
	return a
}

// WantBody fails the test unless the body has exactly these bytes and
// Content-Length, where there is one, agrees.
func (a *Answer) WantBody(want []byte) *Answer {
	a.t.Helper()
	if !bytes.Equal(a.Body, want) {
		a.t.Errorf("%s: body of %d bytes is not the %d expected\n%s", a.request, len(a.Body), len(want), clip(string(a.Body)))
	}
	if a.Length >= 0 && a.Length != int64(len(want)) {
		a.t.Errorf("%s: Content-Length %d, want %d", a.request, a.Length, len(want))
	}
	return a
}

// WantSize fails the test unless Content-Length is size and there is no body:
// the answer to a HEAD.
func (a *Answer) WantSize(size int64) *Answer {
	a.t.Helper()
	a.WantHeader("Content-Length", strconv.FormatInt(size, 10))
	if len(a.Body) > 0 {
		a.t.Errorf("%s: the answer to HEAD has a body of %d bytes", a.request, len(a.Body))
	}
	return a
}

var errorCode = regexp.MustCompile(`^[A-Z_]+$`)

// WantError fails the test unless the answer is an error of this status and
// one of these codes, in the form of the specification (Error Codes). No code:
// any of the specification's.
func (a *Answer) WantError(status int, codes ...string) *Answer {
	a.t.Helper()
	a.Want(status)
	var body struct {
		Errors []struct {
			Code    string
			Message string
		}
	}
	if err := json.Unmarshal(a.Body, &body); err != nil || len(body.Errors) == 0 {
		a.t.Fatalf("%s: %d without the specification's JSON: %v\n%s", a.request, a.Status, err, clip(string(a.Body)))
	}
	if kind := a.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		a.t.Errorf("%s: Content-Type of an error is %q", a.request, kind)
	}
	for _, e := range body.Errors {
		if !errorCode.MatchString(e.Code) {
			a.t.Errorf("%s: error code %q", a.request, e.Code)
		}
		if len(codes) > 0 && !slices.Contains(codes, e.Code) {
			a.t.Errorf("%s: error code %s (%s), want %v", a.request, e.Code, e.Message, codes)
		}
		if e.Message == "" {
			a.t.Errorf("%s: error %s has no message", a.request, e.Code)
		}
	}
	return a
}

// Location is the answer's Location, which must be there.
func (a *Answer) Location() string {
	a.t.Helper()
	l := a.Header.Get("Location")
	if l == "" {
		a.t.Fatalf("%s: %d without a Location", a.request, a.Status)
	}
	return l
}

// Next is the target of the Link header with rel="next", "" where there is none.
func (a *Answer) Next() string {
	a.t.Helper()
	link := a.Header.Get("Link")
	if link == "" {
		return ""
	}
	m := regexp.MustCompile(`^<([^>]+)>; *rel="?next"?$`).FindStringSubmatch(link)
	if m == nil {
		a.t.Fatalf("%s: Link %q is not of RFC 5988 with rel=\"next\"", a.request, link)
	}
	return m[1]
}
