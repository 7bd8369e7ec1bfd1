package s3lite

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"berth/s3lite/wire"
)

// Body is what a call sends; see Bytes, Section and Stream.
type Body = wire.Body

// Bytes is a body in memory.
func Bytes(b []byte) *Body { return wire.Bytes(b) }

// Section is a body of size bytes of a file or the like, from an offset on.
func Section(r io.ReaderAt, offset, size int64) *Body { return wire.Section(r, offset, size) }

// Stream is a body of size bytes that can be read once: such a call is not
// repeated once it has begun to send.
func Stream(r io.Reader, size int64) *Body { return wire.Stream(r, size) }

// Options say which bucket, where, and how to speak to it.
type Options struct {
	Bucket string
	// Region of the bucket. A wrong one is corrected by what AWS answers.
	Region string
	// Endpoint of a server that is not AWS: host, host:port or a URL, whose
	// scheme counts more than PlainHTTP. "" for AWS.
	Endpoint  string
	PlainHTTP bool
	// PathStyle puts the bucket in the path, not in front of the host.
	PathStyle bool
	// DualStack, FIPS and Accelerate choose AWS's endpoints of these kinds.
	DualStack, FIPS, Accelerate bool

	// Credentials to sign with; nil for requests that are not signed.
	Credentials wire.Credentials
	// CAFile and SkipVerify are those of wire.TransportOptions.
	CAFile     string
	SkipVerify bool
	// Transport makes the connections; nil for those of this package.
	Transport http.RoundTripper

	UserAgent string // "berth" where it is empty
	// StorageClass and ACL of each object that is written; "" for the
	// bucket's own.
	StorageClass, ACL string
	// Encrypt asks for encryption at rest: with a key of KMS where KMSKey
	// names one, else with the service's own.
	Encrypt bool
	KMSKey  string

	// Attempts, Stall, Clock, Log and LogRequests are those of wire.Options.
	Attempts    int
	Stall       time.Duration
	Clock       wire.Clock
	Log         *slog.Logger
	LogRequests bool
	// Quiet logs nothing, not even repetitions.
	Quiet bool
}

// Client makes calls to one bucket. It is safe for use by many goroutines.
type Client struct {
	wire     *wire.Client
	creds    wire.Credentials
	endpoint endpoint
	region   atomic.Pointer[string]
	written  http.Header // of each object that is written
	idle     interface{ CloseIdleConnections() }
}

// New checks the options and makes a client. It sends nothing.
func New(o Options) (*Client, error) {
	e, err := newEndpoint(o)
	if err != nil {
		return nil, err
	}
	c := &Client{creds: o.Credentials, endpoint: e, written: writtenHeader(o)}
	c.region.Store(&o.Region)
	transport := o.Transport
	if transport == nil {
		own, err := wire.NewTransport(wire.TransportOptions{CAFile: o.CAFile, SkipVerify: o.SkipVerify})
		if err != nil {
			return nil, err
		}
		transport, c.idle = own, own
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "berth"
	}
	if o.Quiet {
		o.Log = nil
	}
	c.wire = wire.New(wire.Options{
		RoundTripper: transport, Service: "s3", Credentials: o.Credentials, UserAgent: agent,
		Fault: faultOf, Kind: kindOf, Attempts: o.Attempts, Stall: o.Stall,
		Clock: o.Clock, Log: o.Log, LogRequests: o.LogRequests,
	})
	return c, nil
}

// Close ends connections that nobody uses. Calls under way go on.
func (c *Client) Close() {
	if c.idle != nil {
		c.idle.CloseIdleConnections()
	}
}

// Region is that of the bucket, as far as it is known by now.
func (c *Client) Region() string { return *c.region.Load() }

// writtenHeader is what each object is written with.
func writtenHeader(o Options) http.Header {
	h := http.Header{}
	set(h, "X-Amz-Storage-Class", o.StorageClass)
	set(h, "X-Amz-Acl", o.ACL)
	switch {
	case o.Encrypt && o.KMSKey != "":
		set(h, "X-Amz-Server-Side-Encryption", "aws:kms")
		set(h, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", o.KMSKey)
	case o.Encrypt:
		set(h, "X-Amz-Server-Side-Encryption", "AES256")
	}
	return h
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// call is one request to the bucket.
type call struct {
	op, method string
	key        string // "" for the bucket
	query      url.Values
	header     http.Header
	body       *Body
	once, slow bool
	before     time.Time // see wire.Request.Before
	read       func(header http.Header, body io.Reader) error
}

// ignore is the reader of answers whose body says nothing.
func ignore(http.Header, io.Reader) error { return nil }

func (c *Client) do(ctx context.Context, k call) (*http.Response, error) {
	var elsewhere *url.URL
	region := c.Region()
	target := c.endpoint.bucket
	if k.key != "" {
		target += "/" + k.key
	}
	return c.wire.Do(ctx, &wire.Request{
		Op: k.op, Target: target, Method: k.method, Header: k.header, Body: k.body,
		Once: k.once, Slow: k.slow, Before: k.before, Read: k.read,
		Place: func() wire.Place {
			region = c.Region()
			place := c.endpoint.place(region, k.key, k.query.Encode())
			if elsewhere != nil {
				place.URL = *elsewhere
			}
			return place
		},
		Moved: func(e *Error) bool {
			if isRegion(e.Region) && e.Region != region {
				c.region.Store(&e.Region)
				return true
			}
			u, err := url.Parse(e.Location)
			if e.Status != http.StatusTemporaryRedirect || err != nil || !c.endpoint.trusts(u, region) {
				return false
			}
			elsewhere = u
			return true
		},
	})
}
