package ops

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/e2e/fixture"
	"berth/e2e/harness"
	"berth/e2e/wire"
)

// failsToStart starts a berth that must end by itself with a failure, and
// returns its status and what it said.
func failsToStart(t *testing.T, c harness.Config) (status int, said string) {
	t.Helper()
	c.NoWait = true
	s := harness.Start(t, c)
	exit, ok := errors.AsType[*exec.ExitError](s.Wait())
	if !ok {
		t.Fatalf("berth ended with success:\n%s", s.Log())
	}
	return exit.ExitCode(), s.Log()
}

// Two processes on one root: the second refuses to start.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s, c := start(t, harness.Config{})
	image := fixture.SimpleImage("second")
	c.Push("app", "v1", image)
	status, said := failsToStart(t, harness.Config{Root: s.Root})
	if status == 0 || !strings.Contains(said, s.Root) || !strings.Contains(said, "another") {
		t.Errorf("the second process ended with %d and said:\n%s", status, said)
	}
	c.PullWhole("app", "v1", image)
	c.Push("app", "v2", fixture.SimpleImage("still writing"))

	s.Kill() // and the lock goes with its process
	_, c = start(t, harness.Config{Root: s.Root})
	c.PullWhole("app", "v1", image)
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	s, _ := start(t, harness.Config{})
	status, said := failsToStart(t, harness.Config{Address: s.Addr})
	if status != 1 || !strings.Contains(said, s.Addr) {
		t.Errorf("exit status %d, and it said:\n%s", status, said)
	}
}

// An unknown key stops the start: file, line, key, and the nearest valid key.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	status, said := failsToStart(t, harness.Config{File: "[storage]\ncommti = true\n"})
	for _, want := range []string{"berth.toml", "2", "commti", "commit"} {
		if !strings.Contains(said, want) {
			t.Errorf("the message lacks %q:\n%s", want, said)
		}
	}
	if status != 2 {
		t.Errorf("exit status %d, want 2", status)
	}
	out, err := exec.Command(harness.Binary(t), "verify", harness.WriteFile(t, "bad.toml", "[http]\nport = 70000\n")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "port") {
		t.Errorf("berth verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(harness.Binary(t), "verify", harness.WriteFile(t, "good.toml", "[http]\nport = 7000\n")).CombinedOutput(); err != nil {
		t.Errorf("berth verify: %v\n%s", err, out)
	}
}

// The reference registry's JSON, key by key.
func TestJSONConfiguration(t *testing.T) {
	t.Parallel()
	root, address := t.TempDir(), harness.FreeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	file := harness.WriteFile(t, "berth.json", `{"distSpecVersion":"1.1.1","storage":{"rootDirectory":"`+root+`","commit":true},"http":{"address":"`+host+`","port":"`+port+`"},"log":{"level":"debug"}}`)
	s, c := start(t, harness.Config{Bare: true, Args: []string{file}, Root: root, Address: address})
	c.Push("app", "v1", fixture.SimpleImage("json"))
	if err := fixture.CheckLayout(s.Dir("app")); err != nil {
		t.Error(err)
	}
}

// berth serve alone, as make run starts it, but at another port.
func TestDefaults(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), harness.FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	s, c := start(t, harness.Config{Bare: true, Dir: dir, Address: address, Env: []string{"BERTH_HTTP_PORT=" + port}})
	image := fixture.SimpleImage("defaults")
	c.Push("app", "v1", image)
	c.PullWhole("app", "v1", image)
	if err := fixture.CheckLayout(filepath.Join(dir, "berth-data", "app")); err != nil {
		t.Error(err)
	}
	s.Stop()
}

// SIGHUP takes over what can be taken over and opens the log again.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, file := filepath.Join(dir, "berth.log"), filepath.Join(dir, "berth.toml")
	write := func(level, sparse string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[log]\nlevel = \""+level+"\"\noutput = \""+log+"\"\n[http]\nsparse = \""+sparse+"\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("info", "index")
	s, c := start(t, harness.Config{Args: []string{file}})
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	write("debug", "none")
	s.Signal(hangup)
	harness.Eventually(t, "the log is opened again and tells", func() error {
		said, err := os.ReadFile(log)
		if old, _ := os.ReadFile(log + ".1"); err == nil && !strings.Contains(string(said)+string(old), "http.sparse") {
			return errors.New("no word of http.sparse in\n" + string(said) + string(old))
		}
		return err
	})
	c.Push("app", "v1", fixture.SimpleImage("reload"))

	if err := os.WriteFile(file, []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Signal(hangup)
	harness.Eventually(t, "the bad file is told", func() error {
		if said, _ := os.ReadFile(log); !strings.Contains(string(said), "level=ERROR") {
			return errors.New("not in the log:\n" + string(said))
		}
		return nil
	})
	c.Get("/v2/app/tags/list").Want(200)
	c.Do(wire.ManifestRequest("elsewhere", "v1", fixture.MultiArch("reload"))).Want(201) // sparse is still "index"
	s.Stop()
}
