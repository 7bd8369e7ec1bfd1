package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// mixed starts a server whose root and whose subpaths lie in buckets and on disks.
func mixed(t *testing.T, storage string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.json")
	if err := os.WriteFile(path, []byte(`{"storage": `+storage+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, keysOfS3, path, "--address", "127.0.0.1:0").addresses()[0]
}

// driverOf are the attributes of a bucket.
func driverOf(bucket *s3test.Server, root string) string {
	return fmt.Sprintf(`"storageDriver": {"name": "s3", "region": "us-east-2", "bucket": %q, "regionendpoint": %q, "rootdirectory": %q}`, bucket.Bucket(), bucket.URL(), root)
}

// onDisk tells whether a directory has a blob, in whatever repository.
func onDisk(t *testing.T, dir, blob string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "blobs", "sha256", oci.SHA256.FromString(blob).Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}

// inBucket tells whether a bucket has a blob below a prefix.
func inBucket(bucket *s3test.Server, prefix, blob string) bool {
	for _, key := range bucket.Keys() {
		if strings.HasPrefix(key, prefix) && strings.HasSuffix(key, "/"+oci.SHA256.FromString(blob).Encoded()) {
			return true
		}
	}
	return false
}

// mountFrom mounts a blob of one repository in another, and reads it there.
func mountFrom(t *testing.T, addr, from, to, blob string) {
	t.Helper()
	base, d := "http://"+addr+"/v2/", string(oci.SHA256.FromString(blob))
	if status, answer, _ := ask(t, "POST", base+to+"/blobs/uploads/?mount="+d+"&from="+from, ""); status != 201 {
		t.Fatalf("mount of %s in %s: %d %s", from, to, status, answer)
	}
	for _, repo := range []string{from, to} {
		if status, answer, _ := ask(t, "GET", base+repo+"/blobs/"+d, ""); status != 200 || answer != blob {
			t.Errorf("%s has %d other bytes: %d", repo, len(answer), status)
		}
		if status, answer, _ := ask(t, "GET", base+repo+"/blobs/"+d, "", "Range", "bytes=3-9"); status != 206 || answer != blob[3:10] {
			t.Errorf("part of %s: %d %q", repo, status, answer)
		}
	}
}

// TestMixedPlaces: a local root with a bucket below it, and the other way round,
// are one registry: each keeps its own, and blobs are mounted from one in the
// other.
func TestMixedPlaces(t *testing.T) {
	small, large := "a small layer", strings.Repeat("a large layer\n", 20_000)
	for name, rootInBucket := range map[string]bool{"bucket below a disk": false, "disk below a bucket": true} {
		t.Run(name, func(t *testing.T) {
			bucket, root, sub := s3Bucket(t), t.TempDir(), t.TempDir()
			disk, remote := "app", "far/app"
			storage := fmt.Sprintf(`{"rootDirectory": %q, "subPaths": {"/far": {"rootDirectory": %q, %s}}}`, root, sub, driverOf(bucket, "/r"))
			files := root
			if rootInBucket {
				disk, remote, files = "near/app", "app", sub
				storage = fmt.Sprintf(`{"rootDirectory": %q, %s, "subPaths": {"/near": {"rootDirectory": %q}}}`, root, driverOf(bucket, "/r"), sub)
			}
			addr := mixed(t, storage)
			inFiles, inObjects := pushTo(t, addr, disk, "v1", small), pushTo(t, addr, remote, "v1", large)
			for repo, want := range map[string]string{disk: inFiles, remote: inObjects} {
				if status, answer, _ := ask(t, "GET", "http://"+addr+"/v2/"+repo+"/manifests/v1", ""); status != 200 || answer != want {
					t.Errorf("%s: %d %s", repo, status, answer)
				}
			}
			if !onDisk(t, files, small) || inBucket(bucket, "r/", small) || onDisk(t, files, large) || !inBucket(bucket, "r/", large) {
				t.Errorf("on the disk: %v, %v; in the bucket: %q", onDisk(t, files, small), onDisk(t, files, large), bucket.Keys())
			}
			if status, answer, _ := ask(t, "GET", "http://"+addr+"/v2/_catalog", ""); status != 200 || !strings.Contains(answer, `"`+disk+`"`) || !strings.Contains(answer, `"`+remote+`"`) {
				t.Errorf("catalog: %d %s", status, answer)
			}
			mountFrom(t, addr, disk, remote+"-2", small)
			mountFrom(t, addr, remote, disk+"-2", large)
			if !onDisk(t, files, large) || !inBucket(bucket, "r/", small) {
				t.Error("what was mounted lies where it was")
			}
		})
	}
}

// TestTwoBuckets: two roots in buckets keep apart, and mount from one another.
func TestTwoBuckets(t *testing.T) {
	one, two := s3Bucket(t), s3Bucket(t)
	addr := mixed(t, fmt.Sprintf(`{"rootDirectory": %q, %s, "subPaths": {"/b": {"rootDirectory": %q, %s, "dedupe": false}}}`,
		t.TempDir(), driverOf(one, ""), t.TempDir(), driverOf(two, "/deep/er")))
	layer := strings.Repeat("a large layer\n", 20_000)
	pushTo(t, addr, "app", "v1", layer)
	if inBucket(two, "", layer) || !inBucket(one, "app/blobs/", layer) {
		t.Errorf("in one: %q; in two: %q", one.Keys(), two.Keys())
	}
	mountFrom(t, addr, "app", "b/app", layer)
	if !inBucket(two, "deep/er/app/blobs/", layer) {
		t.Errorf("in two: %q", two.Keys())
	}
}
