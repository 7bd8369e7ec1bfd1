package store

import (
	"encoding/json"
	"strings"
	"testing"

	"berth/oci"
)

// FuzzRecord: whatever lies where a session should, its record is refused or
// makes sense.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"algorithm":"sha256","hash":null,"tail":0,"nonce":"x"}`,
		`{"version":1,"algorithm":"sha512","key":"k","upload":"u","parts":[{"etag":"e","size":5}],"tail":3,"nonce":"x"}`,
		`{"version":1,"algorithm":"md5","tail":0}`, `{"version":1,"algorithm":"sha256","hash":"AAAA","tail":0}`, `{}`, `[`, ``,
	} {
		f.Add([]byte(seed), int64(3))
		f.Add([]byte(seed), int64(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, tail int64) {
		r, err := parseRecord(text, tail)
		if err != nil {
			return
		}
		if _, err := r.running(); err != nil || r.offset() < tail || r.Upload == "" && len(r.list()) > 0 {
			t.Errorf("%q is taken for %+v, %v", text, r, err)
		}
	})
}

// FuzzKeys: a key of a session's stands for one, and no other key does.
func FuzzKeys(f *testing.F) {
	const id = "01234567-89ab-cdef-0123-456789abcdef"
	for _, seed := range []string{"a/_" + id, "a/b/_" + id + ".data", "a/_x", "_" + id, "a/_" + id + ".data.data", "a/_" + id + ".alive", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k := newKeys("some/root")
		key := k.allSessions() + name
		repo, id, suffix := k.parseSession(key)
		if id == "" {
			return
		}
		again := map[string]string{"": k.session(repo, id), dataSuffix: k.data(repo, id), aliveSuffix: k.alive(repo, id)}[suffix]
		if again != key || !strings.HasPrefix(key, k.sessions(repo)) {
			t.Errorf("%q is %s of %s", key, id, repo)
		}
	})
}

// TestKeys: what lies where.
func TestKeys(t *testing.T) {
	d := oci.SHA256.FromString("x")
	for got, want := range map[string]string{
		newKeys("").index("a/b"):        "a/b/index.json",
		newKeys("r").blob("a/blobs", d): "r/a/_blobs/blobs/sha256/" + d.Encoded(),
		newKeys("r").content(d):         "r/.berth/content/sha256/" + d.Encoded(),
	} {
		if got != want {
			t.Errorf("key is %s, want %s", got, want)
		}
	}
	if found, ok := parseDigest(newKeys("r").content(d), newKeys("r").contents()); !ok || found != d {
		t.Errorf("digest is %s", found)
	}
	if _, ok := parseDigest(newKeys("r").condemned(d), newKeys("r").contents()); ok {
		t.Error("a mark is taken for content")
	}
	var r record
	if err := json.Unmarshal([]byte(`{"parts":[{"etag":"e","size":7}],"tail":2}`), &r); err != nil || r.offset() != 9 {
		t.Errorf("offset is %d, %v", r.offset(), err)
	}
}
