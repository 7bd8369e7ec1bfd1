package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Encode writes a text as Signature Version 4 wants it in paths and queries:
// all but letters, digits and -._~ as %XX in upper case. A slash stays where
// keepSlash says so, which is in paths.
func Encode(text string, keepSlash bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	for i := range len(text) {
		c := text[i]
		if isUnreserved(c) || c == '/' && keepSlash {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// CanonicalQuery brings a raw query into the one form that is signed: every
// name and value encoded anew, in order of the encoded names, then values.
func CanonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{Encode(unescape(name), false), Encode(unescape(value), false)})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

// unescape decodes a part of a query; what is no valid encoding stands for
// itself.
func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// CanonicalPath brings a path, as it stands in the request line, into the form
// that is signed: encoded once. Empty means "/".
func CanonicalPath(escaped string) string {
	if escaped == "" {
		return "/"
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		decoded = escaped
	}
	return Encode(decoded, true)
}

// unsigned are the headers that proxies and clients add or change on the way.
var unsigned = []string{
	"accept-encoding", "authorization", "connection", "expect", "user-agent", "x-amzn-trace-id",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-for",
}

// signedHeaders returns the names, in lower case and order, of the headers
// that are signed: host and all but those of unsigned.
func signedHeaders(header http.Header) []string {
	names := []string{"host"}
	for name := range header {
		lower := strings.ToLower(name)
		if lower != "host" && !slices.Contains(unsigned, lower) {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return names
}

// CanonicalRequest is the text whose hash is signed. signed are the names of
// headers in lower case and order; payload is the value of
// x-amz-content-sha256, or what stands for it.
func CanonicalRequest(method, path, query, host string, header http.Header, signed []string, payload string) string {
	var b strings.Builder
	b.WriteString(method + "\n" + CanonicalPath(path) + "\n" + CanonicalQuery(query) + "\n")
	for _, name := range signed {
		b.WriteString(name + ":")
		if name == "host" {
			b.WriteString(fold(host))
		} else {
			for i, value := range header.Values(name) {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(fold(value))
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

// fold trims a header's value and makes one space of each run of white space.
func fold(value string) string { return strings.Join(strings.Fields(value), " ") }
