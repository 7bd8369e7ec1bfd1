package simfs_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"berth/fsstore/durable"
	"berth/fsstore/simfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(fsys durable.FS, name string) string {
	content, _, err := durable.ReadFile(fsys, name, 1<<20)
	if err != nil {
		return "missing"
	}
	return string(content)
}

// TestForgets: content and names survive when each was synced.
func TestForgets(t *testing.T) {
	f := simfs.New(time.Now)
	must(t, durable.WriteTemp(f, "both", []byte("both"), true))
	must(t, durable.WriteTemp(f, "name", []byte("name"), false))
	must(t, f.SyncDir("."))
	must(t, durable.WriteTemp(f, "content", []byte("content"), true))
	must(t, durable.WriteTemp(f, "none", []byte("none"), false))
	for loss, want := range map[simfs.Loss][4]string{
		simfs.Nothing:    {"both", "name", "content", "none"},
		simfs.Everything: {"both", "", "missing", "missing"},
		simfs.Data:       {"both", "\x00\x00\x00\x00", "content", "\x00\x00\x00\x00"},
		simfs.Short:      {"both", "", "content", ""},
	} {
		g := f.Crash(loss, 0)
		got := [4]string{read(g, "both"), read(g, "name"), read(g, "content"), read(g, "none")}
		if got != want {
			t.Errorf("%v: %q, want %q", loss, got, want)
		}
	}
	if _, err := f.Stat("both"); !errors.Is(err, simfs.ErrPowerCut) {
		t.Errorf("after the cut: %v", err)
	}
}

// TestRename is atomic, and an older change does not come back over it.
func TestRename(t *testing.T) {
	for seed := range uint64(50) {
		f := simfs.New(time.Now)
		must(t, f.Mkdir("d"))
		must(t, durable.WriteTemp(f, "d/to", []byte("old"), true))
		must(t, f.SyncDir("."))
		must(t, f.SyncDir("d"))
		must(t, durable.WriteTemp(f, "from", []byte("new"), true))
		must(t, f.Rename("from", "d/to"))
		g := f.Crash(simfs.Some, seed)
		from, to := read(g, "from"), read(g, "d/to")
		if to != "old" && !(to == "new" && from == "missing") {
			t.Errorf("seed %d: from %q, to %q", seed, from, to)
		}
		f = f.Continue()
		must(t, f.SyncDir("d"))
		if g = f.Crash(simfs.Everything, seed); read(g, "d/to") != "new" || read(g, "from") != "missing" {
			t.Errorf("synced: from %q, to %q", read(g, "from"), read(g, "d/to"))
		}
	}
}

func TestFault(t *testing.T) {
	f := simfs.New(time.Now)
	f.Fail(simfs.Fault{At: 2, Err: syscall.EIO})
	must(t, f.Mkdir("a"))
	if err := f.Mkdir("b"); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	must(t, f.Mkdir("b"))
	f.Fail(simfs.Fault{At: 1, Err: syscall.EIO, Done: true, Sticky: true})
	for range 2 {
		if err := f.Mkdir("c"); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	}
	f.Fail(simfs.Fault{})
	if err := f.Mkdir("c"); !errors.Is(err, syscall.EEXIST) {
		t.Error(err)
	}
}

// TestCapacity: what fits is written, and space comes back.
func TestCapacity(t *testing.T) {
	f := simfs.New(time.Now)
	f.SetCapacity(10)
	file, err := f.Create("f")
	must(t, err)
	if n, err := file.WriteAt(make([]byte, 12), 0); n != 10 || !durable.IsFull(err) {
		t.Errorf("%d, %v", n, err)
	}
	must(t, f.Remove("f"))
	if space, _ := f.Space(); space.Free != 0 {
		t.Errorf("open and removed: %d free", space.Free)
	}
	must(t, file.Close())
	if space, _ := f.Space(); space.Free != 10 {
		t.Errorf("closed: %d free", space.Free)
	}
}
