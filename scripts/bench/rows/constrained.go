package rows

import (
	"errors"
	"fmt"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

// constrainedLimit is the memory that a constrained server may use, its page
// cache included.
const constrainedLimit = 32 << 20

// step is one work of the constrained row.
type step struct {
	name string
	// run does the work and says what came of it.
	run func(e *Env, i *instance) (string, error)
}

// outcome is what became of a server in the small control group.
type outcome struct {
	values map[string]string // by step
	fate   string            // how it ended
	passed bool
}

// constrained lets one server of each kind do all the work of the rows before
// in a memory control group of 32 MiB.
func constrained(e *Env) ([]report.Line, error) {
	all := map[peer.Kind]outcome{}
	for _, k := range e.only(peer.Berth, peer.Docker) {
		settle()
		o := outcome{values: map[string]string{}}
		err := e.with(k, options{limit: constrainedLimit}, func(i *instance) error { return e.endure(i, &o) })
		if err != nil && (k == peer.Berth && o.passed || o.fate == "") {
			return nil, err
		}
		e.Say("  %-15s %s", k, o.fate)
		all[k] = o
	}
	const work = "all of the above in a 32 MiB memory cgroup"
	first := report.Line{Work: work, Measure: "outcome", Berth: all[peer.Berth].fate, Docker: all[peer.Docker].fate, Target: "passes, no OOM kill"}
	if e.has(peer.Berth) {
		first.Verdict = report.Judge(all[peer.Berth].passed)
	}
	lines := []report.Line{first}
	for _, s := range steps() {
		lines = append(lines, report.Line{
			Work: work, Measure: s.name, Berth: all[peer.Berth].values[s.name], Docker: all[peer.Docker].values[s.name],
		})
	}
	return lines, nil
}

// endure does all steps on one server. The outcome tells how far it came; an
// error is one of the measurement itself.
func (e *Env) endure(i *instance, o *outcome) error {
	for _, s := range steps() {
		e.Say("  %s: %s", i.Kind, s.name)
		value, err := s.run(e, i)
		kills, groupErr := i.group.OOMKills()
		if groupErr != nil {
			return errors.Join(groupErr, err)
		}
		switch {
		case kills > 0:
			o.fate = "OOM-killed: " + s.name
			return nil
		case err != nil:
			o.fate = "failed: " + s.name
			e.Say("  %s: %v", i.Kind, err)
			return nil
		}
		o.values[s.name] = value
	}
	o.fate, o.passed = "passes, 0 OOM kills", true
	return nil
}

// steps are the works of the rows above, each on what the ones before left.
func steps() []step {
	image := client.SmallImage()
	size := int64(len(image.Manifest(0)))
	perSecond := func(s sample, err error) (string, error) { return report.PerSecond(rate(s)), err }
	moved := func(s sample, err error) (string, error) {
		return fmt.Sprintf("%s, anonymous %s", report.Throughput(throughput(s)), report.MiB(anonymous(s))), err
	}
	return []step{
		{"idle, anonymous", func(_ *Env, i *instance) (string, error) {
			s, err := idleLoad(i)
			return report.MiB(anonymous(s)), err
		}},
		{"pull, 64 MiB blob", func(e *Env, i *instance) (string, error) {
			blob := e.largeSource().Next()
			if err := i.SeedBlob(repoPull, blob); err != nil {
				return "", err
			}
			return moved(e.pullLoad(i, repoPull, blob))
		}},
		{"manifest GET by tag", func(e *Env, i *instance) (string, error) {
			if err := i.SeedManifest(repoImage, tagName(0), image, 0); err != nil {
				return "", err
			}
			return perSecond(e.manifestLoad(i, repoImage, 1, size))
		}},
		{"tag push, 2,000", func(e *Env, i *instance) (string, error) { return perSecond(e.tagPushTurn(i)) }},
		{"manifest GET among 2,000", func(e *Env, i *instance) (string, error) {
			return perSecond(e.manifestLoad(i, repoTags, manyTags, size))
		}},
		{"small blob push", func(e *Env, i *instance) (string, error) { return perSecond(e.smallTurn(i)) }},
		{"push, 64 MiB blobs", func(e *Env, i *instance) (string, error) { return moved(e.largeTurn(i)) }},
		{"1,000 slow clients", crowded},
	}
}

// crowded fails where slow clients were cut off.
func crowded(e *Env, i *instance) (string, error) {
	s, err := e.slowTurn(i)
	if err != nil {
		return "", err
	}
	if s.lost > 0 {
		return "", fmt.Errorf("%d slow clients were cut off", s.lost)
	}
	return fmt.Sprintf("manifest GET %s", report.Milliseconds(s.middle())), nil
}
