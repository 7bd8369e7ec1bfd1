package rows

import (
	"time"

	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

// rest is how long a server is left alone before it counts as idle.
const rest = 2 * time.Second

// idle measures servers that have started, answered once and had no more to do.
func idle(e *Env) ([]report.Line, error) {
	kinds := e.only(peer.Berth, peer.Docker, peer.Nginx)
	all, err := e.rounds(kinds, min(3, e.Rounds), e.fresh(options{}, idleLoad))
	if err != nil {
		return nil, err
	}
	const work = "idle"
	return []report.Line{
		all.under(all.line(work, "anonymous memory", anonymous, report.MiB), anonymous, "≤ 6 MiB", 6<<20),
		all.under(all.line(work, "RSS", rss, report.MiB), rss, "≤ 16 MiB", 16<<20),
	}, nil
}

func idleLoad(i *instance) (sample, error) {
	time.Sleep(rest)
	m, err := i.Tree().Memory()
	return sample{peaks: probe.Peaks{Memory: m}}, err
}
