package rows

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

const (
	slowClients = 1000
	slowBuffer  = 4096                   // receive buffer of a slow client, bytes; the kernel doubles it
	slowRead    = 4096                   // bytes that a slow client reads at once
	slowPause   = 250 * time.Millisecond // between two reads: 16 KiB/s
	slowHold    = 10 * time.Second
	probes      = 200 // manifests asked for meanwhile, each on a new connection
)

// slowness is what many slow clients did to a server.
type slowness struct {
	peaks   probe.Peaks // TCP: above what it was before
	latency []float64   // of a new manifest GET, seconds, in order
	lost    int         // clients that were cut off
}

func (s slowness) middle() float64 { return median(s.latency) }

// late is the latency that one in a hundred exceeds.
func (s slowness) late() float64 { return s.latency[len(s.latency)*99/100] }

// slow measures 1,000 clients that read a 64 MiB blob slowly.
func slow(e *Env) ([]report.Line, error) {
	kinds := e.only(peer.Berth, peer.Docker, peer.Nginx)
	all := map[peer.Kind]slowness{}
	for _, k := range kinds {
		settle()
		err := e.with(k, options{}, func(i *instance) (err error) {
			all[k], err = e.slowTurn(i)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return slowLines(e, all), nil
}

func slowLines(e *Env, all map[peer.Kind]slowness) []report.Line {
	line := func(measure, target string, value func(slowness) string, ok func(slowness) bool) report.Line {
		l := report.Line{Work: "1,000 clients that read a 64 MiB blob slowly", Measure: measure, Target: target}
		for k, into := range map[peer.Kind]*string{peer.Berth: &l.Berth, peer.Docker: &l.Docker, peer.Nginx: &l.Nginx} {
			if s, measured := all[k]; measured {
				*into = value(s)
			}
		}
		if ok != nil && e.has(peer.Berth) {
			l.Verdict = report.Judge(ok(all[peer.Berth]))
		}
		return l
	}
	size := func(bytes int64) string { return report.MiB(float64(bytes)) }
	return []report.Line{
		line("peak RSS", "≤ 32 MiB", func(s slowness) string { return size(s.peaks.RSS) },
			func(s slowness) bool { return s.peaks.RSS <= 32<<20 }),
		line("peak anonymous memory", "", func(s slowness) string { return size(s.peaks.Anonymous) }, nil),
		line("kernel TCP memory, both ends", "≤ 96 MiB", func(s slowness) string { return size(s.peaks.TCP) },
			func(s slowness) bool { return s.peaks.TCP <= 96<<20 }),
		line("of it the server's", "", func(s slowness) string { return size(s.peaks.Own) }, nil),
		line("new manifest GET, median", "< 50 ms", func(s slowness) string { return report.Milliseconds(s.middle()) },
			func(s slowness) bool { return s.middle() < 0.05 }),
		line("new manifest GET, 99 of 100", "", func(s slowness) string { return report.Milliseconds(s.late()) }, nil),
		line("clients cut off", "0", func(s slowness) string { return fmt.Sprint(s.lost) },
			func(s slowness) bool { return s.lost == 0 }),
	}
}

// slowTurn lets slow clients at a server.
func (e *Env) slowTurn(i *instance) (slowness, error) {
	blob, image := e.largeSource().Next(), client.SmallImage()
	if err := i.SeedBlob(repoPull, blob); err != nil {
		return slowness{}, err
	}
	if err := i.SeedManifest(repoImage, tagName(0), image, 0); err != nil {
		return slowness{}, err
	}
	before, err := quiet()
	if err != nil {
		return slowness{}, err
	}
	c := crowd{
		instance: i, stop: make(chan struct{}),
		request: client.GetBlob(repoPull, blob.Digest), content: bytes.Join(blob.Parts, nil),
	}
	watch := probe.NewWatch(i.Tree(), i.group)
	c.gather()
	s := slowness{}
	s.latency, err = e.askMeanwhile(i, int64(len(image.Manifest(0))))
	s.lost = c.disperse()
	peaks, watchErr := watch.Stop()
	if err == nil {
		err = watchErr
	}
	if err == nil && c.wrong.Load() {
		err = fmt.Errorf("%s: a slow client got wrong bytes", i.Kind)
	}
	peaks.TCP -= before
	s.peaks = peaks
	e.Say("  %-15s RSS %s, TCP %s, of it its own %s, manifest GET %s", i.Kind, report.MiB(float64(peaks.RSS)),
		report.MiB(float64(peaks.TCP)), report.MiB(float64(peaks.Own)), report.Milliseconds(s.middle()))
	return s, err
}

// quiet waits until sockets of earlier work are gone and returns what TCP
// memory is left in use.
func quiet() (int64, error) {
	last, err := probe.TCPMemory()
	for range 50 {
		time.Sleep(100 * time.Millisecond)
		now, nowErr := probe.TCPMemory()
		if err != nil || nowErr != nil || now >= last {
			return now, nowErr
		}
		last = now
	}
	return last, err
}

// askMeanwhile spreads manifest GETs over the time of the hold and returns
// how long each took, connecting included.
func (e *Env) askMeanwhile(i *instance, size int64) ([]float64, error) {
	request := client.GetManifest(repoImage, tagName(0))
	all := make([]float64, 0, probes)
	for range probes {
		c := client.New(i.Addr)
		start := time.Now()
		err := expect(c, request, size)
		all = append(all, time.Since(start).Seconds())
		c.Close()
		if err != nil {
			return all, fmt.Errorf("manifest beside slow clients: %w", err)
		}
		time.Sleep(slowHold / probes)
	}
	slices.Sort(all)
	return all, nil
}

// crowd is the slow clients.
type crowd struct {
	*instance
	request []byte
	content []byte // of the blob
	stop    chan struct{}
	all     sync.WaitGroup
	reading sync.WaitGroup // until each has its first byte, or failed
	lost    atomic.Int64
	wrong   atomic.Bool
}

// gather starts the clients and returns when every one has got the head of
// its answer.
func (c *crowd) gather() {
	c.reading.Add(slowClients)
	for range slowClients {
		c.all.Go(c.client)
	}
	c.reading.Wait()
}

// disperse ends the clients and counts those that the server had cut off.
func (c *crowd) disperse() int {
	close(c.stop)
	c.all.Wait()
	return int(c.lost.Load())
}

func (c *crowd) client() {
	conn := client.NewNarrow(c.Addr, slowBuffer)
	defer conn.Close()
	err := conn.Send(c.request)
	if err == nil {
		var a client.Answer
		if a, err = conn.ReadHead(); err == nil {
			err = a.Want(200, "GET of a blob")
		}
	}
	c.reading.Done()
	if err == nil {
		err = c.sip(conn)
	}
	if err != nil {
		c.lost.Add(1)
	}
}

// sip reads slowly until the crowd is dispersed.
func (c *crowd) sip(conn *client.Conn) error {
	pause := time.NewTimer(rand.N(slowPause))
	defer pause.Stop()
	mouthful := make([]byte, slowRead)
	for at := 0; ; {
		select {
		case <-c.stop:
			return nil
		case <-pause.C:
		}
		n, err := conn.Read(mouthful)
		if err != nil {
			return err
		}
		if !bytes.Equal(mouthful[:n], c.content[at:at+n]) {
			c.wrong.Store(true)
		}
		at += n
		pause.Reset(slowPause)
	}
}
