package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite"
	"berth/s3lite/s3test"
	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// given are credentials that do not change.
type given struct{ sigv4.Credentials }

func (g given) Get(context.Context) (sigv4.Credentials, error) { return g.Credentials, nil }
func (g given) Refused(sigv4.Credentials)                      {}

// chunk is the size of parts here, in bytes: small, and of more than smallBlob.
const chunk = 128 << 10

// bucket is a server, and the stores of replicas over it.
type bucket struct {
	*s3test.Server
	t          *testing.T
	once       sync.Once
	transports []*http.Transport
}

func newBucket(t *testing.T, o s3test.Options) *bucket {
	t.Helper()
	o.AnyTime = o.Now != nil // which goes ahead of the client's
	return strictBucket(t, o)
}

// strictBucket is newBucket with a server that looks at the time of signatures.
func strictBucket(t *testing.T, o s3test.Options) *bucket {
	t.Helper()
	o.MinPart = chunk
	b := &bucket{Server: s3test.New(o), t: t}
	t.Cleanup(b.close)
	return b
}

// close ends the server and the connections to it, once.
func (b *bucket) close() {
	b.once.Do(func() {
		for _, t := range b.transports {
			t.CloseIdleConnections()
		}
		b.Close()
	})
}

// client waits for nothing between attempts.
func (b *bucket) client() *s3lite.Client { return b.clientWith(nil) }

// watched tells of each request before it is sent.
type watched struct {
	http.RoundTripper
	before func(*http.Request)
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.before(r)
	return w.RoundTripper.RoundTrip(r)
}

// clientWith is a client that may tell of each request before it is sent.
func (b *bucket) clientWith(before func(*http.Request)) *s3lite.Client {
	b.t.Helper()
	transport, err := wire.NewTransport(wire.TransportOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.transports = append(b.transports, transport)
	var through http.RoundTripper = transport
	if before != nil {
		through = watched{transport, before}
	}
	client, err := s3lite.New(s3lite.Options{
		Bucket: b.Bucket(), Region: "us-east-1", Endpoint: b.URL(), PathStyle: true,
		Credentials: given{b.Credentials()}, Clock: s3test.NewClock(), Transport: through,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// replica is another process over the bucket.
func (b *bucket) replica(change ...func(*Options)) *Store {
	b.t.Helper()
	o := Options{
		Client: b.client(), Root: "root/dir", Dedupe: true, ChunkSize: chunk, minPart: chunk,
		CopyThreshold: 3 * chunk / 2, CopyChunkSize: chunk, CopyConcurrency: 2,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// noise is data that does not repeat soon.
func noise(seed uint32, n int) []byte {
	b := make([]byte, n)
	x := 2463534242 + seed
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless an error is of a kind.
func wants(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%s: error is %v, want %v", what, err, kind)
	}
}

// known is a body that tells how much is to come.
type known struct{ *bytes.Reader }

func (k known) Remaining() int64 { return int64(k.Len()) }

// push uploads content with its digest, and returns that.
func push(t *testing.T, s *Store, repo oci.Repo, content []byte) oci.Digest {
	t.Helper()
	d := oci.SHA256.FromBytes(content)
	id, err := s.CreateUpload(t.Context(), repo, oci.SHA256)
	ok(t, err)
	size, err := s.FinishUpload(t.Context(), repo, id, d, 0, known{bytes.NewReader(content)})
	ok(t, err)
	if size != int64(len(content)) {
		t.Fatalf("size is %d, want %d", size, len(content))
	}
	return d
}

// reads fails unless a repository's blob has this content, in every way of
// looking.
func reads(t *testing.T, s *Store, repo oci.Repo, content []byte) {
	t.Helper()
	d := oci.SHA256.FromBytes(content)
	info, err := s.StatBlob(t.Context(), repo, d)
	ok(t, err)
	if info.Size != int64(len(content)) {
		t.Fatalf("size is %d, want %d", info.Size, len(content))
	}
	for _, offset := range []int64{0, int64(len(content) / 2), int64(len(content))} {
		c, err := s.OpenBlob(t.Context(), repo, d, offset)
		ok(t, err)
		got, err := io.ReadAll(c)
		ok(t, err)
		ok(t, c.Close())
		if !bytes.Equal(got, content[offset:]) {
			t.Fatalf("%d bytes from %d on that are not the %d wanted", len(got), offset, len(content[offset:]))
		}
	}
	found := false
	ok(t, s.WalkBlobs(t.Context(), repo, func(other oci.Digest, info oci.BlobInfo) error {
		found = found || other == d && info.Size == int64(len(content))
		return nil
	}))
	if !found {
		t.Fatalf("the walk over %s does not tell of %s", repo, d)
	}
}

// keysWith are the keys that have a text in them.
func (b *bucket) keysWith(text string) []string {
	var out []string
	for _, key := range b.Keys() {
		if strings.Contains(key, text) {
			out = append(out, key)
		}
	}
	return out
}

// holders are repositories that may hold any blob.
type holders []oci.Repo

func (h holders) Holders(context.Context, oci.Digest, int) ([]oci.Repo, error) { return h, nil }
func (h holders) Add(context.Context, oci.Digest, ...oci.Repo) error           { return nil }
func (h holders) Remove(context.Context, oci.Digest, oci.Repo) error           { return nil }
func (h holders) Count(context.Context) (int64, error)                         { return 0, nil }
