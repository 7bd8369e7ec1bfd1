// Package vm runs emulated machines, for tests of what a device does: it boots,
// it is short of memory, and its power goes.
package vm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth/e2e/wire"
)

// Patience bounds how long a machine may take for anything, on a computer that
// has other things to do. It is no measure of how long it should.
const Patience = 10 * time.Minute

// Options of a machine.
type Options struct {
	Arch           string // Debian's name: arm64 or amd64
	Kernel, Initrd string // files to boot
	Append         string // to the kernel's command line
	MiB            int    // of memory
	Disk           string // a -blockdev whose node-name is disk
	NoClock        bool   // it begins each time at the same moment of the past
	Reboots        bool   // it may; otherwise it ends instead
	More           []string
}

// VM is a machine that was switched on. Its port 5000 is reached at Addr.
type VM struct {
	Addr    string // host:port
	Began   time.Time
	Ended   chan struct{} // closed when it is off
	cmd     *exec.Cmd
	console console
}

// Start switches a machine on.
func Start(o Options) (*VM, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	line, err := o.command(addr)
	if err != nil {
		return nil, err
	}
	m := &VM{Addr: addr, Began: time.Now(), Ended: make(chan struct{}), cmd: exec.Command(line[0], line[1:]...)}
	m.cmd.Stdout, m.cmd.Stderr = &m.console, &m.console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	go func() {
		_ = m.cmd.Wait() // it is killed: the console tells what went wrong
		close(m.Ended)
	}()
	return m, nil
}

func (o Options) command(addr string) ([]string, error) {
	var line []string
	tty := "ttyAMA0"
	switch o.Arch {
	case "arm64":
		line = []string{"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"}
	case "amd64":
		line, tty = []string{"qemu-system-x86_64", "-M", "q35"}, "ttyS0"
	default:
		return nil, fmt.Errorf("vm: no machine is known for architecture %q: it is arm64 or amd64", o.Arch)
	}
	line = append(line, "-accel", "tcg", "-m", fmt.Sprint(o.MiB), "-smp", "1", "-nodefaults", "-display", "none", "-serial", "stdio",
		"-kernel", o.Kernel, "-initrd", o.Initrd, "-append", fmt.Sprintf("console=%s quiet panic=-1 %s", tty, o.Append),
		"-netdev", "user,id=net,restrict=on,hostfwd=tcp:"+addr+"-:5000", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-blockdev", o.Disk,
		"-device", "virtio-blk-pci,drive=disk,write-cache=on,logical_block_size=4096,physical_block_size=4096",
		"-device", "virtio-rng-pci")
	if !o.Reboots {
		line = append(line, "-no-reboot")
	}
	if o.NoClock {
		line = append(line, "-rtc", "base=2022-01-01T00:00:00")
	}
	return append(line, o.More...), nil
}

// Kill cuts the power: the machine is gone between two instructions.
func (m *VM) Kill() error {
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-m.Ended
	return nil
}

// PID is that of the emulator.
func (m *VM) PID() int { return m.cmd.Process.Pid }

// Client is one of a registry in the machine. It lets go of connections soon, so
// that a registry that leaves when nobody is there can.
func (m *VM) Client() *wire.Client {
	return wire.Outside("http://"+m.Addr, &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 2 * time.Second, DisableCompression: true})
}

// WaitUp waits until the registry answers, without doing anything for it. It
// gives up where the machine ends or its console says one of the given texts.
func (m *VM) WaitUp(hopeless ...string) error {
	ask := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for began := time.Now(); time.Since(began) < Patience; {
		answer, err := ask.Get("http://" + m.Addr + "/v2/")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-m.Ended:
			return errors.New("vm: it went down by itself")
		case <-time.After(100 * time.Millisecond):
		}
		for _, text := range hopeless {
			if strings.Contains(m.console.String(), text) {
				return fmt.Errorf("vm: it does not come up without help: %q", text)
			}
		}
	}
	return fmt.Errorf("vm: the registry does not answer after %v", Patience)
}

// WaitSays waits until the console has said a text.
func (m *VM) WaitSays(text string) error {
	for began := time.Now(); time.Since(began) < Patience; {
		if strings.Contains(m.console.String(), text) {
			return nil
		}
		select {
		case <-m.Ended:
			return errors.New("vm: it went down by itself")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("vm: it has not said %q after %v", text, Patience)
}

// Blame adds to an error what the machine said last.
func (m *VM) Blame(err error) error {
	if err == nil {
		return nil
	}
	said := strings.Split(strings.TrimSpace(m.console.String()), "\n")
	return fmt.Errorf("%w\nthe machine said last:\n%s", err, strings.Join(said[max(0, len(said)-40):], "\n"))
}

// freeAddress is one below the ports that Linux hands to clients.
func freeAddress() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("vm: no port of 127.0.0.1 is free")
}

// console keeps what a machine says.
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
