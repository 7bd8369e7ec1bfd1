package s3test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"berth/s3lite/sigv4"
)

// Conditions is how a server deals with If-Match and If-None-Match of writes.
type Conditions int

const (
	Honest  Conditions = iota // keeps them
	Ignored                   // writes in any case, as servers do that do not know them
	Refused                   // answers 501
)

// Options of a Server. What is empty has the default that it names.
type Options struct {
	Bucket    string // "bucket"
	Region    string // "us-east-1"
	AccessKey string // "AKIDTEST"
	SecretKey string // "secret-of-the-test"
	// SessionToken has to be sent where it is set.
	SessionToken string
	// Anonymous takes requests without a signature.
	Anonymous bool
	// TLS has the server speak HTTPS; see Server.Authority.
	TLS bool
	// MinPart is the least size of a part but the last; 5 MiB. Below zero for
	// none.
	MinPart int64
	// PageSize bounds the pages of lists; 1000.
	PageSize   int
	Conditions Conditions
	// Malformed answers a wrong region with 400 in place of 301.
	Malformed bool
	// AnyTime takes signatures of any time: for tests whose clock runs.
	AnyTime bool
	// Now is the server's clock; time.Now.
	Now func() time.Time
}

// Server is an S3 server.
type Server struct {
	o      Options
	http   *httptest.Server
	closed chan struct{}
	// stalled requests, for good
	stalled atomic.Int32

	mu      sync.Mutex // guards all below
	objects map[string]Object
	uploads map[string]*upload
	nextID  int
	seen    []Seen
	round   int // of Reset
	faults  []*Fault
}

// New starts a server on loopback. Close ends it.
func New(o Options) *Server {
	setDefault(&o.Bucket, "bucket")
	setDefault(&o.Region, "us-east-1")
	setDefault(&o.AccessKey, "AKIDTEST")
	setDefault(&o.SecretKey, "secret-of-the-test")
	setDefault(&o.MinPart, 5<<20)
	setDefault(&o.PageSize, 1000)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, closed: make(chan struct{}), objects: map[string]Object{}, uploads: map[string]*upload{}}
	if o.TLS {
		s.http = httptest.NewTLSServer(s)
	} else {
		s.http = httptest.NewServer(s)
	}
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close ends the server, requests that stall among all others.
func (s *Server) Close() {
	close(s.closed)
	s.http.CloseClientConnections()
	s.http.Close()
}

// URL is where the server listens, such as http://127.0.0.1:1234.
func (s *Server) URL() string { return s.http.URL }

// Authority is the certificate that the server's own can be checked with; nil
// without TLS.
func (s *Server) Authority() *x509.Certificate { return s.http.Certificate() }

// Bucket is the bucket's name.
func (s *Server) Bucket() string { return s.o.Bucket }

// Credentials are those that the server knows.
func (s *Server) Credentials() sigv4.Credentials {
	c := sigv4.Credentials{AccessKeyID: s.o.AccessKey, SecretKey: sigv4.NewSecret(s.o.SecretKey), Source: "s3test"}
	if s.o.SessionToken != "" {
		c.SessionToken = sigv4.NewSecret(s.o.SessionToken)
	}
	return c
}

// SetConditions changes how conditions of writes are dealt with.
func (s *Server) SetConditions(c Conditions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Conditions = c
}

// request is an HTTP request that was understood.
type request struct {
	*http.Request
	op, key string
	query   url.Values
	body    []byte
	payload string
	// number and round are its place in what was seen.
	number, round int
}

// operations by method, by the parameter that tells them apart, and by whether
// there is a key. The first row that fits counts.
var operations = []struct {
	method, param string
	object        bool
	op            string
}{
	{"GET", "location", false, "GetBucketLocation"},
	{"GET", "uploads", false, "ListMultipartUploads"},
	{"GET", "list-type", false, "ListObjectsV2"},
	{"HEAD", "", false, "HeadBucket"},
	{"POST", "delete", false, "DeleteObjects"},
	{"GET", "uploadId", true, "ListParts"},
	{"GET", "", true, "GetObject"},
	{"HEAD", "", true, "HeadObject"},
	{"PUT", "uploadId", true, "UploadPart"},
	{"PUT", "", true, "PutObject"},
	{"POST", "uploads", true, "CreateMultipartUpload"},
	{"POST", "uploadId", true, "CompleteMultipartUpload"},
	{"DELETE", "uploadId", true, "AbortMultipartUpload"},
	{"DELETE", "", true, "DeleteObject"},
}

// understand finds out what a request is for.
func (s *Server) understand(r *http.Request) (*request, *failure) {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, &failure{Status: 400, Code: "InvalidURI"}
	}
	req := &request{Request: r, query: r.URL.Query()}
	bucket, key := "", strings.TrimPrefix(path, "/")
	if host, ok := strings.CutPrefix(r.Host, s.o.Bucket+"."); ok && host != "" {
		bucket = s.o.Bucket
	} else {
		bucket, key, _ = strings.Cut(key, "/")
	}
	req.key = key
	for _, row := range operations {
		if row.method == r.Method && row.object == (key != "") && (row.param == "" || req.query.Has(row.param)) {
			req.op = row.op
			break
		}
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		req.op = map[string]string{"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}[req.op]
	}
	switch {
	case req.op == "":
		return req, &failure{Status: 501, Code: "NotImplemented"}
	case bucket != s.o.Bucket:
		return req, &failure{Status: 404, Code: "NoSuchBucket"}
	}
	return req, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amz-Request-Id", "REQUEST")
	req, failed := s.understand(r)
	if req == nil {
		failed.write(w, r)
		return
	}
	fault := s.record(req)
	out := &recorder{ResponseWriter: w, server: s, request: r, fault: fault, left: -1}
	defer func() { s.finish(out, req) }()
	switch lost := fault != nil && fault.Done && fault.Bytes == 0; {
	case lost:
		s.serve(&buffer{header: http.Header{}}, req, failed)
		fault.instead(out, r)
	case fault == nil || !fault.instead(out, r):
		s.serve(out, req, failed)
	}
}

// serve checks a request and carries it out.
func (s *Server) serve(w http.ResponseWriter, req *request, failed *failure) {
	if failed == nil {
		failed = s.authorize(req)
	}
	if failed == nil {
		failed = s.carryOut(w, req)
	}
	if failed != nil {
		failed.write(w, req.Request)
	}
}

// carryOut does what is asked under the lock, and answers outside of it: slow
// readers and faults must not hold up the server.
func (s *Server) carryOut(w http.ResponseWriter, r *request) *failure {
	answer := &buffer{header: w.Header()}
	if failed := s.locked(answer, r); failed != nil {
		return failed
	}
	answer.send(w)
	return nil
}

func (s *Server) locked(w http.ResponseWriter, r *request) *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.op {
	case "HeadBucket":
		w.Header().Set("X-Amz-Bucket-Region", s.o.Region)
		return nil
	case "GetBucketLocation":
		return s.location(w)
	case "ListObjectsV2":
		return s.list(w, r)
	case "ListMultipartUploads":
		return s.listUploads(w, r)
	case "DeleteObjects":
		return s.deleteMany(w, r)
	case "GetObject", "HeadObject":
		return s.get(w, r)
	case "PutObject":
		return s.put(w, r)
	case "CopyObject":
		return s.copy(w, r)
	case "DeleteObject":
		return s.delete(w, r)
	case "CreateMultipartUpload":
		return s.create(w, r)
	}
	return s.carryOutUpload(w, r)
}
