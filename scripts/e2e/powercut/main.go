// Command powercut pulls the plug of a virtual machine on which berth runs,
// again and again, while images are pushed to it.
//
// The machine is an emulated one with Debian's kernel and an ext4 file system
// with a journal. Its disk (package lossy) forgets at each cut a part, chosen by
// chance, of what the guest had not flushed. After each cut the file system and
// the layouts on it are checked from outside, then the machine boots by itself
// and everything that may be there is pulled and compared.
//
// With commit everything that was acknowledged must be there, deletes included;
// without, what is there must be right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"berth/e2e/powercut/lossy"
)

func main() {
	var t trial
	flag.StringVar(&t.machine.arch, "arch", "arm64", "Debian's name of the architecture: arm64 or amd64")
	flag.StringVar(&t.machine.kernel, "kernel", "", "kernel to boot")
	flag.StringVar(&t.machine.initrd, "initrd", "", "system to boot, with berth in it")
	flag.BoolVar(&t.machine.commit, "commit", true, "run berth with commit, and expect that nothing is lost")
	flag.IntVar(&t.rounds, "rounds", 100, "how often to cut the power")
	flag.IntVar(&t.perDisk, "per-disk", 20, "cuts until a new disk is begun")
	flag.DurationVar(&t.most, "load", 5*time.Second, "the longest that pushes run before a cut")
	flag.Uint64Var(&t.seed, "seed", uint64(time.Now().UnixNano()), "of everything that is left to chance, but for time itself")
	flag.StringVar(&t.machine.dir, "dir", "", "folder for disks; what failed stays there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := t.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

// trial is a number of cuts and what came of them.
type trial struct {
	machine         machine
	rounds, perDisk int
	most            time.Duration // of pushing before a cut
	seed            uint64

	chance  *rand.Rand
	path    string // of the disk
	disk    *lossy.Disk
	file    *os.File
	ledger  *ledger
	upload  *upload
	counts  counts
	started time.Time
}

// counts is what the report says.
type counts struct {
	cuts, early int // early: while the machine started
	acknowledged, resumed,
	layouts int
	found findings
	disk  lossy.Stats
	boots []time.Duration
}

func (t *trial) run(ctx context.Context) (err error) {
	t.started, t.chance = time.Now(), rand.New(rand.NewPCG(t.seed, 0))
	t.path = filepath.Join(t.machine.dir, "disk.img")
	defer func() {
		fmt.Println(t.report())
		if err != nil {
			err = fmt.Errorf("seed %d, disk %s: %w", t.seed, t.path, err)
		}
	}()
	for t.counts.cuts < t.rounds {
		if err := t.newDisk(); err != nil {
			return err
		}
		last := min(t.rounds, t.counts.cuts+t.perDisk)
		for t.counts.cuts < last {
			if err := t.round(ctx); err != nil {
				return err
			}
		}
		if err := t.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) newDisk() (err error) {
	t.file, t.disk, err = newDisk(t.path)
	t.ledger, t.upload = newLedger(t.machine.commit), &upload{durable: t.machine.commit}
	return err
}

// finish looks at a disk's state after its last cut.
func (t *trial) finish(ctx context.Context) error {
	g, err := t.boot(ctx)
	if err != nil {
		return err
	}
	if err := g.powerOff(t.chance); err != nil {
		return err
	}
	t.counts.disk = added(t.counts.disk, t.disk.Stats())
	t.counts.acknowledged += t.ledger.acknowledged()
	t.counts.resumed += t.upload.resumed
	return t.file.Close()
}

func added(a, b lossy.Stats) lossy.Stats {
	return lossy.Stats{
		Writes: a.Writes + b.Writes, Flushes: a.Flushes + b.Flushes, Blocks: a.Blocks + b.Blocks,
		Unflushed: a.Unflushed + b.Unflushed, Lost: a.Lost + b.Lost,
	}
}

// round boots, checks, pushes, and cuts the power meanwhile.
func (t *trial) round(ctx context.Context) error {
	if t.chance.IntN(8) == 0 && len(t.counts.boots) > 0 {
		if err := t.cutEarly(ctx); err != nil {
			return err
		}
	}
	g, err := t.boot(ctx)
	if err != nil {
		return err
	}
	before := t.ledger.acknowledged()
	l := &load{ledger: t.ledger, upload: t.upload, round: t.counts.cuts}
	l.start(ctx, g.Client(), t.chance.Uint64())
	slept := g.sleep(ctx, time.Duration(t.chance.Int64N(int64(t.most))))
	l.cutting.Store(true)
	err = errors.Join(slept, t.cut(g), l.wait())
	fmt.Printf("cut %d: %v after power on, %d acknowledged\n", t.counts.cuts, time.Since(g.Began).Round(time.Second), t.ledger.acknowledged()-before)
	return g.Blame(err)
}

// cutEarly cuts the power while the machine starts.
func (t *trial) cutEarly(ctx context.Context) error {
	g, err := t.machine.powerOn(t.disk, true)
	if err != nil {
		return err
	}
	usual := t.counts.boots[len(t.counts.boots)-1]
	slept := g.sleep(ctx, usual/2+time.Duration(t.chance.Int64N(int64(usual))))
	t.counts.early++
	return g.Blame(errors.Join(slept, t.cut(g)))
}

// cut cuts the power and looks at the disk.
func (t *trial) cut(g *guest) error {
	if err := g.powerOff(t.chance); err != nil {
		return err
	}
	t.counts.cuts++
	n, err := checkDisk(t.path, t.machine.dir, t.machine.commit)
	t.counts.layouts += n
	return err
}

// boot starts the machine and checks all that it serves.
func (t *trial) boot(ctx context.Context) (*guest, error) {
	g, err := t.machine.powerOn(t.disk, t.chance.IntN(2) == 0)
	if err != nil {
		return nil, err
	}
	if err := g.WaitUp("guest: the disk", "guest: berth ended"); err != nil {
		return nil, g.Blame(errors.Join(err, g.powerOff(t.chance)))
	}
	took := time.Since(g.Began)
	t.counts.boots = append(t.counts.boots, took)
	c := g.Client()
	found, err := t.ledger.check(c)
	t.counts.found.add(found)
	fmt.Printf("up after %v, checked by %v: %d manifests\n", took.Round(time.Second), time.Since(g.Began).Round(time.Second), found.Manifests)
	if err = errors.Join(err, t.upload.check(c), ctx.Err()); err != nil {
		return nil, g.Blame(errors.Join(err, g.powerOff(t.chance)))
	}
	return g, nil
}

func (t *trial) report() string {
	c := t.counts
	boots := slices.Sorted(slices.Values(c.boots))
	median, longest := time.Duration(0), time.Duration(0)
	if len(boots) > 0 {
		median, longest = boots[len(boots)/2], boots[len(boots)-1]
	}
	return fmt.Sprintf(`
commit = %v on %s, seed %d, %v
power cuts: %d, of these %d while the machine started
boots until the first answer, without help: %d; median %v, longest %v
pushes and deletes acknowledged: %d
manifests pulled whole after boots: %d, with %d other blobs
acknowledged and not there: %d
uploads that went on where they were acknowledged: %d
layouts that were checked on the disk after cuts: %d
disk: %d writes of %d blocks of 4 KiB, %d flushes; at cuts %d blocks were not flushed, %d of them were lost`,
		t.machine.commit, t.machine.arch, t.seed, time.Since(t.started).Round(time.Second),
		c.cuts, c.early, len(boots), median.Round(time.Second), longest.Round(time.Second),
		c.acknowledged, c.found.Manifests, c.found.Blobs, c.found.Missing, c.resumed, c.layouts,
		c.disk.Writes, c.disk.Blocks, c.disk.Flushes, c.disk.Unflushed, c.disk.Lost)
}
