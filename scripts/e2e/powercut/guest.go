package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"berth/e2e/powercut/lossy"
	"berth/e2e/vm"
)

// machine is the computer that loses power: what all its guests share.
type machine struct {
	arch, kernel, initrd string
	dir                  string // for the disk's socket
	commit               bool
}

// guest is one run of the machine, from power on to power off.
type guest struct {
	*vm.VM
	disk    *lossy.Disk
	served  chan error // what became of its disk's connection
	sockets net.Listener
}

// powerOn starts a guest with a disk.
func (m *machine) powerOn(disk *lossy.Disk, clock bool) (*guest, error) {
	path := filepath.Join(m.dir, "disk.sock")
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	g := &guest{disk: disk, sockets: l, served: make(chan error, 1)}
	g.VM, err = vm.Start(vm.Options{
		Arch: m.arch, Kernel: m.kernel, Initrd: m.initrd, MiB: 256, NoClock: !clock,
		Append: fmt.Sprint("commit=", m.commit),
		Disk:   "driver=nbd,node-name=disk,server.type=unix,server.path=" + path,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go g.serveDisk()
	return g, nil
}

func (g *guest) serveDisk() {
	conn, err := g.sockets.Accept()
	if err != nil {
		g.served <- nil // the guest was gone before it came
		return
	}
	g.served <- errors.Join(g.disk.Serve(conn), conn.Close())
}

// powerOff cuts the power, and with the guest goes a part of what its disk had
// not been told to flush.
func (g *guest) powerOff(chance *rand.Rand) error {
	if err := g.Kill(); err != nil {
		return err
	}
	_ = g.sockets.Close() // ends a wait for a guest that never came
	if err := <-g.served; err != nil {
		return err
	}
	return g.disk.Cut(chance)
}

// sleep waits, unless the guest ends before.
func (g *guest) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-g.Ended:
		return errors.New("the guest went down by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}
