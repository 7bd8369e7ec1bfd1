package rows

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

const (
	storedRepos = 20 // of 1 GiB each
	storedBlobs = 16 // of 64 MiB in each
	wasteBlobs  = 500
	calmClients = 4
)

// background measures what requests notice of garbage collection and scrub,
// which run without a pause over 20 GiB: samples with and without them, in
// turns.
func background(e *Env) ([]report.Line, error) {
	if !e.has(peer.Berth) {
		return nil, nil
	}
	var lines []report.Line
	err := e.with(peer.Berth, options{lines: "gcDelay = \"1s\"\n"}, func(i *instance) (err error) {
		if err := e.store(i); err != nil {
			return err
		}
		settle()
		lines, err = e.besides(i)
		return err
	})
	return lines, err
}

// store fills a server's root with images, and with blobs that nothing needs.
func (e *Env) store(i *instance) error {
	for n := range storedRepos {
		dir := filepath.Join(i.Data(), repoName(n))
		if err := layoutOf(dir); err != nil {
			return err
		}
		large := client.NewSource(largeSize, uint64(100+n))
		if err := imageOf(dir, large.Take(storedBlobs)); err != nil {
			return err
		}
		for _, b := range client.NewSource(4<<10, uint64(200+n)).Take(wasteBlobs) {
			if err := writeParts(blobFile(dir, b.Digest), b.Parts); err != nil {
				return err
			}
		}
		e.Say("  %d of %d GiB stored", n+1, storedRepos)
	}
	return nil
}

// besides measures with and without the work in the background.
func (e *Env) besides(i *instance) ([]report.Line, error) {
	image, blob := client.SmallImage(), e.largeSource().Next()
	if err := i.SeedManifest(repoImage, tagName(0), image, 0); err != nil {
		return nil, err
	}
	if err := i.SeedManifest(repoPull, tagName(0), client.NewImage(blob), 0); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second) // the delay of what is collected, and the clock's grain
	if said, err := exec.Command(e.Berth, "gc", "--root", i.Data()).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("berth gc: %w\n%.500s", err, said)
	}
	manifest := client.NewBlob(image.Manifest(0))
	var p99, pulls [2][]float64 // without, with
	for range max(e.Rounds, 3) {
		for with := range 2 {
			stop := func() {}
			if with == 1 {
				stop = e.busy(i)
			}
			late, err := e.latency(i, client.GetManifest(repoImage, tagName(0)), manifest.Size)
			if err == nil {
				var s sample
				s, err = e.pullLoad(i, repoPull, blob)
				p99[with], pulls[with] = append(p99[with], late), append(pulls[with], throughput(s))
			}
			stop()
			if err != nil {
				return nil, err
			}
			e.Say("  with=%d: p99 %.3f ms, %.0f MiB/s", with, late*1000, pulls[with][len(pulls[with])-1]/(1<<20))
		}
	}
	late, rate := median(p99[1])/median(p99[0]), median(pulls[1])/median(pulls[0])
	const work = "while gc and scrub run over 20 GiB"
	return []report.Line{
		{Work: work, Measure: "manifest GET, 4 clients, p99", Berth: report.Milliseconds(median(p99[1])), Ratio: report.Ratio(late),
			Target: "≤ 1.1 of without", Verdict: report.Judge(late <= 1.1)},
		{Work: work, Measure: "pull, 64 MiB blob, 4 clients", Berth: report.Throughput(median(pulls[1])), Ratio: report.Ratio(rate),
			Target: "≥ 0.9 of without", Verdict: report.Judge(rate >= 0.9)},
	}, nil
}

// busy has the server collect and scrub, again and again, until stop is called.
// Both run a moment alone first.
func (e *Env) busy(i *instance) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, verb := range []string{"gc", "scrub"} {
		running.Go(func() {
			for ctx.Err() == nil {
				// Its end is that of ctx, or of a round. To start it again costs
				// the clients' processor something, so that waits a while.
				_ = exec.CommandContext(ctx, e.Berth, verb, "--root", i.Data()).Run()
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	time.Sleep(time.Second)
	return func() {
		cancel()
		running.Wait()
	}
}

// latency is the 99th percentile of a request, in seconds.
func (e *Env) latency(i *instance, request []byte, size int64) (float64, error) {
	var mu sync.Mutex // guards all
	var all []float64
	_, err := e.measure(i, size, client.Load{Clients: calmClients, Op: func(c *client.Conn, _ int) error {
		began := time.Now()
		err := expect(c, request, size)
		took := time.Since(began).Seconds()
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took)
		return err
	}})
	if err != nil {
		return 0, err
	}
	if len(all) == 0 {
		return 0, fmt.Errorf("%s answered nothing", i.Kind)
	}
	slices.Sort(all)
	return all[len(all)*99/100], nil
}
