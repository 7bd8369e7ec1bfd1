package client_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"berth/config/client"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// authority is a certificate that never changes, for the golden files.
const authority = "testdata/ca.pem"

func setups(t *testing.T) map[string]client.Setup {
	ca, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]client.Setup{
		"plain":  {Registry: "127.0.0.1:5000", Plain: true, Mirrors: []client.Mirror{{Upstream: "docker.io"}, {Upstream: "quay.io"}}},
		"ca":     {Registry: "berth.lan:5000", CA: ca, Mirrors: []client.Mirror{{Upstream: "docker.io"}}},
		"prefix": {Registry: "berth.lan", Mirrors: []client.Mirror{{Upstream: "quay.io", Prefix: "mirror/quay"}, {Upstream: "reg.lan:5001"}}},
		"alone":  {Registry: "[fd00::1]:5000"},
	}
}

// TestGolden holds each kind of client's files against those in testdata.
func TestGolden(t *testing.T) {
	for _, kind := range client.Kinds() {
		for name, s := range setups(t) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				plan, err := client.Make(kind, s)
				if err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				for _, f := range plan.Files {
					got.WriteString("==> " + f.Path + "\n" + f.Content)
					wellFormed(t, f)
				}
				for _, n := range plan.Notes {
					got.WriteString("note: " + n + "\n")
				}
				golden(t, "testdata/"+kind+"-"+name+".golden", got.String())
			})
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// wellFormed parses what there is a parser for, and knows its own files again.
func wellFormed(t *testing.T, f client.File) {
	t.Helper()
	var err error
	switch {
	case strings.HasSuffix(f.Path, ".toml") || strings.HasSuffix(f.Path, ".conf"):
		_, err = toml.Decode(f.Content, &map[string]any{})
	case strings.HasSuffix(f.Path, ".json"):
		err = json.Unmarshal([]byte(f.Content), &map[string]any{})
	case strings.HasSuffix(f.Path, ".crt"):
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(f.Content)) {
			t.Errorf("%s holds no certificate", f.Path)
		}
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", f.Path, err, f.Content)
	}
	if (f.Merge == nil) != client.Written([]byte(f.Content)) {
		t.Errorf("%s: Merge %v, and Written is the same", f.Path, f.Merge != nil)
	}
}

func TestRefused(t *testing.T) {
	ok := client.Setup{Registry: "reg:5000"}
	for want, change := range map[string]func(s *client.Setup){
		"is no registry: want":         func(s *client.Setup) { s.Registry = "http://reg" },
		`"reg:0" is no registry`:       func(s *client.Setup) { s.Registry = "reg:0" },
		`"reg:65536" is no registry`:   func(s *client.Setup) { s.Registry = "reg:65536" },
		`"../etc" is no registry`:      func(s *client.Setup) { s.Registry = "../etc" },
		`"a..b" is no registry`:        func(s *client.Setup) { s.Registry = "a..b" },
		"a CA is for HTTPS":            func(s *client.Setup) { s.Plain, s.CA = true, []byte("x") },
		"no certificate in PEM":        func(s *client.Setup) { s.CA = []byte("x") },
		"is no registry to mirror":     func(s *client.Setup) { s.Mirrors = []client.Mirror{{Upstream: "quay.io/app"}} },
		"is no beginning of":           func(s *client.Setup) { s.Mirrors = []client.Mirror{{Upstream: "quay.io", Prefix: "../x"}} },
		"cannot be a mirror of itself": func(s *client.Setup) { s.Mirrors = []client.Mirror{{Upstream: "reg:5000"}} },
		"quay.io is there twice":       func(s *client.Setup) { s.Mirrors = []client.Mirror{{Upstream: "quay.io"}, {Upstream: "quay.io"}} },
	} {
		s := ok
		change(&s)
		if _, err := client.Make("podman", s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := client.Make("rkt", ok); !errors.Is(err, client.ErrUnknown) {
		t.Error(err)
	}
	ok.Mirrors = []client.Mirror{{Upstream: "docker.io", Prefix: "hub"}}
	if _, err := client.Make("docker", ok); err == nil || !strings.Contains(err.Error(), "without a path only") {
		t.Error(err)
	}
}

// TestNoKeyIsInstalled: a private key that was given by mistake goes nowhere.
func TestNoKeyIsInstalled(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth test"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	signed, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	if _, err := client.Make("k3s", client.Setup{Registry: "reg", CA: both}); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Error(err)
	}
}

// TestMerge: daemon.json keeps what it has.
func TestMerge(t *testing.T) {
	plan, err := client.Make("docker", client.Setup{Registry: "reg:5000", Plain: true, Mirrors: []client.Mirror{{Upstream: "docker.io"}}})
	if err != nil {
		t.Fatal(err)
	}
	merge := plan.Files[0].Merge
	old := []byte(`{"log-driver": "journald", "registry-mirrors": ["https://other"], "mtu": 1400}`)
	got, err := merge(old)
	if err != nil {
		t.Fatal(err)
	}
	var has, want map[string]any
	if err := json.Unmarshal([]byte(got), &has); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"log-driver": "journald", "mtu": 1400, "registry-mirrors": ["https://other", "http://reg:5000"], "insecure-registries": ["reg:5000"]}`), &want)
	if !reflect.DeepEqual(has, want) {
		t.Errorf("got %s", got)
	}
	if again, err := merge([]byte(got)); err != nil || again != got {
		t.Errorf("a second time: %v\n%s", err, again)
	}
	if got, err := merge([]byte("null")); err != nil || got != plan.Files[0].Content {
		t.Errorf("null became %q, %v", got, err)
	}
	for _, broken := range []string{"[]", `{"registry-mirrors": "https://other"}`, "{"} {
		if _, err := merge([]byte(broken)); err == nil {
			t.Errorf("%s is taken", broken)
		}
	}
}

// FuzzMerge: what is merged holds what was there, and merging again changes
// nothing.
func FuzzMerge(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", `{"registry-mirrors":["a"],"x":{"y":[1,null]}}`, `{"insecure-registries":null}`} {
		f.Add([]byte(seed))
	}
	plan, err := client.Make("docker", client.Setup{Registry: "reg:5000", Plain: true, Mirrors: []client.Mirror{{Upstream: "docker.io"}}})
	if err != nil {
		f.Fatal(err)
	}
	merge := plan.Files[0].Merge
	f.Fuzz(func(t *testing.T, old []byte) {
		got, err := merge(old)
		if err != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if len(bytes.TrimSpace(old)) > 0 && json.Unmarshal(old, &before) != nil || json.Unmarshal([]byte(got), &after) != nil {
			t.Fatalf("%q became %q", old, got)
		}
		for key := range before {
			if after[key] == nil {
				t.Errorf("%q lost %q: %q", old, key, got)
			}
		}
		if again, err := merge([]byte(got)); err != nil || again != got {
			t.Errorf("%q, merged again: %q, %v", got, again, err)
		}
	})
}
