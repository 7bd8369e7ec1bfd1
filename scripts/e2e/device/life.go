package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// image is what is pushed before the upgrade and the reboot, and pulled after.
var image = fixture.Image(fixture.Options{Arch: "arm64"}, fixture.Layer("device/base", 24<<20), fixture.Layer("device/top", 300_000))

// live goes through the life of the package.
func (d *device) live() error {
	if err := d.makeStick(); err != nil {
		return err
	}
	if err := d.powerOn(); err != nil {
		return err
	}
	steps := []func() error{
		d.install, d.activate, d.confined, d.pushAndPull, d.peak, d.watchdog, d.restart, d.upgrade, d.idle, d.usb, d.memory,
		d.reboot, d.memory, d.purge,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			out, _ := d.run("journalctl --no-pager -n 60; true")
			return errors.Join(d.vm.Blame(err), d.vm.Kill(), errors.New("the journal says last:\n"+out))
		}
	}
	return d.vm.Kill()
}

func (d *device) install() error {
	out, err := d.run(`. /etc/os-release; echo "$PRETTY_NAME, Linux $(uname -r), $(awk '/MemTotal/ { print $2 }' /proc/meminfo) KiB of memory"`)
	if err != nil {
		return err
	}
	d.say("%s", out)
	if _, err := d.run("mkdir -p /packages && mount -o ro /dev/vdb /packages"); err != nil {
		return err
	}
	if out, err = d.run("DEBIAN_FRONTEND=noninteractive dpkg -i /packages/old.deb"); err != nil {
		return err
	}
	err = errors.Join(
		d.want("active", "systemctl is-active berth.socket"),
		d.want("enabled", "systemctl is-enabled berth.socket"),
		d.want("inactive", "systemctl is-active berth.service"),
		d.want("disabled", "systemctl is-enabled berth-usb.service"),
		d.want("berth:berth 750", "stat -c '%%U:%%G %%a' /var/lib/berth"),
	)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	// The network is let in as the documents say.
	_, err = d.run("install -D -m 644 /usr/share/doc/berth/examples/network.conf /etc/systemd/system/berth.socket.d/network.conf && " +
		"systemctl daemon-reload && systemctl restart berth.socket")
	d.say("installed: %s", d.version())
	return err
}

func (d *device) version() string {
	out, err := d.run("dpkg-query -W -f '${Version}' berth; echo; berth version")
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(out, "\n", ", ")
}

// activate measures the first answer of a berth that is started by it.
func (d *device) activate() error {
	var took []time.Duration
	for range 5 {
		if _, err := d.run("systemctl stop berth.service"); err != nil {
			return err
		}
		began := time.Now()
		if err := d.vm.Client().TryFor(wire.Request{Method: "GET", Path: "/v2/"}, http.StatusOK); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	d.say("first answer after the connection that starts berth: median %d ms, longest %d ms", took[2].Milliseconds(), took[4].Milliseconds())
	return nil
}

// visit pushes to and pulls from a registry that was just started.
func (d *device) visit() error {
	up := wire.Request{Method: "GET", Path: "/v2/"}
	if err := eventually("it serves", func() error { return d.client.TryFor(up, http.StatusOK) }); err != nil {
		return err
	}
	return d.pushAndPull()
}

// pushAndPull pushes a large image, and then small ones, four at a time.
func (d *device) pushAndPull() error {
	began := time.Now()
	if err := d.client.TryPush("shop/till", "v1", image); err != nil {
		return err
	}
	pushed := time.Since(began)
	const pushers, each = 4, 10
	done := make(chan error, pushers)
	for pusher := range pushers {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				tag := fmt.Sprintf("v%d-%d", pusher, i)
				small := fixture.SimpleImage("device/" + tag)
				err = d.client.TryPush("shop/small", tag, small)
				if err == nil {
					err = d.client.TryPullWhole("shop/small", tag, small)
				}
			}
			done <- err
		}()
	}
	var err error
	for range pushers {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		return err
	}
	if err := d.client.TryPullWhole("shop/till", "v1", image); err != nil {
		return err
	}
	d.say("an image of 24 MiB pushed in %.1f s, %d small ones, %d at a time; all pulled whole", pushed.Seconds(), pushers*each, pushers)
	return nil
}

// peak reports the most memory that the running berth has had.
func (d *device) peak() error {
	out, err := d.run(`grep -E '^(VmHWM|RssAnon)' /proc/$(systemctl show -P MainPID berth.service)/status | tr -s '\t ' ' '`)
	d.say("memory of berth, the most and the anonymous now: %s", strings.ReplaceAll(out, "\n", ", "))
	return err
}

// upgrade installs the next version while clients connect all the time.
func (d *device) upgrade() error {
	before, err := d.pid()
	if err != nil {
		return err
	}
	if _, err := d.run("%s", set("idleExit", `"5s"`)); err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan *knocking, 1)
	go func() { done <- knock("http://"+d.vm.Addr+"/v2/", stop) }()
	_, err = d.run("DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /packages/new.deb")
	after, err2 := d.run("systemctl show -P MainPID berth.service")
	close(stop)
	k := <-done
	if err := errors.Join(err, err2, k.err); err != nil {
		return err
	}
	if k.answers == 0 || before == after {
		return fmt.Errorf("%d answers during the upgrade; process %s, then %s", k.answers, before, after)
	}
	d.say("upgraded to %s: %d connections meanwhile, none refused, the longest answered after %d ms", d.version(), k.answers, k.longest.Milliseconds())
	return d.client.TryPullWhole("shop/till", "v1", image)
}

// idle waits until berth has left, and starts it again by a connection.
func (d *device) idle() error {
	err := eventually("berth leaves", func() error { return d.want("inactive", "systemctl is-active berth.service") })
	if err != nil {
		return err
	}
	if err := d.want("success", "systemctl show -P Result berth.service"); err != nil {
		return err
	}
	free := d.free()
	if err := d.client.TryPullWhole("shop/till", "v1", image); err != nil {
		return err
	}
	d.say("it left when idle, and was back with the next connection; without it %s", free)
	return nil
}

func (d *device) free() string {
	out, err := d.run(`awk '/MemAvailable/ { print $2 " KiB of memory are available" }' /proc/meminfo`)
	if err != nil {
		return err.Error()
	}
	return out
}

func (d *device) reboot() error {
	before, err := d.run("cat /proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(d.agent, "systemctl --no-block reboot; sleep 600"); err != nil {
		return err
	}
	if err := d.vm.WaitSays("reboot: Restarting system"); err != nil {
		return err
	}
	took, err := firstAnswer("http://" + d.vm.Addr + "/v2/")
	if err != nil {
		return err
	}
	if err := d.awaitAgent(); err != nil {
		return err
	}
	after, err := d.run("cat /proc/sys/kernel/random/boot_id")
	if err != nil || before == after {
		return fmt.Errorf("boot %s, then %s: %w", before, after, err)
	}
	out, err := d.run("echo the socket listened $(($(systemctl show -P ActiveEnterTimestampMonotonic berth.socket) / 1000)) ms after the kernel had started; " +
		"systemctl is-system-running --wait; systemd-analyze time | head -n 1")
	if err != nil {
		return err
	}
	d.say("rebooted, %.0f s from the reset to the first answer; %s", took.Seconds(), strings.ReplaceAll(out, "\n", "; "))
	if err := d.served(true); err != nil {
		return fmt.Errorf("the stick after a reboot: %w", err)
	}
	return d.client.TryPullWhole("shop/till", "v1", image)
}

// memory fails where anything was killed for want of it since the boot.
func (d *device) memory() error {
	if err := d.want("0", "journalctl -b --no-pager | grep -ciE 'out of memory|oom-kill'"); err != nil {
		return err
	}
	d.say("nothing was killed for want of memory; %s", d.free())
	return nil
}

func (d *device) purge() error {
	out, err := d.run("DEBIAN_FRONTEND=noninteractive dpkg --purge berth")
	if err != nil {
		return err
	}
	err = errors.Join(
		d.want("gone", "[ -e /usr/bin/berth ] || [ -e /etc/berth ] || [ -e /run/berth-usb ] || echo gone"),
		d.want("inactive", "systemctl is-active berth.socket"),
		d.want("kept", "[ -e /var/lib/berth/shop/till/index.json ] && echo kept"),
	)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if _, err := d.client.Try(wire.Request{Method: "GET", Path: "/v2/"}); err == nil {
		return errors.New("something answers after the purge")
	}
	d.say("purged; the images are kept")
	return nil
}
