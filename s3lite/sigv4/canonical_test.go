package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEncode(t *testing.T) {
	for text, want := range map[string]string{
		"a/b c+d":         "a/b%20c%2Bd",
		"~._-":            "~._-",
		"sha256:ab?#%":    "sha256%3Aab%3F%23%25",
		"ü/\x00\xff":      "%C3%BC/%00%FF",
		"a*b'(c)!@=&$,;:": "a%2Ab%27%28c%29%21%40%3D%26%24%2C%3B%3A",
	} {
		if got := Encode(text, true); got != want {
			t.Errorf("Encode(%q) = %q, want %q", text, got, want)
		}
	}
	if got := Encode("a/b", false); got != "a%2Fb" {
		t.Errorf("slash in a query is %q", got)
	}
}

func TestCanonicalQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                          "",
		"lifecycle":                 "lifecycle=",
		"b=2&a=1&&a=0":              "a=0&a=1&b=2",
		"uploads&prefix=a+b/%7e":    "prefix=a%20b%2F~&uploads=",
		"A=1&a=1&%41=0":             "A=0&A=1&a=1",
		"x=a=b":                     "x=a%3Db",
		"x=%zz":                     "x=%25zz",
		"partNumber=2&uploadId=a%2": "partNumber=2&uploadId=a%252",
	} {
		if got := CanonicalQuery(raw); got != want {
			t.Errorf("query %q becomes %q, want %q", raw, got, want)
		}
	}
}

func TestCanonicalHeaders(t *testing.T) {
	h := http.Header{"User-Agent": {"x"}, "X-Amz-Meta-A": {"  a   b\t c ", "d"}, "If-Match": {`"e"`}, "Expect": {"100-continue"}}
	signed := signedHeaders(h)
	if want := []string{"host", "if-match", "x-amz-meta-a"}; !slices.Equal(signed, want) {
		t.Fatalf("signed headers are %q, want %q", signed, want)
	}
	got := CanonicalRequest("PUT", "/a//b/../c", "", "h:9000", h, signed, Unsigned)
	want := "PUT\n/a//b/../c\n\nhost:h:9000\nif-match:\"e\"\nx-amz-meta-a:a b c,d\n\nhost;if-match;x-amz-meta-a\nUNSIGNED-PAYLOAD"
	if got != want {
		t.Errorf("canonical request is\n%s\nwant\n%s", got, want)
	}
}

// TestSignAgain: a second signature replaces the first one whole.
func TestSignAgain(t *testing.T) {
	temporary := s3Example
	temporary.SessionToken = NewSecret("token")
	r := request(t, "GET", "https://b.s3.amazonaws.com/k")
	Sign(r, temporary, s3Scope, Empty, s3Now.Add(-time.Hour))
	if r.Header.Get("X-Amz-Security-Token") != "token" || !strings.Contains(r.Header.Get("Authorization"), ";x-amz-security-token") {
		t.Errorf("a session token is not signed: %v", r.Header)
	}
	Sign(r, s3Example, s3Scope, Empty, s3Now)
	fresh := request(t, "GET", "https://b.s3.amazonaws.com/k")
	Sign(fresh, s3Example, s3Scope, Empty, s3Now)
	if len(r.Header) != len(fresh.Header) || r.Header.Get("Authorization") != fresh.Header.Get("Authorization") {
		t.Errorf("signed twice: %v, once: %v", r.Header, fresh.Header)
	}
}

func TestPresignLimits(t *testing.T) {
	u, _ := url.Parse("https://b.s3.amazonaws.com/a%20b?response-content-type=text%2Fplain")
	c := s3Example
	c.SessionToken = NewSecret("to/ken")
	for expires, want := range map[time.Duration]string{0: "1", time.Minute: "60", 30 * 24 * time.Hour: "604800"} {
		q := Presign("GET", u, c, s3Scope, expires, s3Now).Query()
		if q.Get("X-Amz-Expires") != want || q.Get("X-Amz-Security-Token") != "to/ken" || q.Get("response-content-type") != "text/plain" {
			t.Errorf("%v: query is %v", expires, q)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("/a%20b", "x=1&y=%2F")
	f.Add("/%zz//../", "&&=&a=%zz&a")
	f.Fuzz(func(t *testing.T, path, query string) {
		q := CanonicalQuery(query)
		if again := CanonicalQuery(q); again != q {
			t.Errorf("query %q becomes %q, then %q", query, q, again)
		}
		p := CanonicalPath(path)
		if again := CanonicalPath(p); again != p {
			t.Errorf("path %q becomes %q, then %q", path, p, again)
		}
		for _, s := range []string{p, q} {
			if strings.ContainsAny(s, " \n\r?#+") {
				t.Errorf("%q is not encoded", s)
			}
		}
	})
}
