package tasks

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// pressure tells whether others wait for the processor or for disks, as the
// kernel measures it (/proc/pressure): the share of the time in which a thread
// could not go on, in percent.
//
// Work in the background reads disks as fast as it can, and so waits for them
// itself nearly all the time. Only while it rests, others are measured. So a
// disk under pressure makes it rest for a second from time to time: where the
// pressure stays, somebody else has it, and the rest goes on.
type pressure struct {
	system fs.FS // holds proc/pressure

	mu        sync.Mutex // guards what follows
	threshold float64    // percent; 0: no pressure counts
	cpu, io   gauge
	due       time.Time // of the next rest to measure disks; zero: not set
	pause     time.Duration
	resting   bool
}

const (
	// sampleEvery is how often the kernel is asked at most.
	sampleEvery = time.Second
	// sampleStale is when a sample is too old for a difference to mean much.
	sampleStale = 5 * time.Second
	// The rests to measure disks: the first one so long after the work began,
	// and, while they find nothing, ever more seldom.
	firstRest, longestPause = 30 * time.Second, 5 * time.Minute
)

func (p *pressure) set(threshold float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.threshold, p.resting, p.due = threshold, false, time.Time{}
}

// check says what is under pressure, "" where nothing is.
func (p *pressure) check(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.threshold <= 0 {
		return ""
	}
	p.cpu.sample(p.system, "cpu", now)
	fresh := p.io.sample(p.system, "io", now)
	p.disks(now, fresh)
	switch {
	case p.cpu.share >= p.threshold:
		return fmt.Sprintf("the processor is under pressure (%.0f %%)", p.cpu.share)
	case p.resting:
		return fmt.Sprintf("disks are under pressure (%.0f %%)", p.io.share)
	}
	return ""
}

// disks decides whether to rest for their sake. The caller holds mu.
func (p *pressure) disks(now time.Time, fresh bool) {
	high := p.io.share >= p.threshold
	switch {
	case p.io.restarted || p.due.IsZero(): // the work has just begun
		p.resting, p.pause, p.due = false, firstRest, now.Add(firstRest)
	case !fresh:
	case p.resting && !high: // it was our own doing, or is over
		p.resting, p.due = false, now.Add(p.pause)
		p.pause = min(2*p.pause, longestPause)
	case p.resting:
		p.pause = firstRest
	case high && !now.Before(p.due):
		p.resting = true
	}
}

// gauge is the pressure on one resource.
type gauge struct {
	share     float64 // percent, in the time between the last two samples
	restarted bool    // the last sample had none before it to compare with
	absent    bool    // this kernel has no such thing
	total     time.Duration
	at        time.Time
}

// sample asks the kernel, where that is due, and tells whether share is new.
func (g *gauge) sample(system fs.FS, resource string, now time.Time) bool {
	passed := now.Sub(g.at)
	if g.absent || !g.at.IsZero() && passed < sampleEvery {
		g.restarted = false
		return false
	}
	content, err := fs.ReadFile(system, "proc/pressure/"+resource)
	total, ok := parseStalled(content)
	if g.absent = err != nil || !ok; g.absent {
		g.share = 0
		return false
	}
	g.restarted = g.at.IsZero() || passed > sampleStale
	g.share = 0
	if !g.restarted {
		g.share = min(100, 100*float64(total-g.total)/float64(passed))
	}
	g.total, g.at = total, now
	return !g.restarted
}

// parseStalled finds how long some thread has been stalled, all in all:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=10457159
func parseStalled(content []byte) (time.Duration, bool) {
	for line := range bytes.Lines(content) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || string(fields[0]) != "some" {
			continue
		}
		for _, f := range fields[1:] {
			if value, ok := bytes.CutPrefix(f, []byte("total=")); ok {
				micros, err := strconv.ParseInt(string(value), 10, 64)
				return time.Duration(micros) * time.Microsecond, err == nil && micros >= 0 && micros < 1<<53
			}
		}
	}
	return 0, false
}
