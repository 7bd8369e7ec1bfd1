package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"berth/config"
)

const help = `tool does things.

usage:
  berth serve [CONFIG] [--root PATH] [--read-only]
              [--for CLIENT]...
  berth long-name [--json]
  berth help [PAGE]

serve    answers, until told; it's good.
         Second line.
           --root PATH          in place of the
                                other one
           --for CLIENT of one kind
long-name
         does more.
help     prints.

CONFIG is a file
of lines.

exit status: 0.
`

func TestParse(t *testing.T) {
	want := Commands{
		Summary:  "tool does things",
		Synopsis: []string{"serve [CONFIG] [--root PATH] [--read-only] [--for CLIENT]...", "long-name [--json]", "help [PAGE]"},
		Verbs: []Verb{
			{"serve", "answers, until told; it's good. Second line.", []Flag{
				{"--root", "PATH", "in place of the other one"}, {"--for", "CLIENT", "of one kind"}, {"--read-only", "", ""}}},
			{"long-name", "does more.", []Flag{{"--json", "", ""}}},
			{"help", "prints.", nil},
		},
		Notes: []string{"CONFIG is a file of lines.", "exit status: 0."},
	}
	if got := Parse(help); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestConfiguration: the file loads as it is, holds every key, and each line
// that is commented out can be used.
func TestConfiguration(t *testing.T) {
	file := Configuration()
	path := filepath.Join(t.TempDir(), "berth.toml")
	load := func(content string) (*config.Config, error) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Load(config.Sources{File: path})
	}
	if c, err := load(file); err != nil || c.Storage.RootDirectory != "/var/lib/berth" || !c.Storage.Commit {
		t.Errorf("%v, %+v", err, c)
	}

	section, header := "", ""
	found := map[string]bool{}
	for line := range strings.Lines(file) {
		if len(line) > 81 && strings.HasPrefix(line, "# ") && strings.Contains(line[2:], " ") && !strings.HasPrefix(line, "# Default") {
			t.Errorf("a long line: %s", line)
		}
		if m := regexp.MustCompile(`^\[(.*)\]`).FindStringSubmatch(line); m != nil {
			section, header = m[1]+".", line
		} else if m := regexp.MustCompile(`^#?(([A-Za-z][A-Za-z0-9.]*) = .*)`).FindStringSubmatch(line); m != nil {
			found[section+m[2]] = true
			// That a key needs another one beside it is no mistake in the line.
			if _, err := load(header + m[1]); err != nil && !strings.Contains(err.Error(), "is missing") {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for _, k := range config.Keys() {
		if !found[k.Path] {
			t.Errorf("%s is missing", k.Path)
		}
	}
}

func TestPages(t *testing.T) {
	for _, name := range Names() {
		text, ok := Page(name, help, "v1")
		if !ok || text == "" {
			t.Errorf("no page %s", name)
		}
		if name == "berth.toml" || name == "berth.toml.5" {
			continue
		}
		for _, want := range []string{"serve", "long-name", "root", "read-only", "json"} {
			if !strings.Contains(strings.ReplaceAll(text, `\`, ""), want) {
				t.Errorf("%s says nothing of %s:\n%s", name, want, text)
			}
		}
	}
	if _, ok := Page("berth.2", help, "v1"); ok {
		t.Error("there is a page berth.2")
	}
	page, _ := Page("berth.toml.5", help, "v1")
	for _, k := range config.Keys() {
		for _, k := range append(k.Inner(), k) {
			if !strings.Contains(page, "\n.B "+roff(k.Path)+"\n") {
				t.Errorf("berth.toml.5 says nothing of %s", k.Path)
			}
		}
	}
}

// TestRoff: no text becomes a request or an escape.
func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		".so /etc/passwd": `\&.so /etc/passwd`, "'x": `\&'x`, `a\b`: `a\eb`, "--root": `\-\-root`, "": `\&`,
	} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestBash: bash itself completes.
func TestBash(t *testing.T) {
	script := Parse(help).bash()
	complete := func(words ...string) string {
		t.Helper()
		line := script + "\nCOMP_WORDS=(berth '" + strings.Join(words, "' '") + "'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _berth; echo \"${COMPREPLY[*]}\""
		cmd := exec.Command("bash", "-c", line)
		cmd.Dir = "testdata"
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for words, want := range map[string]string{
		"":                 "serve long-name help",
		"lo":               "long-name",
		"serve --r":        "--root --read-only",
		"serve --for cont": "containerd",
		"serve bert":       "berth-file",
		"long-name -":      "--json",
		"help berth.":      "berth.toml berth.1 berth.toml.5",
	} {
		if got := complete(strings.Split(words, " ")...); got != want {
			t.Errorf("%q completes to %q, want %q", words, got, want)
		}
	}
}
