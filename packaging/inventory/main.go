// Command inventory says what is in a Go binary: a bill of materials in the
// CycloneDX format (1.5, JSON), and the licenses of all that was linked, which
// have to go with it. Both come from what the toolchain wrote into the binary,
// so that they cannot tell of another one. The same binary gives the same bytes.
//
// usage: inventory [-sbom FILE] [-notices FILE] BINARY
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
)

func main() {
	sbom := flag.String("sbom", "", "where to write the bill of materials")
	notices := flag.String("notices", "", "where to write the licenses")
	flag.Parse()
	if err := run(flag.Args(), *sbom, *notices); err != nil {
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

func run(args []string, sbom, notices string) error {
	if len(args) != 1 {
		return fmt.Errorf("takes one binary, not %d", len(args))
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	if sbom != "" {
		text, err := json.MarshalIndent(billOf(info), "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(sbom, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if notices == "" {
		return nil
	}
	text, err := licenses(info)
	if err != nil {
		return err
	}
	return os.WriteFile(notices, []byte(text), 0o644)
}

// bill is the part of CycloneDX that is used.
type bill struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

func billOf(info *debug.BuildInfo) bill {
	main := component{Type: "application", Ref: "berth", Name: info.Main.Path, Version: linkedVersion(info)}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "GOARM" || s.Key == "-tags" || s.Key == "CGO_ENABLED" {
			main.Properties = append(main.Properties, property{"go:build:" + s.Key, s.Value})
		}
	}
	b := bill{Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Metadata: metadata{main}}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	b.Components = append(b.Components, component{
		Type: "library", Ref: "pkg:golang/std@" + goVersion, Name: "std", Version: goVersion, PURL: "pkg:golang/std@" + goVersion,
	})
	for _, m := range info.Deps {
		b.Components = append(b.Components, componentOf(m))
	}
	on := make([]string, 0, len(b.Components))
	for _, c := range b.Components {
		on = append(on, c.Ref)
	}
	b.Dependencies = []dependency{{Ref: main.Ref, On: on}}
	return b
}

// linkedVersion is what the linker was told by -X main.version.
func linkedVersion(info *debug.BuildInfo) string {
	for _, s := range info.Settings {
		if _, version, found := strings.Cut(s.Value, "main.version="); s.Key == "-ldflags" && found {
			return strings.Trim(strings.Fields(version + " ")[0], `"'`)
		}
	}
	return strings.Trim(info.Main.Version, "()")
}

// isPatched tells whether a module was replaced by a directory: by a patched
// copy of itself.
func isPatched(m *debug.Module) bool {
	return m.Replace != nil && (m.Replace.Version == "" || m.Replace.Version == "(devel)")
}

// componentOf describes a module, or the one that was taken in its place.
func componentOf(m *debug.Module) component {
	var properties []property
	if r := m.Replace; r != nil && !isPatched(m) {
		properties = append(properties, property{"go:replaces", m.Path + "@" + m.Version})
		m = r
	} else if r != nil {
		properties = append(properties, property{"go:patched", "at build time, see scripts/badger32"})
	}
	if m.Sum != "" {
		properties = append(properties, property{"go:sum", m.Sum})
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	return component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl, Properties: properties}
}

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-._].*)?$`)

// licenses returns the license files of the toolchain's library and of every
// module in the binary, from the module cache.
func licenses(info *debug.BuildInfo) (string, error) {
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		return "", err
	}
	root, err := goEnv("GOROOT")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("What is linked into berth, and under which terms.\n")
	if err := addLicenses(&b, "the Go standard library, "+info.GoVersion, root); err != nil {
		return "", err
	}
	for _, m := range info.Deps {
		if m.Replace != nil && !isPatched(m) {
			m = m.Replace
		}
		dir := filepath.Join(cache, escape(m.Path)+"@"+escape(m.Version))
		if err := addLicenses(&b, m.Path+" "+m.Version, dir); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// addLicenses adds what lies at the top of a module. A module without a license
// must not be given away, so it is an error.
func addLicenses(b *strings.Builder, title, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("the source of %s: %w (go mod download has it)", title, err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() || !licenseFile.MatchString(e.Name()) })
	if len(entries) == 0 {
		return fmt.Errorf("%s has no license at the top of %s", title, dir)
	}
	fmt.Fprintf(b, "\n%s\n%s\n", strings.Repeat("=", 78), title)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n-- %s --\n\n%s\n", e.Name(), strings.TrimSpace(string(text)))
	}
	return nil
}

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// escape is how the module cache spells capitals.
func escape(path string) string {
	var b strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
