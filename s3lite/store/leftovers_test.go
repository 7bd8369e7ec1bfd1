package store

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite"
	"berth/s3lite/s3test"
)

// TestLeftovers: what died is removed, and what lives is not.
func TestLeftovers(t *testing.T) {
	b, clock := clockedBucket(t)
	s := b.sweeps(clock)
	content := noise(1, 5*chunk/2)
	push(t, s, "a", noise(2, chunk))
	live, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
	ok(t, err)
	_, err = s.AppendUpload(t.Context(), "a", live, 0, bytes.NewReader(content))
	ok(t, err)
	_, err = s.client.CreateMultipartUpload(t.Context(), "root/dir/.berth/content/sha256/x", s3lite.PutOptions{})
	ok(t, err)
	dead := s.keys.data("a", "01234567-89ab-cdef-0123-456789abcdef")
	b.Put(dead, []byte("data"), nil)
	if names := sweep(t, s); len(names) > 0 || len(b.Uploads()) != 2 {
		t.Fatalf("young things were removed: %q; left %q", names, b.Uploads())
	}
	clock.advance(abandonedAfter + time.Hour)
	var told []string
	dry := func(name string, size int64) error { told = append(told, name); return nil }
	ok(t, s.RemoveLeftovers(t.Context(), true, dry))
	if len(told) != 2 || len(b.Uploads()) != 2 || len(b.keysWith(dataSuffix)) != 1 {
		t.Fatalf("dry, told of %q; left %q, %q", told, b.Uploads(), b.Keys())
	}
	if names := sweep(t, s); len(names) != 2 || len(b.Uploads()) != 1 || len(b.keysWith(dataSuffix)) != 0 {
		t.Fatalf("removed %q; left %q, %q", names, b.Uploads(), b.Keys())
	}
	_, err = s.FinishUpload(t.Context(), "a", live, oci.SHA256.FromBytes(content), oci.AtEnd, nil)
	ok(t, err)
	reads(t, s, "a", content)
	b.left(t)
}

// TestRedirect: a URL gives large content to anybody, and small content none.
func TestRedirect(t *testing.T) {
	for _, dedupe := range []bool{true, false} {
		b := newBucket(t, s3test.Options{})
		s := b.replica(func(o *Options) { o.Dedupe, o.Redirect = dedupe, true })
		content := noise(1, chunk)
		large, small := push(t, s, "a", content), push(t, s, "a", []byte("small"))
		url, err := s.RedirectBlob(t.Context(), "a", small)
		if ok(t, err); url != "" {
			t.Errorf("small content is at %s", url)
		}
		_, err = s.RedirectBlob(t.Context(), "b", large)
		wants(t, "unknown", err, oci.ErrBlobUnknown)
		for range 2 {
			url, err = s.RedirectBlob(t.Context(), "a", large)
			ok(t, err)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			ok(t, err)
			answer, err := http.DefaultClient.Do(request)
			ok(t, err)
			var got bytes.Buffer
			_, err = got.ReadFrom(answer.Body)
			ok(t, err)
			ok(t, answer.Body.Close())
			if answer.StatusCode != 200 || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("%s: status %d, %d bytes", strings.Split(url, "?")[0], answer.StatusCode, got.Len())
			}
		}
		plain := b.replica()
		if url, err = plain.RedirectBlob(t.Context(), "a", large); err != nil || url != "" {
			t.Errorf("without redirects: %q, %v", url, err)
		}
	}
}
