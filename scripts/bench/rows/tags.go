package rows

import (
	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

// ends is how many of the first and of the last tag pushes are compared.
const ends = 100

// tagSeries are the samples of the turns of tags.
type tagSeries struct {
	push  series // many tags into one repository
	one   series // GET in a repository with one tag
	fixed series // GET of one of the many tags
	among series // GET of all the many tags in turn
}

// tags measures the push of many tags to one repository, and then what they
// do to reading. Each turn has a fresh server.
func tags(e *Env) ([]report.Line, error) {
	kinds := e.only(peer.Berth, peer.Docker)
	all := tagSeries{series{}, series{}, series{}, series{}}
	for range e.Rounds {
		for _, k := range kinds {
			settle()
			if err := e.with(k, options{}, func(i *instance) error { return e.tagTurn(i, all) }); err != nil {
				return nil, err
			}
		}
	}
	const push, read = "tag push, 2,000 in one repository, 4 clients", "manifest GET among those 2,000, 16 clients"
	return []report.Line{
		all.push.against(all.push.line(push, "rate", rate, report.PerSecond), peer.Docker, rate, "≥ 2 × docker-registry", atLeast(2)),
		lastToFirst(all.push),
		all.push.line(push, "server CPU each", cpuPerOp, report.Microseconds),
		all.likeOne(all.fixed, read, "rate, one of them"),
		all.likeOne(all.among, read, "rate, all of them in turn"),
		all.one.line(read, "rate in a repository with one tag", rate, report.PerSecond),
		all.fixed.line(read, "server CPU each, one of them", cpuPerOp, report.Microseconds),
		all.among.line(read, "server CPU each, all in turn", cpuPerOp, report.Microseconds),
		all.one.line(read, "server CPU each, one tag", cpuPerOp, report.Microseconds),
	}, nil
}

// tagTurn takes one sample for each series.
func (e *Env) tagTurn(i *instance, all tagSeries) error {
	image := client.SmallImage()
	conn := client.New(i.Addr)
	defer conn.Close()
	if err := conn.PushImage(repoTags, image); err != nil {
		return err
	}
	s, err := e.tagPushLoad(i, repoTags, image, manyTags)
	if err != nil {
		return err
	}
	all.push[i.Kind] = append(all.push[i.Kind], s)

	content := client.NewBlob(image.Manifest(0))
	if err := i.SeedManifest(repoImage, tagName(0), image, 0); err != nil {
		return err
	}
	if err := check(i, client.GetManifest(repoTags, tagName(0)), content.Digest); err != nil {
		return err
	}
	for _, part := range []struct {
		into series
		repo string
		tags int
	}{{all.one, repoImage, 1}, {all.fixed, repoTags, 1}, {all.among, repoTags, manyTags}} {
		s, err := e.manifestLoad(i, part.repo, part.tags, content.Size)
		if err != nil {
			return err
		}
		part.into[i.Kind] = append(part.into[i.Kind], s)
	}
	return nil
}

// likeOne holds rates among many tags to those with one.
func (all tagSeries) likeOne(many series, work, measure string) report.Line {
	l := many.line(work, measure, rate, report.PerSecond)
	l.Target = "within 10 % of one tag"
	if len(many[peer.Berth]) > 0 {
		r := relative(many[peer.Berth], all.one[peer.Berth])
		l.Ratio, l.Verdict = report.Ratio(r), report.Judge(r >= 0.9)
	}
	return l
}

// lastToFirst compares the rates of the last and the first pushes.
func lastToFirst(push series) report.Line {
	m := func(s sample) float64 {
		n := len(s.Ends)
		return s.Ends[ends-1].Seconds() / (s.Ends[n-1] - s.Ends[n-1-ends]).Seconds()
	}
	l := push.line("tag push, 2,000 in one repository, 4 clients", "last 100 to first 100", m, report.Ratio)
	l.Target = "≥ 0.5 × the first"
	if len(push[peer.Berth]) > 0 {
		l.Verdict = report.Judge(push.median(peer.Berth, m) >= 0.5)
	}
	return l
}

// relative is the median ratio of the rates of two lists of samples.
func relative(a, b []sample) float64 {
	all := make([]float64, min(len(a), len(b)))
	for i := range all {
		all[i] = rate(a[i]) / rate(b[i])
	}
	return median(all)
}
