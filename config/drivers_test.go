package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuide: the examples of the reference registry's guide load as they are
// printed, their comments and trailing commas aside.
func TestGuide(t *testing.T) {
	paths, err := filepath.Glob("../testdata/guide/*.json")
	if err != nil || len(paths) != 5 {
		t.Fatalf("examples are %v, %v", paths, err)
	}
	got := map[string]Storage{}
	for _, path := range paths {
		c, err := Load(Sources{File: path})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got[filepath.Base(path)] = c.Storage
	}
	s := got["s3.json"]
	want := map[string]string{"name": "s3", "rootdirectory": "/zot", "region": "us-east-2", "bucket": "zot-storage", "secure": "true", "skipverify": "false"}
	if attributes := s.StorageDriver.Attributes(); !maps.Equal(attributes, want) || s.RemoteCache || s.CacheDriver.Table() != "MainTable" {
		t.Errorf("s3.json: %v, %+v", attributes, s.CacheDriver)
	}
	keys := got["s3-keys.json"].StorageDriver.Attributes()
	if keys["accesskey"] != "<YOUR_ACCESS_KEY_ID>" || keys["secretkey"] != "<YOUR_SECRET_ACCESS_KEY>" {
		t.Errorf("s3-keys.json: %v", keys)
	}
	s = got["s3-subpaths.json"]
	if s.StorageDriver.IsSet() || len(s.SubPaths) != 1 || s.SubPaths[0].StorageDriver.Bucket != "zot-storage" || s.SubPaths[0].RootDirectory != "/zot-a" {
		t.Errorf("s3-subpaths.json: %+v", s)
	}
	for _, name := range []string{"dynamodb.json", "dynamodb-search.json"} {
		if s := got[name]; !s.RemoteCache || s.CacheDriver.Name != DynamoDB || s.CacheDriver.Table() != "ZotBlobTable" || s.CacheDriver.Endpoint != "http://localhost:4566" {
			t.Errorf("%s: %+v", name, s.CacheDriver)
		}
	}
}

// TestDriversOfSubPaths: where a root lies is its own, all else is the
// section's unless it is set.
func TestDriversOfSubPaths(t *testing.T) {
	c := mustLoad(t, "a.toml", `
[storage]
rootDirectory = "/a"
remoteCache = true
indexMaxAge = "3s"
storageDriver = { name = "s3", bucket = "main", region = "r" }
cacheDriver = { name = "dynamodb", region = "r", cacheTablename = "T" }
[storage.subPaths."/local"]
rootDirectory = "/b"
[storage.subPaths."/s3"]
rootDirectory = "/c"
StorageDriver.Bucket = "other"
StorageDriver.chunksize = "8MiB"
cacheDriver.region = "elsewhere"
`)
	local, s3 := c.Storage.SubPaths[0], c.Storage.SubPaths[1]
	if local.StorageDriver.IsSet() || !local.RemoteCache || local.CacheDriver != c.Storage.CacheDriver || local.IndexMaxAge != c.Storage.IndexMaxAge {
		t.Errorf("local is %+v", local)
	}
	if got := fmt.Sprint(s3.StorageDriver.Attributes()); got != "map[bucket:other chunksize:8388608]" {
		t.Errorf("the driver of a subpath is %s", got)
	}
	if s3.CacheDriver.Region != "elsewhere" || s3.CacheDriver.Table() != "T" {
		t.Errorf("the index of a subpath is %+v", s3.CacheDriver)
	}
	if p := c.Problem(s3.Key("storageDriver.bucket"), "x"); p.Line != 12 || !strings.HasSuffix(p.String(), `storage.subPaths."/s3".StorageDriver.Bucket: x`) {
		t.Errorf("a problem of a subpath's driver is told as %v", p)
	}
}

// TestDriversTogether: what is wrong among right values.
func TestDriversTogether(t *testing.T) {
	for content, want := range map[string]string{
		`remoteCache = true`: `storage.remoteCache: cacheDriver.name is "": an index`,
		`remoteCache = true
cacheDriver = { name = "dynamodb", cacheTablename = "T" }`: "storage.cacheDriver.region: is missing",
		`remoteCache = true
cacheDriver = { name = "dynamodb", region = "r" }`: "storage.cacheDriver.cacheTablename: is missing",
		`cacheDriver = { tableName = "A", cacheTablename = "B" }`:            "storage.cacheDriver.tableName: cacheTablename, which is the same, has another value",
		`cacheDriver = { secretkey = "SECRET" }`:                             "storage.cacheDriver.accesskey: accesskey and secretkey come together",
		`cacheDriver = { name = "redis" }`:                                   `storage.cacheDriver.name: want "dynamodb"; got "redis"`,
		`indexMaxAge = "2h"`:                                                 "storage.indexMaxAge: want a duration",
		`subPaths = { "/a" = { rootDirectory = "/a", remoteCache = true } }`: `storage.subPaths."/a".remoteCache: cacheDriver.name`,
	} {
		_, problems := load(t, "a.toml", "[storage]\n"+content)
		if !strings.Contains(problems, want) || strings.Contains(problems, "SECRET") {
			t.Errorf("%s\ngot  %s\nwant %s", content, problems, want)
		}
	}
}

// TestSecretsAreNotShown: neither by what prints a configuration nor by what
// is wrong with one.
func TestSecretsAreNotShown(t *testing.T) {
	c := mustLoad(t, "a.toml", `[storage]
storageDriver = { secretkey = "SECRET1", sessiontoken = "SECRET2" }`, "BERTH_STORAGE_CACHEDRIVER_SECRETKEY=SECRET3", "BERTH_STORAGE_CACHEDRIVER_ACCESSKEY=AK", "BERTH_STORAGE_CACHEDRIVER_SESSIONTOKEN=SECRET4")
	if a := c.Storage.StorageDriver.Attributes(); a["secretkey"] != "SECRET1" || a["sessiontoken"] != "SECRET2" || c.Storage.CacheDriver.SecretKey.Reveal() != "SECRET3" {
		t.Errorf("secrets are %v", a)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", c.Storage, c.Storage, c.Storage), string(text)} {
		if strings.Contains(shown, "SECRET") || !strings.Contains(shown, "[redacted]") {
			t.Errorf("shown is %s", shown)
		}
	}
	_, problems := load(t, "a.toml", `[storage]
storageDriver = { secretkey = ["SECRET"], sessiontoken = 1 }
cacheDriver = { secretkey = {SECRET2 = 1} }`, "BERTH_STORAGE_STORAGEDRIVER_SECRETKEY=SEC\x01RET")
	if strings.Count(problems, "\n") < 3 || strings.Contains(problems, "SEC") && !strings.Contains(problems, "BERTH_STORAGE_STORAGEDRIVER_SECRETKEY") || strings.Contains(problems, "SECRET2") || strings.Contains(problems, "RET\"") {
		t.Errorf("problems are %s", problems)
	}
}
