package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/e2e/harness"
	"berth/s3lite"
	"berth/s3lite/creds"
)

// client connects to a gateway of its own.
func client(t *testing.T) (*s3lite.Client, *harness.Gateway) {
	t.Helper()
	g := harness.StartGateway(t)
	s, err := s3lite.ParseSettings(map[string]string{
		"name": "s3", "region": g.Region, "regionendpoint": g.URL, "bucket": g.Bucket, "accesskey": g.AccessKey, "secretkey": g.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Connect(creds.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, g
}

func wants(t *testing.T, what string, err, kind error) {
	t.Helper()
	if kind == nil && err != nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%s: error is %v, want %v", what, err, kind)
	}
}

// noise is data that no compression makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func read(t *testing.T, c *s3lite.Client, key string, o s3lite.GetOptions) ([]byte, s3lite.Info) {
	t.Helper()
	object, err := c.GetObject(t.Context(), key, o)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	text, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text, object.Info
}

func TestObjects(t *testing.T) {
	c, g := client(t)
	ctx, data := t.Context(), noise(300_000)
	wants(t, "HEAD of the bucket", c.HeadBucket(ctx), nil)
	region, err := c.GetBucketLocation(ctx)
	if err != nil || region != g.Region {
		t.Errorf("location is %q, %v", region, err)
	}
	sum := sha256.Sum256(data)
	for name, body := range map[string]*s3lite.Body{
		"in memory": s3lite.Bytes(data), "streamed in signed chunks": s3lite.Stream(bytes.NewReader(data), int64(len(data))),
		"streamed with its digest": s3lite.Stream(bytes.NewReader(data), int64(len(data))).WithSHA256(hex.EncodeToString(sum[:])),
		"section":                  s3lite.Section(bytes.NewReader(append([]byte("xx"), data...)), 2, int64(len(data))),
	} {
		etag, err := c.PutObject(ctx, "a/b c+d", body, s3lite.PutOptions{ContentType: "text/x", Metadata: map[string]string{"digest": "sha256:1"}})
		wants(t, name, err, nil)
		text, info := read(t, c, "a/b c+d", s3lite.GetOptions{})
		if !bytes.Equal(text, data) || info.ETag != etag || info.ContentType != "text/x" || info.Metadata["digest"] != "sha256:1" || info.Size != int64(len(data)) {
			t.Errorf("%s: %d bytes, %+v, ETag %s", name, len(text), info, etag)
		}
	}
	_, err = c.PutObject(ctx, "wrong", s3lite.Stream(bytes.NewReader(data), int64(len(data))).WithSHA256(strings.Repeat("0", 64)), s3lite.PutOptions{})
	wants(t, "wrong digest", err, s3lite.ErrBadDigest)
	_, err = c.HeadObject(ctx, "wrong", s3lite.GetOptions{})
	wants(t, "what had the wrong digest", err, s3lite.ErrNotFound)
	if text, info := read(t, c, "a/b c+d", s3lite.GetOptions{Range: &s3lite.Range{Offset: 100, Length: 50}}); !bytes.Equal(text, data[100:150]) || info.Size != int64(len(data)) {
		t.Errorf("range has %d bytes, %+v", len(text), info)
	}
	for _, tail := range []int64{-50, -1 << 30} { // of which the second is all
		want := data[max(0, int64(len(data))+tail):]
		if text, info := read(t, c, "a/b c+d", s3lite.GetOptions{Range: &s3lite.Range{Offset: tail}}); !bytes.Equal(text, want) || info.Size != int64(len(data)) {
			t.Errorf("the last %d bytes are %d, %+v", -tail, len(text), info)
		}
	}
	info, err := c.HeadObject(ctx, "a/b c+d", s3lite.GetOptions{})
	wants(t, "HEAD", err, nil)
	_, err = c.GetObject(ctx, "a/b c+d", s3lite.GetOptions{IfNoneMatch: info.ETag})
	wants(t, "not modified", err, s3lite.ErrNotModified)
	_, err = c.GetObject(ctx, "a/b c+d", s3lite.GetOptions{IfMatch: `"0"`})
	wants(t, "another one", err, s3lite.ErrPrecondition)
	_, err = c.GetObject(ctx, "a/b c+d", s3lite.GetOptions{Range: &s3lite.Range{Offset: 1 << 30}})
	wants(t, "behind the end", err, s3lite.ErrInvalidRange)
	_, err = c.PutObject(ctx, "empty", s3lite.Bytes(nil), s3lite.PutOptions{Metadata: map[string]string{"of": "x"}})
	wants(t, "empty", err, nil)
	if text, info := read(t, c, "empty", s3lite.GetOptions{}); len(text) > 0 || info.Metadata["of"] != "x" {
		t.Errorf("empty object is %q, %+v", text, info)
	}
}

// TestConditions: of many that write at once, one wins.
func TestConditions(t *testing.T) {
	c, _ := client(t)
	ctx := t.Context()
	race := func(o s3lite.PutOptions) (winner string, won int) {
		t.Helper()
		type result struct {
			etag string
			err  error
		}
		results := make(chan result)
		for i := range 16 {
			go func() {
				etag, err := c.PutObject(ctx, "index", s3lite.Bytes(fmt.Append(nil, "writer ", i, o)), o)
				results <- result{etag, err}
			}()
		}
		for range 16 {
			r := <-results
			switch {
			case r.err == nil:
				winner, won = r.etag, won+1
			case !errors.Is(r.err, s3lite.ErrPrecondition) && !errors.Is(r.err, s3lite.ErrConflict):
				t.Errorf("a writer that lost: %v", r.err)
			}
		}
		return winner, won
	}
	_, err := c.PutObject(ctx, "index", s3lite.Bytes(nil), s3lite.PutOptions{IfMatch: `"0123"`})
	wants(t, "swap of nothing", err, s3lite.ErrNotFound)
	first, won := race(s3lite.PutOptions{IfNoneMatch: true})
	if won != 1 {
		t.Errorf("%d writers made the object", won)
	}
	if _, won := race(s3lite.PutOptions{IfMatch: first}); won != 1 {
		t.Errorf("%d writers swapped the object", won)
	}
	_, err = c.PutObject(ctx, "index", s3lite.Bytes(nil), s3lite.PutOptions{IfMatch: first})
	wants(t, "swap of the old one", err, s3lite.ErrPrecondition)
}

func TestMultipart(t *testing.T) {
	c, _ := client(t)
	ctx, data := t.Context(), noise(s3lite.MinPart+1000)
	_, err := c.PutObject(ctx, "source", s3lite.Bytes(data), s3lite.PutOptions{})
	wants(t, "source", err, nil)
	u, err := c.CreateMultipartUpload(ctx, "big/k", s3lite.PutOptions{Metadata: map[string]string{"a": "b"}})
	wants(t, "create", err, nil)
	first, err := c.UploadPart(ctx, u, 1, s3lite.Bytes(data[:s3lite.MinPart]))
	wants(t, "part 1", err, nil)
	// Numbers are left out where a process that claimed them has died.
	second, err := c.UploadPartCopy(ctx, u, 9, "source", &s3lite.Range{Offset: 7, Length: s3lite.MinPart}, "")
	wants(t, "part 9", err, nil)
	last, err := c.UploadPart(ctx, u, 471, s3lite.Stream(bytes.NewReader(data[:1000]), 1000))
	wants(t, "part 471", err, nil)
	var listed []string
	wants(t, "parts", c.ListParts(ctx, u, 0, func(p s3lite.Part) error { listed = append(listed, fmt.Sprint(p.Number, p.ETag, p.Size)); return nil }), nil)
	if want := []string{fmt.Sprint(1, first.ETag, first.Size), fmt.Sprint(9, second.ETag, second.Size), fmt.Sprint(471, last.ETag, last.Size)}; !slices.Equal(listed, want) {
		t.Errorf("parts are %q, want %q", listed, want)
	}
	found := false // MinIO lists those of one key only
	wants(t, "uploads", c.ListMultipartUploads(ctx, u.Key, func(l s3lite.Upload) error { found = found || l.ID == u.ID && l.Key == u.Key; return nil }), nil)
	if !found {
		t.Error("the upload is not listed")
	}
	etag, err := c.CompleteMultipartUpload(ctx, u, []s3lite.Part{first, second, last}, s3lite.PutOptions{IfNoneMatch: true})
	wants(t, "complete", err, nil)
	want := slices.Concat(data[:s3lite.MinPart], data[7:s3lite.MinPart+7], data[:1000])
	if text, info := read(t, c, "big/k", s3lite.GetOptions{}); !bytes.Equal(text, want) || info.ETag != etag || info.Metadata["a"] != "b" {
		t.Errorf("object has %d bytes, %+v; ETag %s", len(text), info, etag)
	}
	wants(t, "parts of what is over", c.ListParts(ctx, u, 0, func(s3lite.Part) error { return nil }), s3lite.ErrNoSuchUpload)
	u, err = c.CreateMultipartUpload(ctx, "big/k", s3lite.PutOptions{})
	wants(t, "create", err, nil)
	small, err := c.UploadPart(ctx, u, 1, s3lite.Bytes(data[:10]))
	wants(t, "part", err, nil)
	_, err = c.CompleteMultipartUpload(ctx, u, []s3lite.Part{small}, s3lite.PutOptions{IfNoneMatch: true})
	wants(t, "where one is already", err, s3lite.ErrPrecondition)
	wants(t, "abort", c.AbortMultipartUpload(ctx, u), nil)
	wants(t, "abort again", c.AbortMultipartUpload(ctx, u), nil)
}

func TestListCopyDelete(t *testing.T) {
	c, g := client(t)
	ctx := t.Context()
	keys := []string{"l/a", "l/b/1", "l/b/2", "l/c d", "l/e+f", "l/g&h"}
	for _, key := range keys {
		_, err := c.PutObject(ctx, key, s3lite.Bytes([]byte(key)), s3lite.PutOptions{})
		wants(t, key, err, nil)
	}
	var walked []string
	wants(t, "walk", c.Walk(ctx, "l/", "l/a", func(i s3lite.Info) error { walked = append(walked, i.Key); return nil }), nil)
	if !slices.Equal(walked, keys[1:]) {
		t.Errorf("walked %q, want %q", walked, keys[1:])
	}
	var objects, prefixes []string
	for o := (s3lite.ListOptions{Prefix: "l/", Delimiter: "/", Max: 2}); ; {
		page, err := c.ListObjects(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Objects {
			objects = append(objects, i.Key)
		}
		prefixes = append(prefixes, page.Prefixes...)
		if o.Token = page.Next; o.Token == "" {
			break
		}
	}
	if !slices.Equal(objects, []string{"l/a", "l/c d", "l/e+f", "l/g&h"}) || !slices.Equal(prefixes, []string{"l/b/"}) {
		t.Errorf("list is %q and %q", objects, prefixes)
	}
	_, err := c.CopyObject(ctx, "l/c d", "copy/of it", s3lite.CopyOptions{Replace: &s3lite.PutOptions{Metadata: map[string]string{"x": "y"}}})
	wants(t, "copy", err, nil)
	if text, info := read(t, c, "copy/of it", s3lite.GetOptions{}); string(text) != "l/c d" || info.Metadata["x"] != "y" {
		t.Errorf("copy is %q, %+v", text, info)
	}
	_, err = c.CopyObject(ctx, "missing", "copy", s3lite.CopyOptions{})
	wants(t, "copy of nothing", err, s3lite.ErrNotFound)
	wants(t, "delete", c.DeleteObject(ctx, "l/a", ""), nil)
	wants(t, "delete again", c.DeleteObject(ctx, "l/a", ""), nil)
	wants(t, "delete many", c.DeleteObjects(ctx, append(keys, "copy/of it")), nil)
	page, err := c.ListObjects(ctx, s3lite.ListOptions{})
	if err != nil || len(page.Objects) > 0 {
		t.Errorf("left is %+v, %v", page, err)
	}
	if _, err := os.Stat(filepath.Join(g.Dir, "l", "a")); !os.IsNotExist(err) {
		t.Errorf("a deleted object's file: %v", err)
	}
}

func TestPresign(t *testing.T) {
	c, g := client(t)
	_, err := c.PutObject(t.Context(), "a b", s3lite.Bytes([]byte("presigned")), s3lite.PutOptions{})
	wants(t, "put", err, nil)
	target, err := c.PresignGetObject(t.Context(), "a b", time.Minute, s3lite.PresignOptions{ContentType: "text/y"})
	wants(t, "presign", err, nil)
	answer, err := http.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || string(text) != "presigned" || answer.Header.Get("Content-Type") != "text/y" {
		t.Errorf("answer is %d %q, %v, %v", answer.StatusCode, text, answer.Header, err)
	}
	wrong, err := s3lite.New(s3lite.Options{
		Bucket: g.Bucket, Region: g.Region, Endpoint: g.URL, PathStyle: true, Credentials: creds.NewCache(creds.Keys(g.AccessKey, "wrong", ""), nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	_, err = wrong.ListObjects(context.Background(), s3lite.ListOptions{})
	wants(t, "wrong key", err, s3lite.ErrAccessDenied)
}
