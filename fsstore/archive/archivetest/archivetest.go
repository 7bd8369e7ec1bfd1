// Package archivetest is what the tests of layouts served in place share:
// layouts to serve, and a look at what is logged and left open.
package archivetest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/oci"
)

// Image returns the files of a layout, by name. It has one image, tagged v1,
// whose one layer is content, named by a digest of algorithm a.
func Image(tb testing.TB, a oci.Algorithm, content string) map[string]string {
	tb.Helper()
	files := map[string]string{"oci-layout": `{"imageLayoutVersion": "1.0.0"}`}
	add := func(a oci.Algorithm, content, mediaType string) map[string]any {
		d := a.FromString(content)
		files["blobs/"+string(a)+"/"+d.Encoded()] = content
		return map[string]any{"digest": string(d), "size": len(content), "mediaType": mediaType}
	}
	encode := func(v any) string {
		out, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return string(out)
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest := add(oci.SHA256, encode(map[string]any{
		"schemaVersion": 2, "mediaType": mediaType,
		"config": add(oci.SHA256, "{}", "application/vnd.oci.image.config.v1+json"),
		"layers": []any{add(a, content, "application/vnd.oci.image.layer.v1.tar")},
	}), mediaType)
	manifest["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "v1"}
	files["index.json"] = encode(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	return files
}

// Member is one member of a tar file.
type Member struct {
	Header  tar.Header // its size is set from Content
	Content string
}

// Members makes regular members of files, in order of name, their names after
// a prefix.
func Members(files map[string]string, prefix string, format tar.Format) []Member {
	var members []Member
	for name, content := range files {
		members = append(members, Member{tar.Header{Name: prefix + name, Format: format}, content})
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Header.Name, b.Header.Name) })
	return members
}

// Tar makes a tar file.
func Tar(tb testing.TB, members []Member) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		m.Header.Size, m.Header.Mode = int64(len(m.Content)), 0o644
		if err := w.WriteHeader(&m.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(m.Content)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// WriteFile writes a file and makes its directory.
func WriteFile(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// WriteFiles writes files below a directory.
func WriteFiles(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name, content := range files {
		WriteFile(tb, filepath.Join(dir, name), []byte(content))
	}
}

// Log collects log lines.
type Log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Logger writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// OpenBelow counts this process's descriptors that lead to dir or below it.
func OpenBelow(tb testing.TB, dir string) int {
	tb.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, l := range links {
		target, err := os.Readlink("/proc/self/fd/" + l.Name())
		if err == nil && (target == dir || strings.HasPrefix(target, dir+"/")) {
			n++
		}
	}
	return n
}
