package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// supervisor is the systemd that started the process, if one did: without
// NOTIFY_SOCKET in the environment nothing is sent (sd_notify(3)).
type supervisor struct {
	log *slog.Logger
}

func (s supervisor) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("cannot notify systemd", "error", err)
	}
}

// ready and stopping tell the state, and in a few words for systemctl status what
// that means.
func (s supervisor) ready(status string)    { s.send(daemon.SdNotifyReady + "\nSTATUS=" + status) }
func (s supervisor) stopping(status string) { s.send(daemon.SdNotifyStopping + "\nSTATUS=" + status) }

// status tells that only.
func (s supervisor) status(status string) { s.send("STATUS=" + status) }

// reloading has to carry the time, so that systemd can tell which READY=1
// answers it.
func (s supervisor) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		s.log.Warn("cannot read the clock for systemd", "error", err)
		return
	}
	s.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// watch tells the watchdog, twice in its interval, that the process is alive,
// until ctx is done. alive blocks while it is not: then nothing is sent, and
// systemd restarts the service.
func (s supervisor) watch(ctx context.Context, alive func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the watchdog is off", "error", err)
	}
	if interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			alive()
			s.send(daemon.SdNotifyWatchdog)
		}
	}
}
