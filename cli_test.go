package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"berth/config"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// berthBinary is the program under test, built by TestMain.
var berthBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "berth-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	berthBinary = filepath.Join(dir, "berth")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", berthBinary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is built for users
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build berth:", err)
		return 1
	}
	return m.Run()
}

// commandLineDir is a copy of testdata/cli, with what its files name: a
// directory two above, and a symbolic link, which not everything that carries a
// source tree keeps.
func commandLineDir(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "testdata", "cli")
	err := errors.Join(os.CopyFS(dir, os.DirFS("testdata/cli")),
		os.Symlink("data", filepath.Join(dir, "link")), os.Mkdir(filepath.Join(top, "config"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// commandLine is one run of the program.
type commandLine struct {
	name string
	args string
	env  []string
}

// commandLines are what TestCommandLine runs.
func commandLines() []commandLine {
	return []commandLine{
		{name: "nothing"},
		{name: "unknown", args: "server"},
		{name: "help", args: "help"},
		{name: "help-unknown", args: "help me"},
		{name: "help-flag", args: "--help"},
		{name: "serve-help", args: "serve --help"},
		{name: "serve-flag", args: "serve --rot /srv"},
		{name: "serve-flag-value", args: "serve ok.toml --root"},
		{name: "serve-two-files", args: "serve ok.toml mistakes.json"},
		{name: "serve-mistakes", args: "serve mistakes.toml --address nowhere:70000", env: []string{"BERTH_HTTP_PROT=1"}},
		{name: "serve-missing", args: "serve none.toml"},
		{name: "serve-root", args: "serve --root ok.toml"},
		{name: "serve-archive", args: "serve --root ../layouts/none.tar"},
		{name: "serve-name", args: "serve --root . --name app"},
		{name: "serve-name-invalid", args: "serve --name App"},
		{name: "dedupe-flag", args: "dedupe --read-only"},
		{name: "dedupe-missing", args: "dedupe --root none"},
		{name: "dedupe-skipped", args: "dedupe skipped.toml"},
		{name: "scrub-flag", args: "scrub --repair"},
		{name: "scrub-missing", args: "scrub --root none"},
		{name: "tasks-flag", args: "tasks --jsn"},
		{name: "tasks-nobody", args: "tasks --root none"},
		{name: "tasks-off", args: "tasks --json", env: []string{"BERTH_ADMIN_SOCKET=off"}},
		{name: "tasks-read-only", args: "tasks", env: []string{"BERTH_STORAGE_READONLY=true"}},
		{name: "verify-places", args: "verify places.toml"},
		{name: "client-config-nothing", args: "client-config"},
		{name: "client-config-unknown", args: "client-config --for rkt"},
		{name: "client-config-url", args: "client-config --for k3s --registry https://reg:5000/"},
		{name: "client-config-ca", args: "client-config --for k3s --registry reg:5000 --ca none.crt"},
		{name: "client-config-arg", args: "client-config --for k3s now"},
		{name: "client-config", args: "client-config --for podman"},
		{name: "version-arg", args: "version --short"},
		{name: "verify-nothing", args: "verify"},
		{name: "verify-flag", args: "verify --strict"},
		{name: "verify-ok", args: "verify ok.toml"},
		{name: "verify-ok-json", args: "verify ok.json"},
		{name: "verify-mistakes", args: "verify mistakes.toml"},
		{name: "verify-mistakes-json", args: "verify mistakes.json"},
		{name: "verify-environment", args: "verify ok.toml", env: []string{"BERTH_HTTP_PORT=a", "BERTH_STORAGE_REMOTECACHE=true"}},
		{name: "verify-machine", args: "verify machine.toml"},
		{name: "verify-s3", args: "verify s3.toml"},
		{name: "verify-missing", args: "verify none.toml"},
	}
}

// TestCommandLine runs the program in a copy of testdata/cli and compares exit
// status, output and errors with a file each.
func TestCommandLine(t *testing.T) {
	dir := commandLineDir(t)
	for _, c := range commandLines() {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(berthBinary, strings.Fields(c.args)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), c.env...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if _, failed := errors.AsType[*exec.ExitError](cmd.Run()); !failed && !cmd.ProcessState.Success() {
				t.Fatal("the program did not run")
			}
			got := fmt.Sprintf("exit %d\n-- stdout --\n%s-- stderr --\n%s", cmd.ProcessState.ExitCode(), &stdout, &stderr)
			golden(t, filepath.Join("testdata/cli", c.name+".golden"), got)
		})
	}
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(berthBinary, "version").Output()
	want := fmt.Sprintf("berth v0.0.0-test %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
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

func TestServeArguments(t *testing.T) {
	root, read := config.Flag{Name: "--root", Key: "storage.rootDirectory", Values: []string{"/srv"}}, config.Flag{Name: "--read-only", Key: "storage.readOnly", Values: []string{"true"}}
	addresses := config.Flag{Name: "--address", Key: "http.address", Values: []string{":1", "unix:/a"}}
	for args, want := range map[string]config.Sources{
		"":                              {},
		"c.toml":                        {File: "c.toml"},
		"--root /srv c.toml":            {File: "c.toml", Flags: []config.Flag{root}},
		"c.toml --root=/srv":            {File: "c.toml", Flags: []config.Flag{root}},
		"--read-only c.toml -root /srv": {File: "c.toml", Flags: []config.Flag{read, root}},
		"--address :1 c.toml --address unix:/a --read-only": {File: "c.toml", Flags: []config.Flag{addresses, read}},
	} {
		got, err := configSources("serve", strings.Fields(args), "root", "name", "read-only", "address")
		got.Environ = nil
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("serve %s: %+v, %v; want %+v", args, got, err, want)
		}
	}
}
