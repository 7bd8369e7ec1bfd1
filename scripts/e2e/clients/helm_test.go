package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/harness"
	"berth/e2e/wire"
)

func TestHelmChart(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	work := t.TempDir()
	chart := filepath.Join(work, "harbour")
	writeChart(t, chart)

	harness.Run(t, "helm", "package", chart, "--destination", work)
	archive := filepath.Join(work, "harbour-1.2.3+build.5.tgz")
	harness.Run(t, "helm", "push", archive, "oci://"+s.Ref("charts"), "--plain-http")

	out := t.TempDir()
	harness.Run(t, "helm", "pull", "oci://"+s.Ref("charts/harbour"), "--version", "1.2.3+build.5", "--plain-http", "--destination", out)
	pushed, pulled := readFile(t, archive), readFile(t, filepath.Join(out, "harbour-1.2.3+build.5.tgz"))
	if pushed != pulled {
		t.Errorf("helm pulled %d bytes, not the %d that it pushed", len(pulled), len(pushed))
	}
	if got := harness.Run(t, "helm", "show", "chart", "oci://"+s.Ref("charts/harbour"), "--plain-http"); !strings.Contains(got, "name: harbour") {
		t.Errorf("helm show chart tells:\n%s", got)
	}
	if got := harness.Run(t, "helm", "template", "x", "oci://"+s.Ref("charts/harbour"), "--version", "^1.0.0", "--plain-http"); !strings.Contains(got, "kind: ConfigMap") {
		t.Errorf("helm template tells:\n%s", got)
	}
	wire.New(t, s.URL()).Head(wire.ManifestPath("charts/harbour", "1.2.3_build.5")).Want(200)
	checkLayout(t, s.Dir("charts/harbour"))
}

func writeChart(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Chart.yaml":          "apiVersion: v2\nname: harbour\ndescription: A chart for tests\nversion: 1.2.3+build.5\nappVersion: \"1\"\n",
		"values.yaml":         "depth: 12\n",
		"templates/cm.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  depth: \"{{ .Values.depth }}\"\n",
		"templates/NOTES.txt": "Moored.\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
