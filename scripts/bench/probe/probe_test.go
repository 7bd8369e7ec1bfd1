package probe

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestTreeSeesChildrenAndTheirCPU(t *testing.T) {
	// The shell waits for a child that works and then waits for the end of
	// its input, which goes by a copy: in the background 0 is /dev/null.
	cmd := exec.Command("sh", "-c", `exec 3<&0; sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; read x' <&3 & wait`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	tree := Tree{Root: cmd.Process.Pid}
	if pids := tree.PIDs(); len(pids) != 2 || pids[0] != cmd.Process.Pid {
		t.Errorf("processes %v, want two with %d first", pids, cmd.Process.Pid)
	}
	if used, err := tree.CPU(); err != nil || used < time.Millisecond {
		t.Errorf("CPU() = %v, %v", used, err)
	}
	if m, err := tree.Memory(); err != nil || m.Anonymous <= 0 || m.RSS < m.Anonymous {
		t.Errorf("Memory() = %+v, %v", m, err)
	}
}

func TestCPUOfAProcessThatIsGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := (Tree{Root: cmd.Process.Pid}).CPU(); err == nil {
		t.Error("a process that has ended has processor time")
	}
}

func TestWatchSeesAPeak(t *testing.T) {
	w := NewWatch(Tree{Root: os.Getpid()}, nil)
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	peaks, err := w.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if held[0] != 1 || peaks.Anonymous < 64<<20 || peaks.Dirty != -1 {
		t.Errorf("peaks %+v while 64 MiB were held", peaks)
	}
}

func TestKilobytes(t *testing.T) {
	got := kilobytes([]byte("Rss:    12 kB\nName:\tx\nThreads:\t4\nAnonymous:  3 kB\n"))
	if len(got) != 2 || got["Rss"] != 12<<10 || got["Anonymous"] != 3<<10 {
		t.Errorf("kilobytes = %v", got)
	}
}

func TestMachine(t *testing.T) {
	if _, err := TCPMemory(); err != nil {
		t.Error(err)
	}
	if busy, err := Busy(); err != nil || busy <= 0 {
		t.Errorf("Busy() = %v, %v", busy, err)
	}
	if CPUs() < 1 || Total() <= 0 || Kernel() == "" {
		t.Errorf("%d processors, %d bytes, kernel %q", CPUs(), Total(), Kernel())
	}
	if got := FileSystem("/proc"); got != "proc" {
		t.Errorf("/proc is on %q", got)
	}
	if slices.Contains([]string{"", "unknown"}, FileSystem(t.TempDir())) {
		t.Error("the file system of the temporary folder is not known")
	}
}
