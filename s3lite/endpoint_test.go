package s3lite

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/s3lite/s3test"
)

var sessionServer = s3test.Options{SessionToken: "token-of-the-test"}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Region: "eu-west-1"}, "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c?x=1"},
		{Options{Region: "eu-west-1", PathStyle: true}, "https://s3.eu-west-1.amazonaws.com/bucket/a%20b/c?x=1"},
		{Options{Region: "eu-west-1", PlainHTTP: true, DualStack: true}, "http://bucket.s3.dualstack.eu-west-1.amazonaws.com/a%20b/c?x=1"},
		{Options{Region: "us-gov-west-1", FIPS: true}, "https://bucket.s3-fips.us-gov-west-1.amazonaws.com/a%20b/c?x=1"},
		{Options{Region: "us-east-1", FIPS: true, DualStack: true, PathStyle: true}, "https://s3-fips.dualstack.us-east-1.amazonaws.com/bucket/a%20b/c?x=1"},
		{Options{Region: "eu-west-1", Accelerate: true}, "https://bucket.s3-accelerate.amazonaws.com/a%20b/c?x=1"},
		{Options{Region: "eu-west-1", Accelerate: true, DualStack: true}, "https://bucket.s3-accelerate.dualstack.amazonaws.com/a%20b/c?x=1"},
		{Options{Region: "cn-north-1"}, "https://bucket.s3.cn-north-1.amazonaws.com.cn/a%20b/c?x=1"},
		{Options{Region: "r", Endpoint: "minio:9000", PathStyle: true}, "https://minio:9000/bucket/a%20b/c?x=1"},
		{Options{Region: "r", Endpoint: "minio:9000", PathStyle: true, PlainHTTP: true}, "http://minio:9000/bucket/a%20b/c?x=1"},
		{Options{Region: "r", Endpoint: "http://[::1]:9000/", PathStyle: true}, "http://[::1]:9000/bucket/a%20b/c?x=1"},
		{Options{Region: "r", Endpoint: "https://gw.example/s3/", PathStyle: true}, "https://gw.example/s3/bucket/a%20b/c?x=1"},
		{Options{Region: "r", Endpoint: "https://s3.example"}, "https://bucket.s3.example/a%20b/c?x=1"},
		{Options{Region: "eu-west-1", Bucket: "with.dot"}, "https://s3.eu-west-1.amazonaws.com/with.dot/a%20b/c?x=1"},
	} {
		if c.o.Bucket == "" {
			c.o.Bucket = "bucket"
		}
		e, err := newEndpoint(c.o)
		if err != nil {
			t.Errorf("%+v: %v", c.o, err)
			continue
		}
		if got := e.place(c.o.Region, "a b/c", "x=1").URL; got.String() != c.want {
			t.Errorf("%+v: place is %s, want %s", c.o, got.String(), c.want)
		}
	}
}

func TestEndpointsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"short bucket":      {Bucket: "b", Region: "r"},
		"capitals at AWS":   {Bucket: "Bucket", Region: "r"},
		"slash":             {Bucket: "buck/et", Region: "r", Endpoint: "x"},
		"dots":              {Bucket: "buck..et", Region: "r"},
		"directory bucket":  {Bucket: "b--use1-az4--x-s3", Region: "r"},
		"no region":         {Bucket: "bucket"},
		"host as region":    {Bucket: "bucket", Region: "evil.example/"},
		"dot, accelerate":   {Bucket: "with.dot", Region: "r", Accelerate: true},
		"fips, accelerate":  {Bucket: "bucket", Region: "r", FIPS: true, Accelerate: true},
		"user":              {Bucket: "bucket", Region: "r", Endpoint: "http://a:b@x", PathStyle: true},
		"query":             {Bucket: "bucket", Region: "r", Endpoint: "http://x/?a", PathStyle: true},
		"other scheme":      {Bucket: "bucket", Region: "r", Endpoint: "ftp://x", PathStyle: true},
		"no host":           {Bucket: "bucket", Region: "r", Endpoint: "http://", PathStyle: true},
		"bucket before IP":  {Bucket: "bucket", Region: "r", Endpoint: "http://127.0.0.1:9"},
		"fips of a gateway": {Bucket: "bucket", Region: "r", Endpoint: "x", FIPS: true, PathStyle: true},
	} {
		if c, err := New(o); err == nil {
			t.Errorf("%s: %+v is taken", name, c.endpoint)
		} else if strings.Contains(err.Error(), "a:b") {
			t.Errorf("%s: a password shows in %v", name, err)
		}
	}
	if _, err := New(Options{Bucket: "Some_Bucket", Region: "r", Endpoint: "x", PathStyle: true}); err != nil {
		t.Errorf("a name that others than AWS allow: %v", err)
	}
}

func TestTrusts(t *testing.T) {
	aws, _ := newEndpoint(Options{Bucket: "bucket", Region: "eu-west-1"})
	own, _ := newEndpoint(Options{Bucket: "bucket", Region: "r", Endpoint: "http://s3.lan:9000", PathStyle: true})
	for target, want := range map[string][2]bool{
		"https://bucket.s3.us-west-2.amazonaws.com/k":   {true, false},
		"http://bucket.s3.us-west-2.amazonaws.com/k":    {false, false},
		"https://amazonaws.com.evil.example/k":          {false, false},
		"https://evilamazonaws.com/k":                   {false, false},
		"http://s3.lan:9001/k":                          {false, true},
		"https://node1.s3.lan/k":                        {false, true},
		"http://u:p@s3.lan/k":                           {false, false},
		"/relative":                                     {false, false},
		"https://bucket.s3.cn-north-1.amazonaws.com.cn": {false, false},
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{aws.trusts(u, "eu-west-1"), own.trusts(u, "r")}; got != want {
			t.Errorf("%s: trusted by AWS, by s3.lan: %v, want %v", target, got, want)
		}
	}
}

func TestRegionRedirect(t *testing.T) {
	for name, malformed := range map[string]bool{"301": false, "400": true} {
		p := connect(t, s3test.Options{Region: "eu-central-1", Malformed: malformed})
		p.server.Put("k", []byte("x"), nil)
		info, err := p.HeadObject(t.Context(), "k", GetOptions{})
		wants(t, name, err, nil)
		if info.Size != 1 || p.Region() != "eu-central-1" {
			t.Errorf("%s: object is %+v, region %s", name, info, p.Region())
		}
		_, err = p.PutObject(t.Context(), "l", Stream(strings.NewReader("y"), 1), PutOptions{IfNoneMatch: true})
		wants(t, name, err, nil)
		p.counts(t, "", 3)
		wants(t, name, p.HeadBucket(t.Context()), nil)
		region, err := p.GetBucketLocation(t.Context())
		wants(t, name, err, nil)
		if region != "eu-central-1" {
			t.Errorf("%s: location is %s", name, region)
		}
	}
}

func TestTemporaryRedirect(t *testing.T) {
	there := connect(t, s3test.Options{})
	there.server.Put("k k", []byte("there"), nil)
	p := connect(t, s3test.Options{})
	p.server.Fail(s3test.Fault{Status: 307, Code: "TemporaryRedirect", Location: there.server.URL() + "/bucket/k%20k"})
	if text, _ := p.read(t, "k k", GetOptions{}); text != "there" {
		t.Errorf("object is %q", text)
	}
	p.server.Fail(s3test.Fault{Status: 307, Code: "TemporaryRedirect", Location: "http://198.51.100.1/bucket/k"})
	_, err := p.GetObject(t.Context(), "k", GetOptions{})
	e, ok := err.(*Error)
	if !ok || e.Status != 307 || e.Attempts != 1 {
		t.Errorf("a redirect elsewhere: %v", err)
	}
}

func TestSkew(t *testing.T) {
	clock := s3test.NewClock()
	p := connect(t, s3test.Options{Now: func() time.Time { return clock.Now().Add(-2 * time.Hour) }})
	for range 2 {
		_, err := p.PutObject(t.Context(), "k", Bytes([]byte("x")), PutOptions{})
		wants(t, "put", err, nil)
	}
	p.counts(t, "", 3)
}

func TestPresign(t *testing.T) {
	p := connect(t, sessionServer)
	p.server.Put("a b+c", []byte("presigned"), nil)
	get := func(target string) (int, string, string) {
		resp, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header.Get("Content-Type")
	}
	target, err := p.PresignGetObject(t.Context(), "a b+c", time.Minute, PresignOptions{ContentType: "application/x"})
	wants(t, "presign", err, nil)
	p.counts(t, "", 0)
	if status, text, kind := get(target); status != 200 || text != "presigned" || kind != "application/x" {
		t.Errorf("answer is %d %q, %s", status, text, kind)
	}
	if status, _, _ := get(strings.Replace(target, "a%20b", "a%20c", 1)); status != 403 {
		t.Errorf("another key's answer is %d", status)
	}
	p.clock.Advance(2 * time.Minute)
	if status, _, _ := get(target); status != 403 {
		t.Errorf("answer after its end is %d", status)
	}
}

// TestWrongSignatures: the tests' server notices, so what it takes is signed.
func TestWrongSignatures(t *testing.T) {
	p := connect(t, s3test.Options{}, func(o *Options) {
		next := http.DefaultTransport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			r.Header.Set(r.Header.Get("If-None-Match"), "value")
			return next.RoundTrip(r)
		})
	})
	for header, kind := range map[string]error{"X-Unsigned": nil, "X-Amz-Unsigned": ErrAccessDenied, "X-Amz-Date": ErrAccessDenied, "X-Amz-Content-Sha256": ErrAccessDenied} {
		_, err := p.HeadObject(t.Context(), "k", GetOptions{IfNoneMatch: header})
		if kind == nil {
			kind = ErrNotFound
		}
		if header == "X-Amz-Date" {
			if e, ok := err.(*Error); !ok || e.Status != 400 {
				t.Errorf("%s: %v", header, err)
			}
			continue
		}
		wants(t, header, err, kind)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestVirtualHost(t *testing.T) {
	p := connect(t, s3test.Options{}, func(o *Options) {
		address := strings.TrimPrefix(o.Endpoint, "http://")
		o.Endpoint, o.PathStyle = "http://s3.test", false
		o.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	})
	_, err := p.PutObject(t.Context(), "a/b c", Bytes([]byte("x")), PutOptions{})
	wants(t, "put", err, nil)
	page, err := p.ListObjects(t.Context(), ListOptions{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "a/b c" {
		t.Errorf("list is %+v, %v", page, err)
	}
}

func TestAuthorities(t *testing.T) {
	for name, file := range map[string]string{"unknown": "", "named": filepath.Join(t.TempDir(), "ca.pem")} {
		p := connect(t, s3test.Options{TLS: true}, func(o *Options) { o.SkipVerify = false; o.CAFile = "" })
		o := Options{Bucket: "bucket", Region: "us-east-1", Endpoint: p.server.URL(), PathStyle: true, Credentials: given{p.server.Credentials()}, CAFile: file, Clock: p.clock}
		if file != "" {
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Authority().Raw})
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		err = c.HeadBucket(t.Context())
		if e, ok := err.(*Error); file == "" && (!ok || e.Attempts != 1 || !strings.Contains(err.Error(), "certificate")) || file != "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Bucket: "bucket", Region: "r", CAFile: "/does/not/exist"}); err == nil {
		t.Error("a file of authorities that is not there is taken")
	}
}

// TestBucketMissing: a HEAD's answer has no code to tell.
func TestBucketMissing(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	c, err := New(Options{Bucket: "bucket", Region: "r", Endpoint: server.URL, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	wants(t, "HEAD", c.HeadBucket(t.Context()), ErrNoSuchBucket)
}

func FuzzEndpoint(f *testing.F) {
	f.Add("http://127.0.0.1:9000/x", "bucket", "a/b c?#%2F..", true)
	f.Add("s3.example", "bu.cket", "//", false)
	f.Fuzz(func(t *testing.T, address, bucket, key string, inPath bool) {
		e, err := newEndpoint(Options{Bucket: bucket, Region: "eu-west-1", Endpoint: address, PathStyle: inPath})
		if err != nil {
			return
		}
		u := e.place("eu-west-1", key, "a=b").URL
		again, err := url.Parse(u.String())
		if err != nil || again.EscapedPath() != u.EscapedPath() || again.Host != u.Host || again.User != nil || again.RawQuery != "a=b" {
			t.Errorf("place %q reads as %+v, %v", u.String(), again, err)
		}
		if host := e.hostIn("eu-west-1"); u.Host != host && u.Host != bucket+"."+host {
			t.Errorf("host of %q is %q", address, u.Host)
		}
	})
}
