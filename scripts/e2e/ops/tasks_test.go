package ops

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/e2e/harness"
)

// berth runs a command and returns its status and its output, errors included.
func berth(t *testing.T, attributes *syscall.SysProcAttr, args ...string) (status int, out string) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), args...)
	cmd.SysProcAttr = attributes
	all, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatalf("berth %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), string(all)
}

// tasksOf returns the names that berth tasks --json lists, with their states.
func tasksOf(t *testing.T, args ...string) map[string]string {
	t.Helper()
	status, out := berth(t, nil, append([]string{"tasks", "--json"}, args...)...)
	if status != 0 {
		t.Fatalf("berth tasks ended with %d: %s", status, out)
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		var task struct{ Name, State, Last, Next string }
		if err := json.Unmarshal([]byte(line), &task); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		if once := strings.HasPrefix(task.Name, "dedupe"); once && task.State == "waiting" && task.Last == "" && task.Next == "" {
			t.Errorf("it is not told when: %s", line) // others come when they are asked for
		}
		found[task.Name] = task.State
	}
	return found
}

// berth tasks lists what a server does in the background, for every root, and says so where no server runs.
func TestTasks(t *testing.T) {
	t.Parallel()
	second := t.TempDir() + "/disk"
	config := harness.Config{Root: t.TempDir(), File: "[storage.subPaths.\"/disk\"]\nrootDirectory = " + `"` + second + "\"\n"}
	if status, out := berth(t, nil, "tasks", "--root", config.Root); status != 1 || !strings.Contains(out, "no server is running at "+config.Root) {
		t.Errorf("without a server: %d, %s", status, out)
	}
	s, _ := start(t, config)
	status, out := berth(t, nil, "tasks", "--root", config.Root)
	if lines := strings.Split(out, "\n"); status != 0 || !strings.HasPrefix(lines[0], "TASK  ") || !strings.Contains(out, "\ndedupe ") {
		t.Errorf("status %d, table\n%s", status, out)
	}
	if found := tasksOf(t, "--root", config.Root); found["dedupe"] == "" {
		t.Errorf("tasks %v", found)
	}
	harness.Eventually(t, "those of a subpath are listed", func() error {
		if found := tasksOf(t, "--root", config.Root); found["dedupe /disk"] == "" {
			return errors.New(strings.Join(slices.Sorted(maps.Keys(found)), ", "))
		}
		return nil
	})
	s.Kill() // leaves the socket behind; the next one takes its place
	if status, out := berth(t, nil, "tasks", "--root", config.Root); status != 1 || !strings.Contains(out, "no server is running") {
		t.Errorf("after the server was killed: %d, %s", status, out)
	}
	s, _ = start(t, config)
	tasksOf(t, "--root", config.Root)
	s.Stop()
	if _, err := os.Lstat(filepath.Join(config.Root, ".berth", "admin.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// The socket is as good in a root whose path is longer than a socket's address
// may be, and at a place of its own for a root that cannot be written to.
func TestAdminSocketPlaces(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	start(t, harness.Config{Root: deep})
	tasksOf(t, "--root", deep)

	file := harness.WriteFile(t, "berth.toml", "[admin]\nsocket = \""+t.TempDir()+"/a.sock\"\n[storage]\nreadOnly = true\nrootDirectory = \""+t.TempDir()+"\"\n")
	start(t, harness.Config{Bare: true, Args: []string{file, "--address", harness.FreeAddress(t)}, NoWait: true})
	harness.Eventually(t, "a read-only server answers", func() error {
		if status, out := berth(t, nil, "tasks", file); status != 0 {
			return errors.New(out)
		}
		return nil
	})
}

// Only root and the server's own user are answered, whoever can reach the socket.
func TestAdminSocketOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this test takes another user's place and has to run as root")
	}
	dir, err := os.MkdirTemp("/tmp", "berth-admin-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, binary := dir+"/s", dir+"/berth"
	content, err := os.ReadFile(harness.Binary(t))
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(binary, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	start(t, harness.Config{Env: []string{"BERTH_ADMIN_SOCKET=" + socket}})
	ask := func() string {
		cmd := exec.Command(binary, "tasks")
		cmd.Env, cmd.Dir = append(os.Environ(), "BERTH_ADMIN_SOCKET="+socket), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Error("another user is answered")
		}
		return string(out)
	}
	if out := ask(); !strings.Contains(out, "by root and its own user only") {
		t.Errorf("with the socket as it is: %s", out)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if out := ask(); !strings.Contains(out, "user 65534 may not ask this server") {
		t.Errorf("with a socket that lets everybody in: %s", out)
	}
}

// A reload takes over how fast and when work is done in the background.
func TestReloadOfTasks(t *testing.T) {
	t.Parallel()
	file := harness.WriteFile(t, "berth.toml", "[tasks]\nworkers = 1\n")
	s, _ := start(t, harness.Config{Args: []string{file}})
	for _, change := range []struct{ content, key string }{
		{"[tasks]\nioRate = \"1MiB\"\n", "tasks.ioRate"},
		{"[tasks]\nioRate = \"1MiB\"\nwindow = \"01:00-05:00\"\n", "tasks.window"},
		{"[tasks]\nioRate = \"1MiB\"\nwindow = \"01:00-05:00\"\npressure = 20\n", "tasks.pressure"},
	} {
		if err := os.WriteFile(file, []byte(change.content), 0o644); err != nil {
			t.Fatal(err)
		}
		s.Signal(hangup)
		s.WaitLog("reloaded key=" + change.key)
	}
	if err := os.WriteFile(file, []byte("[tasks]\nwindow = \"soon\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Signal(hangup)
	s.WaitLog("the configuration stays as it was")
	tasksOf(t, "--root", s.Root)
}
