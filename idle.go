package main

import (
	"context"
	"time"
)

// watchIdle returns what ticks whenever it is time to ask whether the process
// is idle; nil where it is to stay. Only systemd starts it again, so it leaves
// only where the sockets are systemd's.
func (p *process) watchIdle(handed bool) (ticks <-chan time.Time, stop func()) {
	if p.cfg.IdleExit == 0 {
		return nil, func() {}
	}
	if !handed {
		p.log.Warn("berth stays, however idle: no socket was handed over by systemd", "key", "idleExit")
		return nil, func() {}
	}
	ticker := time.NewTicker(idleTick(p.cfg.IdleExit))
	return ticker.C, ticker.Stop
}

// idleTick is how often to look: idleness is noticed at most a tenth too late.
func idleTick(limit time.Duration) time.Duration {
	return min(max(limit/10, 100*time.Millisecond), 15*time.Second)
}

// idle tells whether there has been no connection for as long as idleExit says,
// and nothing is being done in the background, or owed: see debt.
func (p *process) idle(ctx context.Context, now time.Time) bool {
	since, quiet := p.server.QuietSince()
	p.upkeep.keepDebts(now)
	if !quiet || now.Sub(since) < p.cfg.IdleExit || p.upkeep.Active() {
		return false
	}
	if !p.upkeep.owing(ctx, idleness{now, now.Sub(since), p.cfg.IdleExit}) {
		return true
	}
	if !p.stays {
		p.stays = true
		p.supervisor.status("Staying, though nobody is connected, until work in the background is done")
		p.log.Info("staying, though nobody is connected, until work in the background is done")
	}
	return false
}
