package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Client sends requests to one registry on behalf of one test.
type Client struct {
	t    testing.TB
	base string
	http *http.Client
}

// requestTimeout bounds one request: blobs of gigabytes are pushed and pulled.
const requestTimeout = 20 * time.Minute

// New makes a client of the registry at base, such as http://127.0.0.1:5000.
func New(t testing.TB, base string) *Client {
	return NewOver(t, base, &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64})
}

// NewOver is New over a transport of the caller's.
func NewOver(t testing.TB, base string, transport *http.Transport) *Client {
	t.Cleanup(transport.CloseIdleConnections)
	c := Outside(base, transport)
	c.t = t
	return c
}

// Outside makes a client for a program that is no test. Of its methods only
// those that return an error can be used, and of an Answer only its fields.
func Outside(base string, transport *http.Transport) *Client {
	return &Client{base: base, http: &http.Client{
		Transport: transport,
		Timeout:   requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// With is the same client for another test.
func (c *Client) With(t testing.TB) *Client { return &Client{t: t, base: c.base, http: c.http} }

// Request is what to send. Body is sent with its length where it is Bytes, and
// chunked where it is Stream and Length is 0.
type Request struct {
	Method string
	Path   string // with query; or a whole URL, as a Location may be
	Header map[string]string
	Bytes  []byte
	Stream io.Reader
	Length int64 // of Stream; 0: not known
}

// Answer is what came back, read to its end.
type Answer struct {
	t       testing.TB
	request string // for messages
	Status  int
	Header  http.Header
	Body    []byte
	Length  int64 // Content-Length, -1 where there is none
}

// Do sends a request and reads the whole answer.
func (c *Client) Do(r Request) *Answer {
	c.t.Helper()
	a, err := c.Try(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// Try is Do for a request that may fail to be sent or answered.
func (c *Client) Try(r Request) (*Answer, error) {
	res, err := c.Open(context.Background(), r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %d, then after %d of %d bytes: %w", r.Method, r.Path, res.StatusCode, len(body), res.ContentLength, err)
	}
	return &Answer{
		t: c.t, request: r.Method + " " + clip(r.Path), Status: res.StatusCode,
		Header: res.Header, Body: body, Length: res.ContentLength,
	}, nil
}

// Open sends a request; the caller reads and closes the answer's body.
func (c *Client) Open(ctx context.Context, r Request) (*http.Response, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	target, err := c.Resolve(r.Path)
	if err != nil {
		return nil, err
	}
	body, length := r.Stream, r.Length
	if body == nil && len(r.Bytes) > 0 {
		body, length = bytes.NewReader(r.Bytes), int64(len(r.Bytes))
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = length
		if length == 0 {
			req.ContentLength = -1
		}
	}
	for name, value := range r.Header {
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// Resolve makes a whole URL of a path or of a Location.
func (c *Client) Resolve(location string) (string, error) {
	base, err := url.Parse(c.base)
	if err != nil {
		return "", err
	}
	ref, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	return base.ResolveReference(ref).String(), nil
}

// Get sends a GET without a body.
func (c *Client) Get(path string) *Answer {
	c.t.Helper()
	return c.Do(Request{Method: "GET", Path: path})
}

// Head sends a HEAD.
func (c *Client) Head(path string) *Answer {
	c.t.Helper()
	return c.Do(Request{Method: "HEAD", Path: path})
}

// Delete sends a DELETE.
func (c *Client) Delete(path string) *Answer {
	c.t.Helper()
	return c.Do(Request{Method: "DELETE", Path: path})
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// JSON decodes the body into v.
func (a *Answer) JSON(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.Body, v); err != nil {
		a.t.Fatalf("%s: body is no JSON: %v\n%s", a.request, err, clip(string(a.Body)))
	}
}
