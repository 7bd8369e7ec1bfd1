package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"berth/e2e/wire"
)

// pid is that of the running berth.
func (d *device) pid() (string, error) {
	pid, err := d.run("systemctl show -P MainPID berth.service")
	if err == nil && pid == "0" {
		err = errors.New("no berth runs")
	}
	return pid, err
}

// confined looks whether the process is held as its unit says: what the kernel
// does to it, and how systemd rates what it has loaded.
func (d *device) confined() error {
	pid, err := d.pid()
	if err != nil {
		return err
	}
	err = errors.Join(
		d.want("berth", "stat -c %%U /proc/%s", pid),
		d.want("CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2",
			"grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/%s/status | xargs", pid),
		d.want("", "for ns in mnt user ipc; do [ $(readlink /proc/%s/ns/$ns) != $(readlink /proc/1/ns/$ns) ] || echo $ns; done", pid),
	)
	// As root, in its view of the files. (systemd leaves /run as it is.)
	inside := "nsenter --target " + pid + " --mount "
	for _, dir := range []string{"/usr", "/etc/berth", "/var/log", "/boot"} {
		err = errors.Join(err, d.want("touch: cannot touch '"+dir+"/probe': Read-only file system", "LC_ALL=C %stouch %s/probe 2>&1", inside, dir))
	}
	err = errors.Join(err,
		d.want("0", "%sls -A /root | wc -l", inside),
		d.want("no", "%stest -e /dev/vda && echo yes || echo no", inside),
		d.want("written", "%stouch /var/lib/berth/.probe && rm /var/lib/berth/.probe && echo written", inside),
	)
	if err != nil {
		return err
	}
	// The threshold is in tenths.
	rating, err := d.run("systemd-analyze security --no-pager --threshold=12 berth.service | tail -n 1")
	if err != nil {
		return err
	}
	version, err := d.run("systemctl --version | head -n 1")
	d.say("%s; the process is held as its unit says; %s", version, strings.Trim(rating, "→ "))
	return err
}

// watchdog stops the process, as a hang would, and waits until systemd has put
// another in its place. Whoever connects meanwhile is answered by that.
func (d *device) watchdog() error {
	before, err := d.pid()
	if err != nil {
		return err
	}
	if _, err := d.run("kill -STOP %s", before); err != nil {
		return err
	}
	began := time.Now()
	if err := d.vm.Client().TryFor(wire.Request{Method: "GET", Path: "/v2/"}, http.StatusOK); err != nil {
		return fmt.Errorf("a connection while berth hangs: %w", err)
	}
	took := time.Since(began)
	after, err := d.pid()
	if err != nil || before == after {
		return fmt.Errorf("process %s hung and goes on as %s: %w", before, after, err)
	}
	// Whether its Restart= or the connection starts it again is a race.
	if _, err := d.run("journalctl -b -u berth.service --no-pager | grep -q 'Watchdog timeout'"); err != nil {
		return err
	}
	d.say("berth was made to hang: the watchdog ended it, and who had connected was answered by the next after %.0f s", took.Seconds())
	return d.client.TryPullWhole("shop/till", "v1", image)
}

// restart restarts berth in the middle of a pull. Both have all the time that an
// emulated processor may need.
func (d *device) restart() error {
	_, err := d.run("%s", `mkdir -p /run/systemd/system/berth.service.d && printf '[Service]\nTimeoutStopSec=10min\n' >/run/systemd/system/berth.service.d/slow.conf && `+
		`systemctl daemon-reload && `+set("shutdownTimeout", `"10m"`)+" && "+set("minRate", "0")+" && systemctl restart berth.service")
	if err != nil {
		return err
	}
	layer := image.Children[1]
	answer, err := d.vm.Client().Open(context.Background(), wire.Request{Method: "GET", Path: wire.BlobPath("shop/till", layer.Desc.Digest)})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got := make([]byte, 64<<10)
	if _, err := io.ReadFull(answer.Body, got); err != nil {
		return err
	}
	if _, err := d.run("systemctl --no-block restart berth.service"); err != nil {
		return err
	}
	if err := eventually("berth ends", func() error { return d.want("deactivating", "systemctl is-active berth.service") }); err != nil {
		return err
	}
	rest, err := io.ReadAll(answer.Body)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, layer.Content) {
		return fmt.Errorf("a pull during a restart: %d of %d bytes came: %w", len(got), len(layer.Content), err)
	}
	if err := eventually("berth runs again", func() error { return d.want("active", "systemctl is-active berth.service") }); err != nil {
		return err
	}
	d.say("restarted in the middle of a pull, which came whole")
	_, err = d.run("rm -r /run/systemd/system/berth.service.d && systemctl daemon-reload")
	return err
}

// set is a command that sets a key in berth.toml.
func set(key, value string) string {
	return fmt.Sprintf(`sed -i -E 's|^#?%[1]s = .*|%[1]s = %[2]s|' /etc/berth/berth.toml && grep -qx '%[1]s = %[2]s' /etc/berth/berth.toml`, key, value)
}
