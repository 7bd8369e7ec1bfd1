package ops

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/e2e/harness"
)

// installed runs scripts/install.sh below a directory and lists what is there.
func installed(t *testing.T, dest string, args ...string) (files []string, out string) {
	t.Helper()
	binary, err := filepath.Abs(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../install.sh", args...)
	cmd.Env = append(os.Environ(), "DESTDIR="+dest, "PREFIX=/opt/berth", "BINARY="+binary)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	err = fs.WalkDir(os.DirFS(dest), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, string(text)
}

// scripts/install.sh installs what runs, keeps a configuration that is there,
// and takes back what it installed.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	files, _ := installed(t, dest)
	for _, want := range []string{
		"opt/berth/bin/berth", "opt/berth/share/man/man5/berth.toml.5", "opt/berth/lib/systemd/system/berth.socket",
		"opt/berth/share/bash-completion/completions/berth", "etc/berth/berth.toml",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("%s is not installed; there are %v", want, files)
		}
	}
	conf := filepath.Join(dest, "etc/berth/berth.toml")
	harness.Run(t, filepath.Join(dest, "opt/berth/bin/berth"), "verify", conf)
	unit, err := os.ReadFile(filepath.Join(dest, "opt/berth/lib/systemd/system/berth.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/opt/berth/bin/berth serve /etc/berth/berth.toml\n") {
		t.Errorf("%v\n%s", err, unit)
	}

	if err := os.WriteFile(conf, []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, out := installed(t, dest)
	if !slices.Contains(again, "etc/berth/berth.toml.new") || !strings.Contains(out, "stays as it is") {
		t.Errorf("%s\n%v", out, again)
	}
	left, _ := installed(t, dest, "uninstall")
	if want := []string{"etc/berth/berth.toml", "etc/berth/berth.toml.new"}; !slices.Equal(left, want) {
		t.Errorf("left are %v", left)
	}
	if text, err := os.ReadFile(conf); err != nil || string(text) != "# mine\n" {
		t.Errorf("%v, %q", err, text)
	}
}
