package rows

import (
	"fmt"
	"slices"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

// sample is one turn of one server.
type sample struct {
	client.Done
	cpu   time.Duration // of the server
	bytes float64       // of content, for each operation
	peaks probe.Peaks
}

// measure runs a load against a server. bytes is the content of an operation.
func (e *Env) measure(i *instance, bytes int64, l client.Load) (sample, error) {
	l.Addr = i.Addr
	if l.Ops == 0 {
		l.Time = e.Time
	}
	busy, err := probe.Busy()
	if err != nil {
		return sample{}, err
	}
	own := probe.Own()
	before, err := i.Tree().CPU()
	if err != nil {
		return sample{}, err
	}
	watch := probe.NewWatch(i.Tree(), i.group)
	done, err := l.Run()
	peaks, watchErr := watch.Stop()
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", i.Kind, err)
	}
	if watchErr != nil {
		return sample{}, fmt.Errorf("%s: %w", i.Kind, watchErr)
	}
	after, err := i.Tree().CPU()
	if err != nil {
		return sample{}, err
	}
	s := sample{Done: done, cpu: after - before, bytes: float64(bytes), peaks: peaks}
	busyAfter, err := probe.Busy()
	others := busyAfter - busy - (probe.Own() - own) - s.cpu
	e.sayNoise(i.Kind, s, others)
	return s, err
}

// sayNoise tells what a sample was, and how much of the machine went to
// neither client nor server: a high share makes it worthless.
func (e *Env) sayNoise(k peer.Kind, s sample, others time.Duration) {
	share := others.Seconds() / s.Elapsed.Seconds() / float64(probe.CPUs())
	e.Say("  %-15s %12s in %s, server CPU %s (%s each), others %.0f %% of the machine", k, report.PerSecond(s.Rate()),
		report.Seconds(s.Elapsed), report.Seconds(s.cpu), report.Microseconds(cpuPerOp(s)), max(0, share*100))
}

// metric reads one value of a sample.
type metric func(sample) float64

func rate(s sample) float64       { return s.Rate() }
func throughput(s sample) float64 { return s.Rate() * s.bytes }
func cpuPerOp(s sample) float64   { return s.cpu.Seconds() / float64(s.Ops) }
func cpuPerGiB(s sample) float64  { return cpuPerOp(s) / s.bytes * (1 << 30) }
func anonymous(s sample) float64  { return float64(s.peaks.Anonymous) }
func rss(s sample) float64        { return float64(s.peaks.RSS) }
func dirty(s sample) float64      { return float64(s.peaks.Dirty) }

// series is the samples of each server, in the order of the rounds.
type series map[peer.Kind][]sample

// rounds lets each kind of server take its turn, again and again.
func (e *Env) rounds(kinds []peer.Kind, n int, turn func(k peer.Kind) (sample, error)) (series, error) {
	all := series{}
	for range n {
		for _, k := range kinds {
			s, err := turn(k)
			if err != nil {
				return all, err
			}
			all[k] = append(all[k], s)
		}
	}
	return all, nil
}

// fresh is a turn on a server of its own with fresh data.
func (e *Env) fresh(o options, load func(i *instance) (sample, error)) func(k peer.Kind) (sample, error) {
	return func(k peer.Kind) (s sample, err error) {
		settle()
		err = e.with(k, o, func(i *instance) (err error) {
			s, err = load(i)
			return err
		})
		return s, err
	}
}

// median is that of a server's samples.
func (s series) median(k peer.Kind, m metric) float64 { return median(s.values(k, m)) }

func (s series) values(k peer.Kind, m metric) []float64 {
	all := make([]float64, 0, len(s[k]))
	for _, one := range s[k] {
		all = append(all, m(one))
	}
	return all
}

// most is the largest of a server's samples.
func (s series) most(k peer.Kind, m metric) float64 { return slices.Max(s.values(k, m)) }

// ratio is the median of the rounds' ratios of berth to a peer: neighbours in
// time share whatever else the machine was doing.
func (s series) ratio(k peer.Kind, m metric) float64 {
	own, other := s.values(peer.Berth, m), s.values(k, m)
	all := make([]float64, min(len(own), len(other)))
	for i := range all {
		all[i] = own[i] / other[i]
	}
	return median(all)
}

// cell is a server's median with its spread, "" where it was not measured.
func (s series) cell(k peer.Kind, m metric, format func(float64) string) string {
	values := s.values(k, m)
	if len(values) == 0 {
		return ""
	}
	middle := median(values)
	return report.Spread(format(middle), (slices.Max(values)-slices.Min(values))/2/middle)
}

// line is a line with all servers' medians and no target.
func (s series) line(work, measure string, m metric, format func(float64) string) report.Line {
	return report.Line{
		Work: work, Measure: measure,
		Berth:  s.cell(peer.Berth, m, format),
		Docker: s.cell(peer.Docker, m, format),
		Nginx:  s.cell(peer.Nginx, m, format),
	}
}

// against adds a target that is a ratio to a peer's value. It leaves the line
// as it is where one of the two was not measured.
func (s series) against(l report.Line, k peer.Kind, m metric, target string, ok func(ratio float64) bool) report.Line {
	l.Target = target
	if len(s[peer.Berth]) == 0 || len(s[k]) == 0 {
		return l
	}
	r := s.ratio(k, m)
	l.Ratio, l.Verdict = report.Ratio(r), report.Judge(ok(r))
	return l
}

// under adds a target that berth's largest sample must not exceed.
func (s series) under(l report.Line, m metric, target string, limit float64) report.Line {
	l.Target = target
	if len(s[peer.Berth]) > 0 {
		l.Verdict = report.Judge(s.most(peer.Berth, m) <= limit)
	}
	return l
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func atLeast(least float64) func(float64) bool { return func(r float64) bool { return r >= least } }
func atMost(most float64) func(float64) bool   { return func(r float64) bool { return r <= most } }
