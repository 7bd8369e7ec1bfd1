package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/e2e/vm"
	"berth/e2e/wire"
)

// device is the machine under test, and the two lines that lead to it: one to
// the agent that runs commands in it, one to whoever plugs things in.
type device struct {
	arch, kernel, initrd, root, packages, dir string

	began   time.Time
	vm      *vm.VM
	client  *wire.Client
	agent   net.Conn
	lines   *bufio.Scanner // of the agent
	monitor net.Conn
}

// say tells what has been done.
func (d *device) say(format string, args ...any) {
	fmt.Printf("%5.0f s  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// powerOn starts the machine and waits for its agent.
func (d *device) powerOn() error {
	agent, monitor := filepath.Join(d.dir, "agent.sock"), filepath.Join(d.dir, "monitor.sock")
	_ = os.Remove(agent)
	_ = os.Remove(monitor)
	image := func(node, path, more string) []string {
		return []string{"-blockdev", "driver=raw,node-name=" + node + more + ",file.driver=file,file.filename=" + path}
	}
	more := append(image("packages", d.packages, ",read-only=on"), image("stick", d.stick(), "")...)
	more = append(more,
		"-device", "virtio-blk-pci,drive=packages",
		"-device", "qemu-xhci,id=usb",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent",
		"-chardev", "socket,id=agent,server=on,wait=off,path="+agent,
		"-monitor", "unix:"+monitor+",server=on,wait=off")
	var err error
	d.vm, err = vm.Start(vm.Options{
		Arch: d.arch, Kernel: d.kernel, Initrd: d.initrd, Append: "root=/dev/vda", MiB: 256, Reboots: true,
		Disk: "driver=raw,node-name=disk,file.driver=file,file.filename=" + d.root, More: more,
	})
	if err != nil {
		return err
	}
	d.client = d.vm.Client()
	if d.agent, err = dial(agent); err != nil {
		return d.vm.Blame(err)
	}
	if d.monitor, err = dial(monitor); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, d.monitor) }() // its prompts
	d.lines = bufio.NewScanner(d.agent)
	return d.awaitAgent()
}

// dial reaches a socket that the emulator is about to open.
func dial(path string) (net.Conn, error) {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err == nil || time.Since(began) > time.Minute {
			return conn, err
		}
	}
}

// awaitAgent waits until the system has booted.
func (d *device) awaitAgent() error {
	_, err := d.until("agent: up")
	return err
}

// run runs a command as root in the machine and returns what it says.
func (d *device) run(format string, args ...any) (string, error) {
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(d.agent, command); err != nil {
		return "", err
	}
	out, err := d.until("agent: status ")
	if err != nil {
		return out, fmt.Errorf("%s: %w", command, err)
	}
	if i := strings.LastIndex(out, "agent: status "); out[i:] != "agent: status 0" {
		return out, fmt.Errorf("%s: status %s\n%s", command, out[i+len("agent: status "):], out[:i])
	}
	return strings.TrimSpace(strings.TrimSuffix(out, "agent: status 0")), nil
}

// until reads what the agent says up to a line that begins so.
func (d *device) until(prefix string) (string, error) {
	var out strings.Builder
	if err := d.agent.SetReadDeadline(time.Now().Add(vm.Patience)); err != nil {
		return "", err
	}
	for d.lines.Scan() {
		line := strings.TrimRight(d.lines.Text(), "\r")
		out.WriteString(line)
		if strings.HasPrefix(line, prefix) {
			return out.String(), nil
		}
		out.WriteByte('\n')
	}
	return out.String(), d.vm.Blame(errors.Join(d.lines.Err(), fmt.Errorf("no %q came, but %q", prefix, out.String())))
}

// want fails unless a command says exactly that.
func (d *device) want(said, format string, args ...any) error {
	out, err := d.run(format+"; true", args...)
	if err == nil && out != said {
		err = fmt.Errorf("%s: it says %q, not %q", fmt.Sprintf(format, args...), out, said)
	}
	return err
}

// eventually repeats a check until it holds.
func eventually(what string, check func() error) error {
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Since(began) > vm.Patience {
			return fmt.Errorf("waited %v until %s: %w", vm.Patience, what, err)
		}
	}
}

// plug plugs the stick in, or pulls it out.
func (d *device) plug(in bool) error {
	command := "device_del stick\n"
	if in {
		command = "device_add usb-storage,id=stick,bus=usb.0,drive=stick,removable=on\n"
	}
	_, err := io.WriteString(d.monitor, command)
	return err
}
