package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func info() *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Path: "berth", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:a"},
			{Path: "example.org/B", Version: "v2.0.0", Replace: &debug.Module{Path: "example.org/b", Version: "v2.0.1", Sum: "h1:b"}},
			{Path: "example.org/c", Version: "v3.0.0", Replace: &debug.Module{Path: "./build/c", Version: "(devel)"}},
		},
		Settings: []debug.BuildSetting{{Key: "-ldflags", Value: "-s -w -X main.version=v9"}, {Key: "GOARCH", Value: "arm"}},
	}
}

func TestBill(t *testing.T) {
	b := billOf(info())
	if b.Metadata.Component.Version != "v9" || b.Metadata.Component.Properties[0] != (property{"go:build:GOARCH", "arm"}) {
		t.Errorf("%+v", b.Metadata)
	}
	var refs []string
	for _, c := range b.Components {
		refs = append(refs, c.PURL)
	}
	want := "pkg:golang/std@1.26.0 pkg:golang/example.org/a@v1.0.0 pkg:golang/example.org/b@v2.0.1 pkg:golang/example.org/c@v3.0.0"
	if got := strings.Join(refs, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if b.Components[2].Properties[0].Value != "example.org/B@v2.0.0" || b.Components[3].Properties[0].Name != "go:patched" {
		t.Errorf("%+v", b.Components)
	}
	if len(b.Dependencies[0].On) != 4 {
		t.Errorf("%+v", b.Dependencies)
	}
}

func TestEscape(t *testing.T) {
	if got := escape("github.com/BurntSushi/toml"); got != "github.com/!burnt!sushi/toml" {
		t.Error(got)
	}
}

// TestRun reads a real binary: that of the test itself.
func TestRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sbom, notices := filepath.Join(dir, "sbom"), filepath.Join(dir, "notices")
	if err := run([]string{self}, sbom, notices); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sbom)
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil || b.Format != "CycloneDX" || len(b.Components) == 0 {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err = os.ReadFile(notices); err != nil || !strings.Contains(string(text), "The Go Authors") {
		t.Errorf("%v\n%s", err, text)
	}
	if err := run(nil, sbom, ""); err == nil {
		t.Error("no binary is enough")
	}
	if err := addLicenses(new(strings.Builder), "m", dir); err == nil {
		t.Error("a module without a license passes")
	}
}
