package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth/e2e/powercut/lossy"
	"berth/e2e/wire"
)

// patience bounds how long a guest may take to serve, on a machine that has
// other things to do. It is no measure of how long it should.
const patience = 10 * time.Minute

// machine is the computer that loses power: what all its guests share.
type machine struct {
	arch, kernel, initrd string
	dir                  string // for sockets and consoles
	commit               bool
}

// guest is one run of the machine, from power on to power off.
type guest struct {
	disk    *lossy.Disk
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the virtual machine has ended
	served  chan error    // what became of its disk's connection
	sockets net.Listener
	console *console
	addr    string
	began   time.Time
}

// powerOn starts a guest with a disk. A guest without a clock begins each time
// at the same moment of the past, as boards without a battery do.
func (m *machine) powerOn(disk *lossy.Disk, clock bool) (*guest, error) {
	path := filepath.Join(m.dir, "disk.sock")
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	g := &guest{
		disk: disk, sockets: l, addr: addr, console: &console{},
		ended: make(chan struct{}), served: make(chan error, 1), began: time.Now(),
	}
	line, err := m.command(path, addr, clock)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	g.cmd = exec.Command(line[0], line[1:]...)
	g.cmd.Stdout, g.cmd.Stderr = g.console, g.console
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go g.serveDisk()
	go func() {
		_ = g.cmd.Wait() // it is killed: the console tells what went wrong
		close(g.ended)
	}()
	return g, nil
}

// command is the virtual machine's command line.
func (m *machine) command(socket, addr string, clock bool) ([]string, error) {
	var line []string
	console := "ttyAMA0"
	switch m.arch {
	case "arm64":
		line = []string{"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"}
	case "amd64":
		line, console = []string{"qemu-system-x86_64", "-M", "q35"}, "ttyS0"
	default:
		return nil, fmt.Errorf("no machine is known for architecture %q: it is arm64 or amd64", m.arch)
	}
	line = append(line, "-accel", "tcg", "-m", "256", "-smp", "1", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", m.kernel, "-initrd", m.initrd,
		"-append", fmt.Sprintf("console=%s quiet panic=-1 commit=%v", console, m.commit),
		"-netdev", "user,id=net,restrict=on,hostfwd=tcp:"+addr+"-:5000", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-blockdev", "driver=nbd,node-name=disk,server.type=unix,server.path="+socket,
		"-device", "virtio-blk-pci,drive=disk,write-cache=on,logical_block_size=4096,physical_block_size=4096",
		"-device", "virtio-rng-pci")
	if !clock {
		line = append(line, "-rtc", "base=2022-01-01T00:00:00")
	}
	return line, nil
}

func (g *guest) serveDisk() {
	conn, err := g.sockets.Accept()
	if err != nil {
		g.served <- nil // the guest was gone before it came
		return
	}
	g.served <- errors.Join(g.disk.Serve(conn), conn.Close())
}

// powerOff cuts the power: the guest is gone between two instructions, and with
// it a part of what its disk had not been told to flush.
func (g *guest) powerOff(chance *rand.Rand) error {
	if err := g.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-g.ended
	_ = g.sockets.Close() // ends a wait for a guest that never came
	if err := <-g.served; err != nil {
		return err
	}
	return g.disk.Cut(chance)
}

// client is one of a registry in the guest.
func (g *guest) client() *wire.Client {
	return wire.Outside("http://"+g.addr, &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true})
}

// waitUp waits until the registry answers, without doing anything for it, and
// returns how long that took since power on.
func (g *guest) waitUp() (time.Duration, error) {
	ask := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(g.began) < patience {
		answer, err := ask.Get("http://" + g.addr + "/v2/")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return time.Since(g.began), nil
			}
		}
		select {
		case <-g.ended:
			return 0, errors.New("the guest went down by itself")
		case <-time.After(100 * time.Millisecond):
		}
		if said := g.console.String(); strings.Contains(said, "guest: the disk") || strings.Contains(said, "guest: berth ended") {
			return 0, errors.New("the guest does not come up without help")
		}
	}
	return 0, fmt.Errorf("the registry does not answer after %v", patience)
}

// sleep waits, unless the guest ends before.
func (g *guest) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-g.ended:
		return errors.New("the guest went down by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freeAddress is one below the ports that Linux hands to clients.
func freeAddress() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port of 127.0.0.1 is free")
}

// console keeps what a guest says.
type console struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}
