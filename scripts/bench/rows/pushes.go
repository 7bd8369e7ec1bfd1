package rows

import (
	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

// smallPush measures many small blobs going in.
func smallPush(e *Env) ([]report.Line, error) {
	all, err := e.rounds(e.only(peer.Berth, peer.Docker), e.Rounds, e.fresh(options{}, e.smallTurn))
	if err != nil {
		return nil, err
	}
	const work = "small blob push, 16 KiB, 8 clients"
	return []report.Line{
		all.against(all.line(work, "rate", rate, report.PerSecond), peer.Docker, rate, "≥ 5 × docker-registry", atLeast(5)),
		all.line(work, "server CPU each", cpuPerOp, report.Microseconds),
	}, nil
}

func (e *Env) smallTurn(i *instance) (sample, error) { return e.smallPushLoad(i, repoPush) }

// largePush measures 64 MiB blobs going in.
func largePush(e *Env) ([]report.Line, error) {
	all, err := e.rounds(e.only(peer.Berth, peer.Docker), e.Rounds, e.fresh(options{}, e.largeTurn))
	if err != nil {
		return nil, err
	}
	const work = "push, 64 MiB blobs, 4 clients"
	return []report.Line{
		all.against(all.line(work, "throughput", throughput, report.Throughput), peer.Docker, throughput, "≥ docker-registry", atLeast(1)),
		all.line(work, "server CPU", cpuPerGiB, report.CPUPerGiB),
		all.under(all.line(work, "peak anonymous memory", anonymous, report.MiB), anonymous, "≤ 16 MiB", 16<<20),
		dirtyLine(all, work),
	}, nil
}

func (e *Env) largeTurn(i *instance) (sample, error) { return e.largePushLoad(i, repoPush) }

// dirtyLine leaves out what no control group could tell.
func dirtyLine(all series, work string) report.Line {
	format := func(bytes float64) string {
		if bytes < 0 {
			return "unknown"
		}
		return report.MiB(bytes)
	}
	l := all.under(all.line(work, "peak dirty pages", dirty, format), dirty, "≤ 64 MiB", 64<<20)
	if len(all[peer.Berth]) > 0 && all.median(peer.Berth, dirty) < 0 {
		l.Verdict = report.Info
	}
	return l
}

// committed measures pushes that survive a power cut: for comparison, not
// against a target. docker-registry syncs blobs, but no directories.
func committed(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	const work = "berth with commit = true"
	var lines []report.Line
	for _, part := range []struct {
		what   string
		turn   func(i *instance) (sample, error)
		m      metric
		format func(float64) string
	}{
		{"tag push, 4 clients", e.tagPushTurn, rate, report.PerSecond},
		{"small blob push, 8 clients", e.smallTurn, rate, report.PerSecond},
		{"push of 64 MiB blobs, 4 clients", e.largeTurn, throughput, report.Throughput},
	} {
		all, err := e.rounds([]peer.Kind{peer.Berth}, min(3, e.Rounds), e.fresh(options{commit: true}, part.turn))
		if err != nil {
			return lines, err
		}
		lines = append(lines, all.line(work, part.what, part.m, part.format))
	}
	return lines, nil
}

// tagPushTurn pushes the image and then its tags.
func (e *Env) tagPushTurn(i *instance) (sample, error) {
	image := client.SmallImage()
	conn := client.New(i.Addr)
	defer conn.Close()
	if err := conn.PushImage(repoTags, image); err != nil {
		return sample{}, err
	}
	return e.tagPushLoad(i, repoTags, image, manyTags)
}
