package s3

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/faults"
	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// TestRequestsOfAStart: a start asks the bucket for nothing, and a catalog of
// 1,000 repositories lists no blobs.
func TestRequestsOfAStart(t *testing.T) {
	if os.Getenv("E2E_S3") == "minio" {
		t.Skip("MinIO does not keep objects as files, and so takes none that way")
	}
	gateway := harness.StartGateway(t)
	const repos, perRepo = 1000, 3
	for i := range repos {
		dir := filepath.Join(gateway.Dir, "root", fmt.Sprintf("team%d", i%10), fmt.Sprintf("app%03d", i))
		for path, content := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2,"manifests":[]}`} {
			write(t, filepath.Join(dir, path), content)
		}
		for b := range perRepo {
			n := fixture.Raw("text/plain", fmt.Appendf(nil, "%d %d", i, b))
			write(t, filepath.Join(dir, "blobs", "sha256", n.Desc.Digest.Encoded()), string(n.Content))
		}
	}
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

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
