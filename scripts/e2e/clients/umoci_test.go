package clients

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// umociLayout makes a layout with one image that holds one file.
func umociLayout(t *testing.T, layout, tag string, content []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(layout); err != nil {
		harness.Run(t, "umoci", "init", "--layout", layout)
	}
	harness.Run(t, "umoci", "new", "--image", layout+":"+tag)
	harness.Run(t, "umoci", "insert", "--rootless", "--image", layout+":"+tag, file, "/etc/file")
	harness.Run(t, "umoci", "config", "--image", layout+":"+tag, "--author", "umoci", "--config.label", "made=here")
}

func TestUmociLayoutIsServed(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	content := fixture.Bytes("umoci", 9_000)
	if err := os.Mkdir(s.Dir("made"), 0o755); err != nil {
		t.Fatal(err)
	}
	umociLayout(t, s.Dir("made/elsewhere"), "first", content)
	umociLayout(t, s.Dir("made/elsewhere"), "second", content[:100])

	for _, tag := range []string{"first", "second"} {
		back := filepath.Join(t.TempDir(), "back")
		skopeo(t, "copy", s.Docker("made/elsewhere:"+tag), "oci:"+back+":"+tag)
		checkLayout(t, back)
	}
}

func TestUmociReadsWhatBerthWrote(t *testing.T) {
	harness.NeedsLayouts(t)
	t.Parallel()
	s := harness.Start(t, harness.Config{})
	c := wire.New(t, s.URL())
	layout := filepath.Join(t.TempDir(), "layout")
	content := fixture.Bytes("umoci-unpack", 70_000)
	umociLayout(t, layout, "v1", content)
	skopeo(t, "copy", "oci:"+layout+":v1", s.Docker("deep/er/app:v1"))
	c.Push("deep/er/app", "v2", fixture.SimpleImage("beside"))

	if got := slices.Sorted(slices.Values(strings.Fields(harness.Run(t, "umoci", "ls", "--layout", s.Dir("deep/er/app"))))); !slices.Equal(got, []string{"v1", "v2"}) {
		t.Errorf("umoci ls tells %q", got)
	}
	if got := harness.Run(t, "umoci", "stat", "--image", s.Dir("deep/er/app")+":v1"); !strings.Contains(got, "LAYER") {
		t.Errorf("umoci stat tells:\n%s", got)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	harness.Run(t, "umoci", "unpack", "--rootless", "--image", s.Dir("deep/er/app")+":v1", bundle)
	got, err := os.ReadFile(filepath.Join(bundle, "rootfs", "etc", "file"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the unpacked file has %d bytes, not the %d pushed: %v", len(got), len(content), err)
	}
}
