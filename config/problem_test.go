package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProblems checks whole messages: for each file in testdata/problems, NAME
// beside NAME.problems.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, ".problems") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := Load(Sources{File: path})
			if err == nil {
				t.Fatal("no problem was found")
			}
			golden(t, path+".problems", strings.ReplaceAll(err.Error(), "testdata/problems/", "")+"\n")
		})
	}
}

// golden compares with a file, or writes it where -update was given.
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

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"a.json", "", "a.json:1: not valid JSON: it ends early"},
		{"a.json", "{\n\"http\": {", "a.json:2: not valid JSON: it ends early"},
		{"a.json", "[1]", "a.json:1: want a JSON object, got [1]"},
		{"a.json", "{}\n\n{}", "a.json:3: something follows the end of the JSON object"},
		{"a.json", "{\n  \"http\": {\n    \"port\": 1,\n  },\n}", "a.json:"},
		{"a.json", "{\n // port\n}", "(JSON has no comments; TOML has)"},
		{"a.json", strings.Repeat(`{"a":`, 100), "a.json:1: nested more than 32 deep"},
		{"a.toml", "[http]\nport = = 1", "a.toml:2: not valid TOML: "},
		{"a.toml", "[http]\nport = 1\nport = 2", "a.toml:3: not valid TOML: "},
		{"a.toml", "a = " + strings.Repeat("[", 1000), "a.toml: nested too deep"},
		{"a.toml", strings.Repeat("a.", 100) + "a = 1", "a.toml: nested more than 32 deep"},
	} {
		_, got := load(t, c.name, c.content)
		if !strings.Contains(got, c.want) {
			t.Errorf("%q:\n got %s\nwant %s", c.content, got, c.want)
		}
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "key%d = 1\n", i)
	}
	_, problems := load(t, "a.toml", b.String())
	last := problems[strings.LastIndexByte(problems, '\n')+1:]
	if n := strings.Count(problems, "\n") + 1; n != maxProblems+1 || !strings.HasSuffix(last, ": 19950 more problems") {
		t.Errorf("%d lines, the last of them %q", n, last)
	}
}

func TestManyPlacesAreRefused(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "[storage.subPaths.p%d]\nrootDirectory = \"/p\"\n[[storage.media]]\n", i)
	}
	_, problems := load(t, "a.toml", b.String())
	if want := "there are 2000, at most 256 are allowed"; strings.Count(problems, want) != 2 || strings.Count(problems, "\n") != 1 {
		t.Errorf("got %s", problems)
	}
}

func TestNearest(t *testing.T) {
	l := newLoader()
	for name, want := range map[string]string{
		"http.prot": "http.port", "port": "http.port", "http.adress": "http.address", "storage.rootDir": "storage.rootDirectory",
		"htpp": "http", "log.levle": "log.level", "http.rootDirectory": "storage.rootDirectory", "http.cert": "http.tls.cert",
		"storage.garbageCollector": "", "storage.dedup": "storage.dedupe", "storage.subPath": "storage.subPaths", strings.Repeat("x", 500): "",
	} {
		if got := nearest(name, l.suggestions()); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
