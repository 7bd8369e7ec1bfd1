package s3lite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"berth/s3lite/s3test"
	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// given are credentials that do not change.
type given struct{ sigv4.Credentials }

func (g given) Get(context.Context) (sigv4.Credentials, error) { return g.Credentials, nil }
func (g given) Refused(sigv4.Credentials)                      {}

// pair is a client and the server that it speaks to.
type pair struct {
	*Client
	server *s3test.Server
	clock  *s3test.Clock
}

// connect makes a pair; change may change the client's options.
func connect(t *testing.T, o s3test.Options, change ...func(*Options)) *pair {
	t.Helper()
	clock := s3test.NewClock()
	if o.Now == nil {
		o.Now = clock.Now
	}
	server := s3test.New(o)
	t.Cleanup(server.Close)
	options := Options{
		Bucket: server.Bucket(), Region: "us-east-1", Endpoint: server.URL(), PathStyle: true,
		Credentials: given{server.Credentials()}, Clock: clock, SkipVerify: o.TLS,
	}
	for _, c := range change {
		c(&options)
	}
	if options.Transport == nil {
		transport, err := wire.NewTransport(wire.TransportOptions{SkipVerify: options.SkipVerify})
		if err != nil {
			t.Fatal(err)
		}
		transport.ExpectContinueTimeout = time.Hour // however slow the machine
		t.Cleanup(transport.CloseIdleConnections)
		options.Transport = transport
	}
	client, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &pair{client, server, clock}
}

// read gets an object whole.
func (p *pair) read(t *testing.T, key string, o GetOptions) (string, *Object) {
	t.Helper()
	object, err := p.GetObject(t.Context(), key, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := object.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(text), object
}

// wants fails unless an error is of a kind; nil for none.
func wants(t *testing.T, what string, err, kind error) {
	t.Helper()
	if kind == nil && err != nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: error is %v, want %v", what, err, kind)
	}
}

// counts fails unless there were so many requests of an operation.
func (p *pair) counts(t *testing.T, op string, want int) {
	t.Helper()
	if got := p.server.Count(op); got != want {
		t.Errorf("%d requests of %s, want %d: %v", got, op, want, p.server.Seen())
	}
}

// noise is data that does not repeat soon.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// oddKeys are keys that want care in paths and in XML.
var oddKeys = []string{
	"a", "a/b", "with space", "plus+sign", "per%cent", "per%2Fcent", "question?mark", "hash#", "ünï/日本", "quote\"'", "<&>", "semi;colon:at@", "=&=", "~-._", "tab\there", "a*b(c)!$,",
}

func TestOddKeys(t *testing.T) {
	p := connect(t, s3test.Options{PageSize: 5})
	ctx := t.Context()
	for _, key := range oddKeys {
		if _, err := p.PutObject(ctx, key, Bytes([]byte(key)), PutOptions{}); err != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		if text, _ := p.read(t, key, GetOptions{}); text != key {
			t.Errorf("key %q holds %q", key, text)
		}
		if _, err := p.CopyObject(ctx, key, "copy/"+key, CopyOptions{}); err != nil {
			t.Errorf("copy of %q: %v", key, err)
		}
	}
	found := map[string]bool{}
	if err := p.Walk(ctx, "", "", func(i Info) error { found[i.Key] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range oddKeys {
		if !found[key] || !found["copy/"+key] {
			t.Errorf("key %q or its copy is not in the list", key)
		}
		all = append(all, key, "copy/"+key)
	}
	if err := p.DeleteObjects(ctx, all); err != nil || len(p.server.Keys()) > 0 {
		t.Errorf("%v; left are %q", err, p.server.Keys())
	}
}

// sameBytes compares without printing megabytes.
func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes that differ from the %d wanted", what, len(got), len(want))
	}
}
