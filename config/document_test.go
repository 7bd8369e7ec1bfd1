package config

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

const (
	documentPath = "../docs/CONFIGURATION.md"
	beginKeys    = "<!-- The rest comes from config/keys.go: go test ./config -update -->\n"
)

// TestDocument: the documentation of the keys is what the table of keys says.
func TestDocument(t *testing.T) {
	content, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	prose, _, found := strings.Cut(string(content), beginKeys)
	if !found {
		t.Fatalf("%s has no line %q", documentPath, beginKeys)
	}
	golden(t, documentPath, prose+beginKeys+document())
}

// document returns the documentation of every key, in Markdown.
func document() string {
	var b strings.Builder
	section := "?"
	for _, k := range keys() {
		if s, _ := splitPath(strings.Replace(k.Path, ".tls", "", 1)); s != section {
			section = s
			heading := "`[" + s + "]`"
			if s == "" {
				heading = "At the top of the file"
			}
			fmt.Fprintf(&b, "\n## %s\n", heading)
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n", k.Path, k.Doc)
		fmt.Fprintf(&b, "- Allowed: %s\n- Default: %s\n", k.Allowed, defaultValue(k))
		fmt.Fprintf(&b, "- Example: `%s = %s`\n", lastOf(k.Path), k.Example)
		if k.Env() != "" {
			fmt.Fprintf(&b, "- Variable: `%s`\n", k.Env())
		}
		if k.Reload {
			b.WriteString("- Taken over by a reload\n")
		}
		innerKeys(&b, k)
	}
	b.WriteString("\n## Known, and not in this build\n\n")
	for _, f := range features() {
		fmt.Fprintf(&b, "- `%s`\n", f.path)
	}
	return b.String()
}

// innerKeys documents the keys of a key whose value holds tables.
func innerKeys(b *strings.Builder, k Key) {
	if k.Env() != "" {
		return
	}
	b.WriteString("- Variable: none; it is set in a file\n\n| key of each | allowed | example | what it is |\n| --- | --- | --- | --- |\n")
	for _, inner := range k.inner {
		doc := inner.Doc
		name := strings.TrimPrefix(inner.Path, k.Path+".")
		if inner.perRoot {
			doc = "As `storage." + lastOf(inner.Path) + "`, from which it comes unless it is set."
			if lastOf(inner.Path) == "rootDirectory" {
				doc = "As `storage.rootDirectory`. Needed."
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | `%s` | %s |\n", name, inner.Allowed, inner.Example, doc)
	}
}

func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func defaultValue(k Key) string {
	if value := cmp.Or(k.Default, k.Implied()); value != "" {
		return "`" + value + "`"
	}
	return "none"
}
