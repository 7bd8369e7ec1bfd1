package rows

import (
	"errors"
	"os"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

// s3Chunk is berth's storageDriver.chunksize, and s3Base what it may have beside
// one for each upload.
const s3Chunk, s3Base = 10 << 20, 12 << 20

// inBucket makes a measurement of servers that keep what they are given in one
// bucket of versitygw's.
func inBucket(measure func(*Env, *peer.Bucket) ([]report.Line, error)) func(*Env) ([]report.Line, error) {
	return func(e *Env) (lines []report.Line, err error) {
		if e.Gateway == "" {
			return nil, errors.New("-gateway is missing; scripts/bench/run gives it")
		}
		dir, err := e.dir()
		if err != nil {
			return nil, err
		}
		bucket, err := peer.StartBucket(e.Gateway, dir)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		defer func() { err = errors.Join(err, bucket.Stop()) }()
		return measure(e, bucket)
	}
}

// turns lets each server take its turn on an empty bucket, one at a time.
func (e *Env) turns(b *peer.Bucket, turn func(*instance) (sample, error)) (series, error) {
	return e.rounds(e.only(peer.Berth, peer.Docker), e.Rounds, func(k peer.Kind) (sample, error) {
		s, err := e.fresh(options{bucket: b}, turn)(k)
		return s, errors.Join(err, b.Empty())
	})
}

func s3Push(e *Env, b *peer.Bucket) ([]report.Line, error) {
	all, err := e.turns(b, e.largeTurn)
	if err != nil {
		return nil, err
	}
	const work = "on S3: push, 64 MiB blobs, 4 clients"
	return []report.Line{
		all.against(all.line(work, "throughput", throughput, report.Throughput), peer.Docker, throughput, "≥ 1.2 × docker-registry", atLeast(1.2)),
		all.line(work, "server CPU", cpuPerGiB, report.CPUPerGiB),
		all.under(all.line(work, "peak anonymous memory", anonymous, report.MiB), anonymous, "≤ 4 × chunksize + 12 MiB", pushClients*s3Chunk+s3Base),
	}, nil
}

func s3Pull(e *Env, b *peer.Bucket) ([]report.Line, error) {
	blob := e.largeSource().Next()
	all, err := e.turns(b, func(i *instance) (sample, error) {
		err := i.SeedBlob(repoPull, blob)
		if err == nil {
			err = check(i, client.GetBlob(repoPull, blob.Digest), blob.Digest)
		}
		if err != nil {
			return sample{}, err
		}
		return e.pullLoad(i, repoPull, blob)
	})
	if err != nil {
		return nil, err
	}
	const work = "on S3: pull, 64 MiB blob, 4 clients"
	return []report.Line{
		all.against(all.line(work, "throughput", throughput, report.Throughput), peer.Docker, throughput, "≥ 1.2 × docker-registry", atLeast(1.2)),
		all.line(work, "server CPU", cpuPerGiB, report.CPUPerGiB),
	}, nil
}

func s3Manifest(e *Env, b *peer.Bucket) ([]report.Line, error) {
	image := client.SmallImage()
	content := client.NewBlob(image.Manifest(0))
	all, err := e.turns(b, func(i *instance) (sample, error) {
		err := i.SeedManifest(repoImage, tagName(0), image, 0)
		if err == nil {
			err = check(i, client.GetManifest(repoImage, tagName(0)), content.Digest)
		}
		if err != nil {
			return sample{}, err
		}
		return e.manifestLoad(i, repoImage, 1, content.Size)
	})
	if err != nil {
		return nil, err
	}
	const work = "on S3: manifest GET by tag, 16 clients"
	return []report.Line{
		all.against(all.line(work, "rate", rate, report.PerSecond), peer.Docker, rate, "≥ 5 × docker-registry", atLeast(5)),
		all.line(work, "server CPU each", cpuPerOp, report.Microseconds),
	}, nil
}
