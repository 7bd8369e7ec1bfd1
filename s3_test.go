package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"berth/config"
	"berth/oci"
	"berth/s3lite"
	"berth/s3lite/s3test"
)

const s3Secret = "a-secret-of-this-test"

// s3Bucket is a server with the bucket and keys that the guide's examples name.
func s3Bucket(t *testing.T) *s3test.Server {
	s := s3test.New(s3test.Options{Bucket: "zot-storage", Region: "us-east-2", AccessKey: "AKIDTEST", SecretKey: s3Secret})
	t.Cleanup(s.Close)
	return s
}

// keysOfS3 is the environment with the keys.
var keysOfS3 = []string{"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + s3Secret, "AWS_EC2_METADATA_DISABLED=true", "HOME=/nonexistent"}

// guide is an example of the guide's with its addresses, keys and directories
// replaced.
func guide(t *testing.T, name string, bucket *s3test.Server, tables string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata/guide", name))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"/tmp/zot", t.TempDir(), "/zot-a", t.TempDir(),
		`"bucket": "zot-storage"`, `"bucket": "zot-storage", "regionendpoint": "`+bucket.URL()+`"`,
		"http://localhost:4566", tables, "<YOUR_ACCESS_KEY_ID>", "AKIDTEST", "<YOUR_SECRET_ACCESS_KEY>", s3Secret,
	).Replace(string(content))
	if !json.Valid([]byte(text)) {
		t.Fatalf("%s is no JSON any more:\n%s", name, text)
	}
	path := filepath.Join(t.TempDir(), "berth.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask makes a request and returns what it is answered.
func ask(t *testing.T, method, url, body string, header ...string) (status int, answer string, got http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// pushTo pushes an image of one layer, and returns its manifest.
func pushTo(t *testing.T, addr, repo, tag, layer string) string {
	t.Helper()
	const config = "{}"
	for _, blob := range []string{config, layer} {
		d := oci.SHA256.FromString(blob)
		if status, answer, _ := ask(t, "POST", "http://"+addr+"/v2/"+repo+"/blobs/uploads/?digest="+string(d), blob); status != 201 {
			t.Fatalf("push of a blob: %d %s", status, answer)
		}
	}
	entry := func(typ, content string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typ, oci.SHA256.FromString(content), len(content))
	}
	const typ = "application/vnd.oci.image.manifest.v1+json"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, typ,
		entry("application/vnd.oci.image.config.v1+json", config), entry("application/vnd.oci.image.layer.v1.tar", layer))
	if status, answer, _ := ask(t, "PUT", "http://"+addr+"/v2/"+repo+"/manifests/"+tag, manifest, "Content-Type", typ); status != 201 {
		t.Fatalf("push of a manifest: %d %s", status, answer)
	}
	return manifest
}

// TestGuideStarts: every example of the guide starts, serves, and keeps what is
// pushed where it says; no secret is told to anybody.
func TestGuideStarts(t *testing.T) {
	var calls atomic.Int64
	tables := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"x#AccessDeniedException","message":"not today"}`)
	}))
	defer tables.Close()
	for _, c := range []struct {
		name, repo string
		key        string // of the index in the bucket; "": it is not there
		asks       bool   // the table
	}{
		{"s3.json", "a/b", "zot/a/b/index.json", false},
		{"s3-keys.json", "a/b", "a/b/index.json", false},
		{"s3-subpaths.json", "a/b", "b/index.json", false},
		{"s3-subpaths.json", "other", "", false},
		{"dynamodb.json", "a/b", "", true},
		{"dynamodb-search.json", "a/b", "", true},
	} {
		t.Run(c.name+" "+c.repo, func(t *testing.T) {
			bucket := s3Bucket(t)
			before := calls.Load()
			s := start(t, keysOfS3, guide(t, c.name, bucket, tables.URL), "--address", "127.0.0.1:0")
			if seen := bucket.Seen(); len(seen) > 0 {
				t.Errorf("the start asked the bucket: %+v", seen)
			}
			addr := s.addresses()[0]
			manifest := pushTo(t, addr, c.repo, "v1", "a layer")
			if status, answer, _ := ask(t, "GET", "http://"+addr+"/v2/"+c.repo+"/manifests/v1", ""); status != 200 || answer != manifest {
				t.Errorf("pull: %d %s", status, answer)
			}
			wrote := slices.ContainsFunc(bucket.Seen(), func(seen s3test.Seen) bool { return seen.Op == "PutObject" && seen.Key == c.key })
			if wrote != (c.key != "") || c.key == "" && bucket.Count("") > 0 {
				t.Errorf("%q is in the bucket: %v, after %d requests", c.key, wrote, bucket.Count(""))
			}
			if c.asks {
				eventually(t, "the table to be asked", func() bool { return calls.Load() > before })
			} else if calls.Load() != before {
				t.Error("the table was asked, and remoteCache is off")
			}
			if said := s.logged(); strings.Contains(said, s3Secret) {
				t.Errorf("the log tells the secret:\n%s", said)
			}
		})
	}
}

// TestReplicas: two servers with one bucket serve what either was given, and a
// third that only reads writes nothing.
func TestReplicas(t *testing.T) {
	bucket := s3Bucket(t)
	one := start(t, keysOfS3, guide(t, "s3.json", bucket, ""), "--address", "127.0.0.1:0").addresses()[0]
	two := start(t, keysOfS3, guide(t, "s3.json", bucket, ""), "--address", "127.0.0.1:0").addresses()[0]
	reading := start(t, keysOfS3, guide(t, "s3.json", bucket, ""), "--address", "127.0.0.1:0", "--read-only").addresses()[0]
	first := pushTo(t, one, "app", "v1", "one")
	second := pushTo(t, two, "app", "v2", "two")
	for _, addr := range []string{one, two, reading} {
		for tag, want := range map[string]string{"v1": first, "v2": second} {
			if status, answer, _ := ask(t, "GET", "http://"+addr+"/v2/app/manifests/"+tag, ""); status != 200 || answer != want {
				t.Errorf("%s of %s: %d %s", tag, addr, status, answer)
			}
		}
		layer := oci.SHA256.FromString("one")
		if status, answer, _ := ask(t, "GET", "http://"+addr+"/v2/app/blobs/"+string(layer), ""); status != 200 || answer != "one" {
			t.Errorf("layer of %s: %d %s", addr, status, answer)
		}
	}
	if status, _, _ := ask(t, "POST", "http://"+reading+"/v2/app/blobs/uploads/", ""); status != 405 {
		t.Errorf("a push to the one that reads: %d", status)
	}
}

// TestAttributes: the configuration has the driver's attributes, by their names
// and with their defaults.
func TestAttributes(t *testing.T) {
	const path = "storage.storageDriver."
	defaults := map[string]string{}
	for _, k := range config.Keys() {
		if name, ok := strings.CutPrefix(k.Path, path); ok {
			defaults[name] = k.Implied()
		}
	}
	for _, a := range s3lite.Attributes() {
		if value, there := defaults[a.Name]; !there || value != a.Default {
			t.Errorf("attribute %s has the default %q, and as a key (there: %v) %q", a.Name, a.Default, there, value)
		}
		delete(defaults, a.Name)
	}
	if len(defaults) > 0 {
		t.Errorf("keys that are no attributes: %v", defaults)
	}
}
