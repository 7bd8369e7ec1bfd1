package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

var onStick = fixture.SimpleImage("device/stick")

// stickRepo is where the stick's layout is served: prefix, label, directory.
const stickRepo = "usb/tools/apps"

func (d *device) stick() string { return filepath.Join(d.dir, "stick.img") }

// makeStick makes a stick as people have them, with FAT, a label and a layout.
func (d *device) makeStick() error {
	layout := filepath.Join(d.dir, "apps")
	if err := os.Mkdir(layout, 0o755); err != nil {
		return err
	}
	if err := fixture.WriteLayout(layout, map[string]fixture.Node{"v1": onStick}); err != nil {
		return err
	}
	for _, line := range [][]string{
		{"mkfs.vfat", "-n", "TOOLS", "-C", d.stick(), "65536"},
		{"mcopy", "-s", "-i", d.stick(), layout, "::/"},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", line, err, out)
		}
	}
	return nil
}

func hash(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// usb plugs a stick in before sticks are asked for, and again after, and pulls
// it out.
func (d *device) usb() error {
	before, err := hash(d.stick())
	if err != nil {
		return err
	}
	if err := d.plug(true); err != nil {
		return err
	}
	if err := eventually("the stick is seen", func() error { return d.want("TOOLS", "lsblk -no LABEL /dev/sda") }); err != nil {
		return err
	}
	if err := d.want("", "findmnt -no TARGET /dev/sda"); err != nil {
		return err
	}
	if _, err := d.run("systemctl enable --now berth-usb.service"); err != nil {
		return err
	}
	if err := d.served(true); err != nil {
		return fmt.Errorf("a stick that was there before: %w", err)
	}
	out, err := d.run("findmnt -no TARGET,OPTIONS /dev/sda")
	if err != nil {
		return err
	}
	d.say("one command, and the stick is served; it is mounted at %s", out)
	if err := d.replug(); err != nil {
		return err
	}
	if _, err := d.run("systemctl stop berth-usb.service"); err != nil {
		return err
	}
	if err := errors.Join(d.served(false), d.want("", "findmnt -no TARGET /dev/sda")); err != nil {
		return fmt.Errorf("after berth-usb.service was stopped: %w", err)
	}
	if _, err := d.run("systemctl start berth-usb.service"); err != nil {
		return err
	}
	if err := d.served(true); err != nil {
		return fmt.Errorf("after berth-usb.service was started again: %w", err)
	}
	after, err := hash(d.stick())
	if err != nil || !bytes.Equal(before, after) {
		return fmt.Errorf("the stick was written to, or cannot be read: %w", err)
	}
	d.say("pulled out and plugged in again, and switched off and on: it is served when it should be, and was not written to")
	return nil
}

func (d *device) replug() error {
	if err := d.plug(false); err != nil {
		return err
	}
	if err := d.served(false); err != nil {
		return fmt.Errorf("a stick that was pulled out: %w", err)
	}
	if err := d.plug(true); err != nil {
		return err
	}
	return d.served(true)
}

// served waits until the stick's layout is served whole, or is not known.
func (d *device) served(there bool) error {
	if there {
		return eventually("the stick is served", func() error { return d.client.TryPullWhole(stickRepo, "v1", onStick) })
	}
	return eventually("the stick is not served", func() error {
		return d.client.TryFor(wire.Request{Method: "GET", Path: wire.ManifestPath(stickRepo, "v1")}, http.StatusNotFound)
	})
}
