package rows

import (
	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

// The repositories of the measurements.
const (
	repoPull  = "bench/pull"
	repoImage = "bench/image"
	repoTags  = "bench/tags"
	repoPush  = "bench/push"
)

// pull measures 64 MiB blobs going out from the page cache.
func pull(e *Env) ([]report.Line, error) {
	kinds := e.only(peer.Berth, peer.Nginx, peer.Docker)
	blob := e.largeSource().Next()
	prepare := func(i *instance) error {
		if err := i.SeedBlob(repoPull, blob); err != nil {
			return err
		}
		return check(i, client.GetBlob(repoPull, blob.Digest), blob.Digest)
	}
	all, err := e.reads(kinds, prepare, func(i *instance) (sample, error) {
		return e.pullLoad(i, repoPull, blob)
	})
	if err != nil {
		return nil, err
	}
	const work = "pull, 64 MiB blob, 4 clients"
	return []report.Line{
		all.against(all.line(work, "server CPU", cpuPerGiB, report.CPUPerGiB), peer.Nginx, cpuPerGiB, "≤ 1.0 × nginx", atMost(1)),
		all.against(all.line(work, "throughput", throughput, report.Throughput), peer.Nginx, throughput, "≥ 0.95 × nginx", atLeast(0.95)),
	}, nil
}

// manifest measures one small manifest, which nginx serves as a file.
func manifest(e *Env) ([]report.Line, error) {
	kinds := e.only(peer.Berth, peer.Nginx, peer.Docker)
	image := client.SmallImage()
	content := client.NewBlob(image.Manifest(0))
	prepare := func(i *instance) error {
		if err := i.SeedManifest(repoImage, tagName(0), image, 0); err != nil {
			return err
		}
		return check(i, client.GetManifest(repoImage, tagName(0)), content.Digest)
	}
	all, err := e.reads(kinds, prepare, func(i *instance) (sample, error) {
		return e.manifestLoad(i, repoImage, 1, content.Size)
	})
	if err != nil {
		return nil, err
	}
	const work = "manifest GET by tag, 16 clients"
	return []report.Line{
		all.against(all.line(work, "server CPU each", cpuPerOp, report.Microseconds), peer.Nginx, cpuPerOp, "≤ 2 × nginx", atMost(2)),
		all.against(all.line(work, "rate", rate, report.PerSecond), peer.Docker, rate, "≥ 3 × docker-registry", atLeast(3)),
	}, nil
}

// reads lets servers take turns that all run and were prepared once.
func (e *Env) reads(kinds []peer.Kind, prepare func(*instance) error, load func(*instance) (sample, error)) (all series, err error) {
	err = e.withFleet(kinds, prepare, func(f fleet) (err error) {
		settle()
		all, err = e.rounds(kinds, e.Rounds, func(k peer.Kind) (sample, error) { return load(f[k]) })
		return err
	})
	return all, err
}
