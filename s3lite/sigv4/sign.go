package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// What may stand for a body's SHA-256, in lower-case hexadecimal, where that
// is not known beforehand.
const (
	// Unsigned leaves the body out of the signature; only for TLS, which
	// guards it.
	Unsigned = "UNSIGNED-PAYLOAD"
	// Chunked says that the body is signed chunk by chunk: see Chunks.
	Chunked = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	// Empty is the SHA-256 of no bytes.
	Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	// TimeFormat is that of X-Amz-Date.
	TimeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// Scope is where a signature holds: a service ("s3", "sts", "dynamodb") in a
// region.
type Scope struct{ Region, Service string }

// credential returns the part of a signature's scope that follows the access
// key.
func (s Scope) credential(now time.Time) string {
	return now.UTC().Format(dateFormat) + "/" + s.Region + "/" + s.Service + "/aws4_request"
}

// Sign signs a request in its headers: it sets X-Amz-Date, Authorization, with
// temporary credentials X-Amz-Security-Token, and for S3
// X-Amz-Content-Sha256. payload is the body's SHA-256 or one of Unsigned and
// Chunked. A request that is signed again has its old signature replaced.
// The seed that it returns starts the signatures of chunks.
func Sign(r *http.Request, c Credentials, s Scope, payload string, now time.Time) Seed {
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", now.UTC().Format(TimeFormat))
	if s.Service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if c.SessionToken.IsEmpty() {
		r.Header.Del("X-Amz-Security-Token")
	} else {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken.Reveal())
	}
	signed := signedHeaders(r.Header)
	canonical := CanonicalRequest(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, hostOf(r), r.Header, signed, payload)
	key := s.Key(c, now)
	signature := key.Sign(StringToSign(s, now, canonical))
	r.Header.Set("Authorization", algorithm+" Credential="+c.AccessKeyID+"/"+s.credential(now)+
		", SignedHeaders="+strings.Join(signed, ";")+", Signature="+signature)
	return Seed{key: key, scope: s, now: now, signature: signature}
}

func hostOf(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// StringToSign is the text that a key signs for a canonical request.
func StringToSign(s Scope, now time.Time, canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return algorithm + "\n" + now.UTC().Format(TimeFormat) + "\n" + s.credential(now) + "\n" + hex.EncodeToString(sum[:])
}

// Key is a signing key: good for one day, region and service. Like a Secret it
// does not print itself.
type Key struct{ key *[sha256.Size]byte }

// Key derives the signing key of a day.
func (s Scope) Key(c Credentials, now time.Time) Key {
	key := []byte("AWS4" + c.SecretKey.Reveal())
	for _, part := range []string{now.UTC().Format(dateFormat), s.Region, s.Service, "aws4_request"} {
		key = mac(key, part)
	}
	return Key{(*[sha256.Size]byte)(key)}
}

// Sign returns the signature of a text, in hexadecimal.
func (k Key) Sign(text string) string { return hex.EncodeToString(mac(k.key[:], text)) }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
