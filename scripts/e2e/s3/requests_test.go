package s3

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"berth/e2e/faults"
	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
	"berth/s3lite"
)

// TestRequestsOfAStart: a start asks the bucket for nothing, and a catalog of
// 1,000 repositories lists no blobs.
func TestRequestsOfAStart(t *testing.T) {
	bucket, gateway := client(t)
	const repos = 1000
	var making sync.WaitGroup
	for of := range 10 {
		making.Go(func() {
			for i := of; i < repos; i += 10 {
				dir := fmt.Sprintf("root/team%d/app%03d/", of, i)
				blob := fixture.Raw("text/plain", fmt.Append(nil, i))
				for path, content := range map[string][]byte{
					"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": []byte(`{"schemaVersion":2,"manifests":[]}`),
					"blobs/sha256/" + blob.Desc.Digest.Encoded(): blob.Content,
				} {
					_, err := bucket.PutObject(t.Context(), dir+path, s3lite.Bytes(content), s3lite.PutOptions{})
					wants(t, dir+path, err, nil)
				}
			}
		})
	}
	making.Wait()
	proxy := faults.Start(t, gateway.URL, 0)
	through := *gateway
	through.URL = proxy.URL
	server := harness.Start(t, harness.Config{Local: true, Env: append(through.Env(), "BERTH_STORAGE_STORAGEDRIVER_ROOTDIRECTORY=root")})
	c := wire.New(t, server.URL())
	c.Get("/v2/").Want(200)
	if seen := proxy.Seen(); len(seen) > 0 {
		t.Errorf("the start made requests: %v", seen)
	}
	var catalog struct{ Repositories []string }
	if err := json.Unmarshal(c.Get(fmt.Sprint("/v2/_catalog?n=", repos)).Want(200).Body, &catalog); err != nil || len(catalog.Repositories) != repos {
		t.Fatalf("the catalog has %d repositories: %v", len(catalog.Repositories), err)
	}
	for _, prefix := range proxy.Listed() {
		if strings.Contains(prefix, "/blobs/") {
			t.Errorf("%s was listed", prefix)
		}
	}
	all := 0
	for _, n := range proxy.Seen() {
		all += n
	}
	if all > repos+repos/10 {
		t.Errorf("the catalog took %d requests", all)
	}
}
