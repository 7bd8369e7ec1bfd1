package s3test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/s3lite/sigv4"
)

// signature is what a request says of how it is signed.
type signature struct {
	credential, value, token string
	signed                   []string
	date                     time.Time
	expires                  time.Duration // of a presigned request
	presigned                bool
}

const maxSkew = 15 * time.Minute

// authorize checks the signature and reads the body.
func (s *Server) authorize(r *request) *failure {
	sig, failed := signatureOf(r)
	if failed != nil {
		return failed
	}
	r.payload = r.Header.Get("X-Amz-Content-Sha256")
	if sig == nil {
		if !s.o.Anonymous {
			return &failure{Status: 403, Code: "AccessDenied", Message: "not signed"}
		}
		return s.readBody(r, sigv4.Seed{})
	}
	if sig.presigned {
		r.payload = sigv4.Unsigned
	}
	if failed := s.checkScope(sig); failed != nil {
		return failed
	}
	if failed := s.checkDate(sig); failed != nil {
		return failed
	}
	scope := sigv4.Scope{Region: s.o.Region, Service: "s3"}
	query := r.URL.RawQuery
	if sig.presigned {
		query = withoutSignature(query)
	} else if failed := s.checkHeaders(r, sig); failed != nil {
		return failed
	}
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	canonical := sigv4.CanonicalRequest(r.Method, raw, query, r.Host, r.Header, sig.signed, r.payload)
	key := scope.Key(s.Credentials(), sig.date)
	want := key.Sign(sigv4.StringToSign(scope, sig.date, canonical))
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.value)) == 0 {
		return &failure{Status: 403, Code: "SignatureDoesNotMatch", Message: "canonical request: " + canonical}
	}
	return s.readBody(r, sigv4.NewSeed(key, scope, sig.date, want))
}

// signatureOf finds the signature in the header or the query; nil for none.
func signatureOf(r *request) (*signature, *failure) {
	malformed := &failure{Status: 400, Code: "AuthorizationHeaderMalformed"}
	sig := &signature{}
	var signed, date string
	if r.query.Has("X-Amz-Signature") {
		q := r.query
		seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || seconds > 7*24*3600 || q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" {
			return nil, &failure{Status: 400, Code: "AuthorizationQueryParametersError"}
		}
		sig.presigned, sig.expires = true, time.Duration(seconds)*time.Second
		sig.credential, sig.value, sig.token = q.Get("X-Amz-Credential"), q.Get("X-Amz-Signature"), q.Get("X-Amz-Security-Token")
		signed, date = q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Date")
	} else {
		text := r.Header.Get("Authorization")
		if text == "" {
			return nil, nil
		}
		fields, ok := strings.CutPrefix(text, "AWS4-HMAC-SHA256 ")
		if !ok {
			return nil, malformed
		}
		for field := range strings.SplitSeq(fields, ", ") {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "Credential":
				sig.credential = value
			case "SignedHeaders":
				signed = value
			case "Signature":
				sig.value = value
			}
		}
		sig.token, date = r.Header.Get("X-Amz-Security-Token"), r.Header.Get("X-Amz-Date")
	}
	var err error
	if sig.date, err = time.Parse(sigv4.TimeFormat, date); err != nil {
		return nil, malformed
	}
	sig.signed = strings.Split(signed, ";")
	return sig, nil
}

func withoutSignature(query string) string {
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(part string) bool { return strings.HasPrefix(part, "X-Amz-Signature=") })
	return strings.Join(parts, "&")
}

// checkScope checks key, token, day, region and service.
func (s *Server) checkScope(sig *signature) *failure {
	parts := strings.Split(sig.credential, "/")
	if len(parts) != 5 || parts[3] != "s3" || parts[4] != "aws4_request" || parts[1] != sig.date.Format("20060102") {
		return &failure{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "credential is " + sig.credential}
	}
	switch {
	case parts[2] != s.o.Region && s.o.Malformed:
		return &failure{Status: 400, Code: "AuthorizationHeaderMalformed", Region: s.o.Region}
	case parts[2] != s.o.Region:
		return &failure{Status: 301, Code: "PermanentRedirect", Region: s.o.Region}
	case parts[0] != s.o.AccessKey:
		return &failure{Status: 403, Code: "InvalidAccessKeyId"}
	case sig.token != s.o.SessionToken:
		return &failure{Status: 400, Code: "ExpiredToken"}
	}
	return nil
}

func (s *Server) checkDate(sig *signature) *failure {
	age := s.o.Now().Sub(sig.date)
	switch {
	case s.o.AnyTime:
	case sig.presigned && (age > sig.expires || age < -maxSkew):
		return &failure{Status: 403, Code: "AccessDenied", Message: "Request has expired"}
	case !sig.presigned && age.Abs() > maxSkew:
		return &failure{Status: 403, Code: "RequestTimeTooSkewed"}
	}
	return nil
}

// checkHeaders: what S3 goes by has to be signed.
func (s *Server) checkHeaders(r *request, sig *signature) *failure {
	if r.payload == "" {
		return &failure{Status: 400, Code: "MissingSecurityHeader"}
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(sig.signed, lower) {
			return &failure{Status: 403, Code: "AccessDenied", Message: "not signed: " + lower}
		}
	}
	if !slices.Contains(sig.signed, "host") {
		return &failure{Status: 403, Code: "AccessDenied", Message: "not signed: host"}
	}
	return nil
}

// readBody reads the body, undoes its chunks and checks its hashes.
func (s *Server) readBody(r *request, seed sigv4.Seed) *failure {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &failure{Status: 400, Code: "IncompleteBody"}
	}
	sum := sha256.Sum256(body)
	switch r.payload {
	case sigv4.Chunked:
		if body, err = unchunk(body, seed, r.Header); err != nil {
			return &failure{Status: 403, Code: "SignatureDoesNotMatch", Message: err.Error()}
		}
	case sigv4.Unsigned, "":
	default:
		if hex.EncodeToString(sum[:]) != r.payload {
			return &failure{Status: 400, Code: "XAmzContentSHA256Mismatch"}
		}
	}
	md := md5.Sum(body)
	if want := r.Header.Get("Content-Md5"); want != "" && want != base64.StdEncoding.EncodeToString(md[:]) {
		return &failure{Status: 400, Code: "BadDigest"}
	}
	r.body = body
	return nil
}

// unchunk takes the frames of aws-chunked off and checks every one's
// signature.
func unchunk(framed []byte, seed sigv4.Seed, header http.Header) ([]byte, error) {
	var body []byte
	for rest := framed; ; {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		digits, signature, ok2 := strings.Cut(string(line), ";chunk-signature=")
		size, err := strconv.ParseInt(digits, 16, 32)
		if !ok || !ok2 || err != nil || int64(len(after)) < size+2 || string(after[size:size+2]) != "\r\n" {
			return nil, fmt.Errorf("chunk at %d is no chunk", len(framed)-len(rest))
		}
		if want := seed.Next(after[:size]); want != signature {
			return nil, fmt.Errorf("chunk at %d is not signed well", len(framed)-len(rest))
		}
		body, rest = append(body, after[:size]...), after[size+2:]
		if size == 0 {
			if len(rest) > 0 {
				return nil, fmt.Errorf("%d bytes behind the last chunk", len(rest))
			}
			break
		}
	}
	if want := header.Get("X-Amz-Decoded-Content-Length"); want != strconv.Itoa(len(body)) {
		return nil, fmt.Errorf("body has %d bytes, was announced with %s", len(body), want)
	}
	if header.Get("Content-Encoding") != "aws-chunked" {
		return nil, fmt.Errorf("content encoding is %q", header.Get("Content-Encoding"))
	}
	return body, nil
}

// sourceKey reads the header of a copy.
func (s *Server) sourceKey(r *request) (string, *failure) {
	source, err := url.PathUnescape(r.Header.Get("X-Amz-Copy-Source"))
	key, ok := strings.CutPrefix(strings.TrimPrefix(source, "/"), s.o.Bucket+"/")
	if err != nil || !ok {
		return "", &failure{Status: 400, Code: "InvalidArgument", Message: "copy source is " + source}
	}
	return key, nil
}
