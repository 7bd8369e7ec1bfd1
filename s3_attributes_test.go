package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// onBucket starts a server on a bucket with more attributes than are needed.
func onBucket(t *testing.T, bucket *s3test.Server, storage, attributes string, env ...string) *server {
	t.Helper()
	text := fmt.Sprintf(`{"storage": {"rootDirectory": %q, %s "storageDriver": {"name": "s3", "region": "us-east-2", "bucket": %q, "regionendpoint": %q %s}}, "log": {"level": "debug"}}`,
		t.TempDir(), storage, bucket.Bucket(), bucket.URL(), attributes)
	path := filepath.Join(t.TempDir(), "berth.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, append(env, keysOfS3...), path, "--address", "127.0.0.1:0")
}

// seenOf are the requests of an operation.
func seenOf(bucket *s3test.Server, op string) []s3test.Seen {
	return slices.DeleteFunc(bucket.Seen(), func(s s3test.Seen) bool { return s.Op != op })
}

// TestAttributesAreHonoured: what the attributes of a driver ask for is what the
// bucket is asked for.
func TestAttributesAreHonoured(t *testing.T) {
	bucket := s3Bucket(t)
	s := onBucket(t, bucket, `"dedupe": false,`, `, "rootdirectory": "/some/where/", "encrypt": true, "keyid": "key-of-kms", "chunksize": 5242880,
		"multipartcopychunksize": "6MiB", "multipartcopymaxconcurrency": 2, "multipartcopythresholdsize": 8388608, "storageclass": "STANDARD_IA",
		"useragent": "shop/17", "objectacl": "bucket-owner-full-control", "loglevel": "debug", "v4auth": true`)
	addr := s.addresses()[0]
	layer := strings.Repeat("layer of 13 MiB\n", 13<<20/16)
	pushTo(t, addr, "one", "v1", layer)
	if n := len(seenOf(bucket, "UploadPart")); n != 3 {
		t.Errorf("chunksize: %d parts of 5 MiB hold 13", n)
	}
	url := "http://" + addr + "/v2/two/blobs/uploads/?from=one&mount=" + string(oci.SHA256.FromString(layer))
	if status, answer, _ := ask(t, "POST", url, ""); status != 201 {
		t.Fatalf("mount: %d %s", status, answer)
	}
	var ranges []string
	for _, seen := range seenOf(bucket, "UploadPartCopy") {
		ranges = append(ranges, seen.Header.Get("X-Amz-Copy-Source-Range"))
	}
	slices.Sort(ranges)
	if want := []string{"bytes=0-6291455", "bytes=12582912-13631487", "bytes=6291456-12582911"}; !slices.Equal(ranges, want) {
		t.Errorf("multipartcopychunksize: copied are %q, want %q", ranges, want)
	}
	for _, seen := range bucket.Seen() {
		if got := seen.Header.Get("User-Agent"); got != "shop/17" {
			t.Errorf("useragent: %s says it is %q", seen.Op, got)
		}
		if !strings.HasPrefix(seen.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
			t.Errorf("v4auth: %s is signed by %q", seen.Op, seen.Header.Get("Authorization"))
		}
		if seen.Key != "" && !strings.HasPrefix(seen.Key, "some/where/") {
			t.Errorf("rootdirectory: %s of %s", seen.Op, seen.Key)
		}
	}
	want := map[string]string{
		"x-amz-storage-class": "STANDARD_IA", "x-amz-acl": "bucket-owner-full-control",
		"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-of-kms",
	}
	for _, key := range bucket.Keys() {
		object, _ := bucket.Object(key)
		for name, value := range want {
			if object.Settings[name] != value {
				t.Errorf("%s: %s is %q, want %q", key, name, object.Settings[name], value)
			}
		}
	}
	if !strings.Contains(s.logged(), "op=UploadPart") {
		t.Errorf("loglevel: nothing is said of requests:\n%s", s.logged())
	}
	if strings.Contains(s.logged(), s3Secret) {
		t.Error("the log tells the secret")
	}
}

// TestAttributesByDefault: without attributes nothing is asked for but the
// content, and nothing is logged.
func TestAttributesByDefault(t *testing.T) {
	bucket := s3Bucket(t)
	s := onBucket(t, bucket, "", "")
	pushTo(t, s.addresses()[0], "one", "v1", "layer")
	for _, seen := range bucket.Seen() {
		if seen.Header.Get("User-Agent") != "berth" {
			t.Errorf("%s says it is %q", seen.Op, seen.Header.Get("User-Agent"))
		}
	}
	for _, key := range bucket.Keys() {
		if object, _ := bucket.Object(key); len(object.Settings) > 0 {
			t.Errorf("%s is written with %v", key, object.Settings)
		}
	}
	if strings.Contains(s.logged(), "storage request") {
		t.Errorf("requests are logged, and loglevel is off:\n%s", s.logged())
	}
}

// TestBucketAuthorities: a bucket's certificate is checked by the file that an
// attribute names, or AWS's variable, and by nothing else unless that is waived.
func TestBucketAuthorities(t *testing.T) {
	bucket := s3test.New(s3test.Options{Bucket: "zot-storage", Region: "us-east-2", AccessKey: "AKIDTEST", SecretKey: s3Secret, TLS: true})
	t.Cleanup(bucket.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bucket.Authority().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		attributes string
		env        []string
		status     int
	}{
		"nobody":     {status: 503},
		"attribute":  {attributes: fmt.Sprintf(`, "cafile": %q`, file), status: 202},
		"variable":   {env: []string{"AWS_CA_BUNDLE=" + file}, status: 202},
		"skipverify": {attributes: `, "skipverify": true`, status: 202},
	} {
		t.Run(name, func(t *testing.T) {
			s := onBucket(t, bucket, "", c.attributes, c.env...)
			status, answer, _ := ask(t, "POST", "http://"+s.addresses()[0]+"/v2/a/blobs/uploads/", "")
			if status != c.status {
				t.Errorf("%d %s", status, answer)
			}
			if c.status == http.StatusServiceUnavailable {
				eventually(t, "the log to tell why", func() bool { return strings.Contains(s.logged(), "certificate signed by unknown authority") })
			}
		})
	}
}
