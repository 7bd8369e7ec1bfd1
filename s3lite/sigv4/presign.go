package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxPresign is the longest time that a signed URL may be good for.
const MaxPresign = 7 * 24 * time.Hour

// Presign returns the URL with a signature in its query, so that whoever has
// it can make that one request, with no other header than Host, until expires
// has passed since now (whole seconds, between one and MaxPresign). The body
// is not signed.
func Presign(method string, u *url.URL, c Credentials, s Scope, expires time.Duration, now time.Time) *url.URL {
	seconds := max(1, int64(min(expires, MaxPresign)/time.Second))
	query := u.Query()
	query.Set("X-Amz-Algorithm", algorithm)
	query.Set("X-Amz-Credential", c.AccessKeyID+"/"+s.credential(now))
	query.Set("X-Amz-Date", now.UTC().Format(TimeFormat))
	query.Set("X-Amz-Expires", strconv.FormatInt(seconds, 10))
	query.Set("X-Amz-SignedHeaders", "host")
	if !c.SessionToken.IsEmpty() {
		query.Set("X-Amz-Security-Token", c.SessionToken.Reveal())
	}
	signed := *u
	signed.RawQuery = CanonicalQuery(query.Encode())
	canonical := CanonicalRequest(method, u.EscapedPath(), signed.RawQuery, u.Host, http.Header{}, []string{"host"}, Unsigned)
	signed.RawQuery += "&X-Amz-Signature=" + s.Key(c, now).Sign(StringToSign(s, now, canonical))
	return &signed
}
