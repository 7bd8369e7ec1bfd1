package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// load loads a file of the given name and content.
func load(t *testing.T, name, content string, environ ...string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: path, Environ: environ})
	if err != nil {
		return nil, strings.ReplaceAll(err.Error(), dir+"/", "")
	}
	return c, ""
}

func mustLoad(t *testing.T, name, content string, environ ...string) *Config {
	t.Helper()
	c, problems := load(t, name, content, environ...)
	if problems != "" {
		t.Fatalf("unexpected problems:\n%s", problems)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	c.origins = nil
	want := &Config{
		MemoryLimit: Auto,
		HTTP: HTTP{
			Address: []string{"127.0.0.1"}, Port: 5000, Realm: "berth", Sparse: "index",
			MaxUploads: c.HTTP.MaxUploads, MaxManifestSize: 4 << 20, MinRate: c.HTTP.MinRate,
			HeaderTimeout: 15 * time.Second, IdleTimeout: 90 * time.Second, ShutdownTimeout: 30 * time.Second,
		},
		Storage: Storage{Root: unlimited(Root{
			RootDirectory: "./berth-data", Dedupe: true, MinFree: Auto,
			GC: true, GCDelay: time.Hour, GCInterval: time.Hour, GCReferrers: true, Untagged: "collect",
		})},
		Log:        Log{Level: "info", Format: "text", Access: "off"},
		Tasks:      Tasks{Workers: 1, Pressure: 50},
		Extensions: Extensions{Scrub{Interval: 24 * time.Hour}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("defaults:\n got %+v\nwant %+v", c, want)
	}
}

// unlimited is a root with the defaults of what goes by itself.
func unlimited(r Root) Root {
	r.Retention = Retention{Delay: -1}
	r.Budget = Budget{HighWatermark: 90, LowWatermark: 80}
	return r
}

// limited is a root as everything sets it.
func limited(r Root) Root {
	r.Retention = Retention{DryRun: true, Delay: -1}
	r.Budget = Budget{MaxBytes: Amount{Percent: 70}, HighWatermark: 95, LowWatermark: 60, Keep: []string{"prod/**"}, EvictPushed: true}
	r.RedirectBlobURL, r.IndexMaxAge, r.RemoteCache = true, 2*time.Second, true
	r.CacheDriver = CacheDriver{
		Name: DynamoDB, Endpoint: "http://e", Region: "r", CacheTablename: "T", TableName: "T", AccessKey: "AK", SecretKey: "SK", SessionToken: "ST",
		RepoMetaTablename: "1", ManifestDataTablename: "2", ImageMetaTablename: "3", VersionTablename: "4", UserDataTablename: "5", APIKeyTablename: "6",
	}
	return r
}

// inBucket is a root with the driver that everything sets.
func inBucket(r Root) Root {
	r.StorageDriver = StorageDriver{
		Name: "s3", AccessKey: "AK", SecretKey: "SK", Region: "r", RegionEndpoint: "e", ForcePathStyle: "false", Bucket: "b", Encrypt: "true",
		KeyID: "k", Secure: "false", SkipVerify: "true", V4Auth: "true", ChunkSize: "16777216", MultipartCopyChunkSize: "5242880",
		MultipartCopyMaxConcurrency: "4", MultipartCopyThresholdSize: "67108864", RootDirectory: "/z", StorageClass: "C", UserAgent: "u",
		UseDualStack: "true", Accelerate: "true", ObjectACL: "a", LogLevel: "debug", SessionToken: "ST", UseFIPS: "true", CAFile: "/ca",
	}
	return r
}

// everything sets each key to something else than its default.
const everything = `
distSpecVersion = "1.1.1"
memoryLimit = "24MiB"
idleExit = "10m"
[storage]
rootDirectory = "/srv/berth"
commit = true
minFree = 1048576
readOnly = true
dedupe = false
gc = false
gcDelay = "5m"
gcInterval = "0s"
gcReferrers = false
untagged = "KEEP"
name = "one/layout"
maxBytes = "70%"
highWatermark = 95
lowWatermark = 60
keep = ["prod/**"]
evictPushed = true
retention = { dryRun = true }
budgets = [{ repositories = ["cache/**"], maxBytes = "5GiB", lowWatermark = 50 }]
media = [{ path = "/media", prefix = "usb", verify = true }]
redirectBlobURL = true
indexMaxAge = "2s"
remoteCache = true
storageDriver = { name = "s3", accesskey = "AK", secretkey = "SK", region = "r", regionendpoint = "e", forcepathstyle = false, bucket = "b", encrypt = true, keyid = "k", secure = false, skipverify = true, v4auth = true, chunksize = "16MiB", multipartcopychunksize = 5242880, multipartcopymaxconcurrency = "4", multipartcopythresholdsize = "64 MiB", rootdirectory = "/z", storageclass = "C", useragent = "u", usedualstack = true, accelerate = true, objectacl = "a", loglevel = "debug", sessiontoken = "ST", usefips = true, cafile = "/ca" }
cacheDriver = { name = "DynamoDB", endpoint = "http://e", region = "r", cacheTablename = "T", tableName = "T", accesskey = "AK", secretkey = "SK", sessiontoken = "ST", repoMetaTablename = "1", manifestDataTablename = "2", imageMetaTablename = "3", versionTablename = "4", userDataTablename = "5", apiKeyTablename = "6" }
[storage.subPaths."/archive"]
rootDirectory = "/mnt/archive"
minFree = 0
[storage.subPaths."a/b"]
rootDirectory = "/mnt/ab"
commit = false
dedupe = true
readOnly = false
[http]
address = ["0.0.0.0", "::1", "[::1]:5001", "localhost:5002", "unix:/run/berth.sock"]
port = "8080"
realm = "shop"
compat = ["docker2s2"]
sparse = "ALL"
chunkMinLength = "1MiB"
maxConnections = 100
maxUploads = 4
maxManifestSize = "8 MiB"
headerTimeout = "5s"
idleTimeout = "2m"
shutdownTimeout = "0s"
minRate = 0
tls = { cert = "/c.pem", key = "/k.pem" }
[log]
level = "debug"
format = "json"
output = "/var/log/berth.log"
access = "text"
audit = "/var/log/audit.log"
[tasks]
workers = 2
ioRate = "20MiB"
pressure = 0
window = "22:30-4:00"
[scheduler]
numWorkers = 2
[admin]
socket = "/run/berth/admin.sock"
[extensions.scrub]
enable = true
interval = "72h"
`

func TestEveryKeyOfTOML(t *testing.T) {
	c := mustLoad(t, "berth.toml", everything)
	c.origins = nil
	want := &Config{
		DistSpecVersion: "1.1.1", MemoryLimit: 24 << 20, IdleExit: 10 * time.Minute,
		HTTP: HTTP{
			Address: []string{"0.0.0.0", "::1", "[::1]:5001", "localhost:5002", "unix:/run/berth.sock"},
			Port:    8080, Realm: "shop", Compat: []string{"docker2s2"}, Sparse: "all",
			ChunkMinLength: 1 << 20, MaxConnections: 100, MaxUploads: 4, MaxManifestSize: 8 << 20,
			HeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, TLS: TLS{"/c.pem", "/k.pem"},
		},
		Storage: Storage{
			Root: inBucket(limited(Root{RootDirectory: "/srv/berth", Commit: true, MinFree: 1 << 20, ReadOnly: true, GCDelay: 5 * time.Minute, Untagged: UntaggedKeep})), Name: "one/layout",
			SubPaths: []SubPath{
				{"a/b", limited(Root{RootDirectory: "/mnt/ab", Dedupe: true, MinFree: 1 << 20, GCDelay: 5 * time.Minute, Untagged: UntaggedKeep})},
				{"archive", limited(Root{RootDirectory: "/mnt/archive", Commit: true, ReadOnly: true, GCDelay: 5 * time.Minute, Untagged: UntaggedKeep})},
			},
			Budgets: []RepoBudget{{[]string{"cache/**"}, Budget{MaxBytes: Amount{Bytes: 5 << 30}, HighWatermark: 90, LowWatermark: 50}}},
			Media:   []Medium{{"/media", "usb", true}},
		},
		Log:        Log{"debug", "json", "/var/log/berth.log", "text", "/var/log/audit.log"},
		Tasks:      Tasks{Workers: 2, NumWorkers: 2, IORate: 20 << 20, Window: "22:30-4:00"},
		Admin:      Admin{Socket: "/run/berth/admin.sock"},
		Extensions: Extensions{Scrub{true, 72 * time.Hour}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for _, k := range keys() {
		if reflect.DeepEqual(k.field(c), k.field(Default())) {
			t.Errorf("the test does not set %s", k.Path)
		}
	}
	listen := []Address{
		{"tcp4", "0.0.0.0:8080"}, {"tcp", "[::1]:8080"}, {"tcp", "[::1]:5001"}, {"tcp", "localhost:5002"}, {"unix", "/run/berth.sock"},
	}
	if got := c.Listen(); !reflect.DeepEqual(got, listen) {
		t.Errorf("Listen() = %v, want %v", got, listen)
	}
}

func TestJSONOfTheReferenceRegistry(t *testing.T) {
	c := mustLoad(t, "config.json", `{
  "distSpecVersion": "1.1.0",
  "storage": { "rootdirectory": "/tmp/registry", "dedupe": false, "gc": false, "Commit": true },
  "http": { "address": "127.0.0.1", "port": "8080", "realm": "zot", "compat": ["docker2s2"],
    "tls": { "cert": "test/server.cert", "key": "test/server.key" } },
  "log": { "level": "debug", "output": "/dev/null", "audit": "/dev/null" }
}`)
	if c.Storage.RootDirectory != "/tmp/registry" || !c.Storage.Commit || c.HTTP.Port != 8080 || c.Log.Level != "debug" || c.HTTP.TLS.Cert != "test/server.cert" {
		t.Errorf("got %+v", c)
	}
}

func TestFormatOfAFileWithoutExtension(t *testing.T) {
	for _, content := range []string{" \n{\"http\": {\"port\": 1}}", "http.port = 1", "\ufeff[http]\nport = 1", "\ufeff{\"http\": {\"port\": 1}}"} {
		if c := mustLoad(t, "berth.conf", content); c.HTTP.Port != 1 {
			t.Errorf("%q: port is %d", content, c.HTTP.Port)
		}
	}
}

func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.toml")
	if err := os.WriteFile(path, []byte("[http]\nport = 1\nrealm = \"file\"\naddress = \"::1\"\n[log]\nlevel = \"warn\""), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{
		File:    path,
		Environ: []string{"BERTH_HTTP_PORT=2", "BERTH_HTTP_REALM=environment", "BERTH_HTTP_ADDRESS=10.0.0.1, unix:/a", "HOME=/"},
		Flags:   []Flag{{Name: "--address", Key: "http.address", Values: []string{"::2", "h:7"}}, {Name: "--root", Key: "storage.rootDirectory", Values: []string{"/a,b"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP.Port != 2 || c.HTTP.Realm != "environment" || c.Log.Level != "warn" || c.Storage.RootDirectory != "/a,b" {
		t.Errorf("got %+v", c)
	}
	if want := []Address{{"tcp", "[::2]:2"}, {"tcp", "h:7"}}; !reflect.DeepEqual(c.Listen(), want) {
		t.Errorf("Listen() = %v, want %v", c.Listen(), want)
	}
}

func TestEnvironment(t *testing.T) {
	c := mustLoad(t, "a.toml", "", "BERTH_STORAGE_COMMIT=1", "BERTH_HTTP_TLS_CERT=/c", "BERTH_HTTP_TLS_KEY=/k",
		"BERTH_STORAGE_GC=false", "BERTH_MEMORYLIMIT=0", "BERTH_HTTP_COMPAT=", "BERTH_LOG_ACCESS=JSON",
		"BERTH_SERVICE_HOST=10.0.0.1", "BERTH_SERVICE_PORT_HTTP=5000", "BERTH_PORT=tcp://10.0.0.1:5000", "BERTH_PORT_5000_TCP_ADDR=10.0.0.1")
	if !c.Storage.Commit || c.HTTP.TLS != (TLS{"/c", "/k"}) || c.MemoryLimit != 0 || c.Log.Access != "json" {
		t.Errorf("got %+v", c)
	}
	_, problems := load(t, "a.toml", "", "BERTH_HTTP_PROT=1", "BERTH_HTTP_PORT=many", "BERTH_STORAGE_MAXREPOS=true", "BERTH_http_port=1", "BERTH_EXTENSIONS_UI_ENABLE=true", "BERTH_STORAGE_ROOTDIRECTORY=")
	for _, want := range []string{
		`environment: BERTH_HTTP_PROT: unknown variable; did you mean "BERTH_HTTP_PORT"`,
		`environment: BERTH_HTTP_PORT: want a number from 0 to 65535, or the same as a string; got "many"`,
		`environment: BERTH_STORAGE_MAXREPOS: not in this build`,
		`environment: BERTH_http_port: unknown variable; did you mean "BERTH_HTTP_PORT"`,
		`environment: BERTH_EXTENSIONS_UI_ENABLE: not in this build`,
		`environment: BERTH_STORAGE_ROOTDIRECTORY: want a path; got ""`,
	} {
		if !strings.Contains(problems, want) {
			t.Errorf("missing %q in:\n%s", want, problems)
		}
	}
}

// TestSubPathsInherit: what a subpath does not set comes from the section
// storage, wherever that was set.
func TestSubPathsInherit(t *testing.T) {
	const file = "[storage.subPaths.\"/a\"]\nrootDirectory = \"/a\"\nreadOnly = false\nminFree = \"1K\"\n[storage.subPaths.b]\nrootDirectory = \"/b\"\ndedupe = true\nuntagged = \"keep\"\n[storage]\nreadOnly = true\ngcInterval = 0\n"
	c := mustLoad(t, "a.toml", file, "BERTH_STORAGE_COMMIT=true", "BERTH_STORAGE_DEDUPE=false")
	want := []SubPath{
		{"a", unlimited(Root{RootDirectory: "/a", Commit: true, MinFree: 1024, GC: true, GCDelay: time.Hour, GCReferrers: true, Untagged: "collect"})},
		{"b", unlimited(Root{RootDirectory: "/b", Commit: true, Dedupe: true, MinFree: Auto, ReadOnly: true, GC: true, GCDelay: time.Hour, GCReferrers: true, Untagged: UntaggedKeep})},
	}
	if !reflect.DeepEqual(c.Storage.SubPaths, want) {
		t.Errorf("got  %+v\nwant %+v", c.Storage.SubPaths, want)
	}
	if p := c.Problem(c.Storage.SubPaths[0].Key("rootDirectory"), "x"); p.Line != 2 {
		t.Errorf("its origin is %+v", p)
	}

	// Whoever says on the command line that nothing is to be written means it.
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: path, Flags: []Flag{{Name: "--read-only", Key: "storage.readOnly", Values: []string{"true"}}}})
	if err != nil || !c.Storage.SubPaths[0].ReadOnly {
		t.Errorf("got %+v, %v", c, err)
	}

	_, problems := load(t, "a.toml", "", "BERTH_STORAGE_SUBPATHS_A_COMMIT=true", "BERTH_STORAGE_MEDIA=[]")
	if want := "environment: BERTH_STORAGE_MEDIA: storage.media can be set in a file only\nenvironment: BERTH_STORAGE_SUBPATHS_A_COMMIT: storage.subPaths can be set in a file only"; problems != want {
		t.Errorf("got  %s\nwant %s", problems, want)
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# \n", maxFile/3+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.toml"): dir + "/none.toml: cannot be read: no such file or directory",
		dir:                             dir + ": cannot be read: is a directory",
		big:                             big + ": cannot be read: larger than 1048576 bytes, which no configuration is",
	} {
		if _, err := Load(Sources{File: path}); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestChanges(t *testing.T) {
	before, after := Default(), Default()
	if got := Changes(before, after); got != nil {
		t.Errorf("changes of nothing: %v", got)
	}
	after.HTTP.Address = []string{"::1"}
	after.Log.Level = "warn"
	got := Changes(before, after)
	if len(got) != 2 || got[0].Path != "http.address" || got[0].Reload || got[1].Path != "log.level" || !got[1].Reload {
		t.Errorf("got %v", got)
	}
}

func TestElsewhere(t *testing.T) {
	s := Storage{SubPaths: []SubPath{{Prefix: "a"}, {Prefix: "a/b"}}, Media: []Medium{{Prefix: "usb"}}}
	for prefix, want := range map[string]string{
		"":     "a/x a/b a/b/x usb/x", // "a/b" is a repository of the subpath "a"
		"a/":   "a/b/x",
		"a/b/": "",
	} {
		var got []string
		for _, repo := range []string{"x", "a", "ab/x", "a/x", "a/b", "a/b/x", "usb", "usb/x"} {
			if (prefix == "" || strings.HasPrefix(repo, prefix)) && s.Elsewhere(prefix)(repo) {
				got = append(got, repo)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", prefix, got, want)
		}
	}
}
