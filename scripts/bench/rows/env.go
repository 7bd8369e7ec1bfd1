// Package rows holds the measurements, one file for each line of targets. Every
// one starts the servers it needs on fresh data, checks that they answer right,
// measures them in turns, stops them and removes their data.
package rows

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/probe"
	"berth/bench/report"
)

// Env is what the measurements share.
type Env struct {
	Dir     string        // for data, on the file system to measure; its name is that of control groups, too
	Berth   string        // berth's binary
	Kinds   []peer.Kind   // the servers to measure
	CPU     int           // the processor the servers run on; below 0: any
	Gateway string        // versitygw's binary; "": rows on a bucket fail
	Rounds  int           // how often each server's turn comes
	Time    time.Duration // of one timed sample
	Say     func(format string, args ...any)

	made  int            // folders and groups so far
	large *client.Source // of 64 MiB blobs; made on first use
}

// Row is one measurement.
type Row struct {
	Key string // for the command line
	Run func(e *Env) ([]report.Line, error)
}

// All lists the rows in the order in which they run.
func All() []Row {
	return []Row{
		{"idle", idle},
		{"pull", pull},
		{"manifest", manifest},
		{"tags", tags},
		{"smallpush", smallPush},
		{"push", largePush},
		{"slow", slow},
		{"cgroup", constrained},
		{"start", start},
		{"size", size},
		{"commit", committed},
		{"repush", repush},
		{"openindex", openIndex},
		{"enforce", enforce},
		{"gc", collect},
		{"scrub", scrub},
		{"background", background},
		{"s3push", inBucket(s3Push)}, {"s3pull", inBucket(s3Pull)}, {"s3manifest", inBucket(s3Manifest)},
	}
}

// has tells whether a kind of server is measured.
func (e *Env) has(k peer.Kind) bool { return slices.Contains(e.Kinds, k) }

// only returns those of the kinds that are measured.
func (e *Env) only(kinds ...peer.Kind) []peer.Kind {
	return slices.DeleteFunc(kinds, func(k peer.Kind) bool { return !e.has(k) })
}

// instance is a server of a measurement with all that goes when it ends.
type instance struct {
	*peer.Server
	group *probe.Group // nil where the machine has none
}

// options are what differs from the usual start.
type options struct {
	limit  int64 // of memory, bytes; 0: none
	commit bool
	lines  string // peer.Config.Lines
	wrap   []string
	bucket *peer.Bucket
	dir    string // data of an earlier instance; "": fresh
}

// dir makes a folder. Its name is like none before: a file system may choose
// by it where the content goes (see run), and should not choose again what an
// earlier run has used.
func (e *Env) dir() (string, error) {
	e.made++
	return os.MkdirTemp(e.Dir, fmt.Sprintf("%03d-*", e.made))
}

// config prepares the start of a server.
func (e *Env) config(k peer.Kind, o options) (peer.Config, error) {
	var err error
	if o.dir == "" {
		if o.dir, err = e.dir(); err != nil {
			return peer.Config{}, err
		}
	}
	return peer.Config{Kind: k, Binary: e.Berth, Dir: o.dir, CPU: e.CPU, Commit: o.commit, Lines: o.lines, Wrap: o.wrap, Bucket: o.bucket}, nil
}

// start starts a server in a control group of its own, if that can be had.
func (e *Env) start(k peer.Kind, o options) (*instance, error) {
	c, err := e.config(k, o)
	if err != nil {
		return nil, err
	}
	e.made++
	c.Group, err = probe.NewGroup(fmt.Sprintf("%s-%d", filepath.Base(e.Dir), e.made), o.limit)
	if err != nil && (o.limit > 0 || !errors.Is(err, probe.ErrNoGroups)) {
		return nil, err
	}
	s, err := peer.Start(c)
	if err != nil {
		if c.Group != nil {
			err = errors.Join(err, c.Group.Close())
		}
		return nil, err
	}
	return &instance{Server: s, group: c.Group}, nil
}

// stop ends a server and removes its data.
func (i *instance) stop() error {
	err := errors.Join(i.Stop(), os.RemoveAll(i.Dir))
	if i.group != nil {
		err = errors.Join(err, i.group.Close())
	}
	return err
}

// fleet is one server of each kind, running side by side. An idle one costs
// the one being measured nothing.
type fleet map[peer.Kind]*instance

// with runs use beside a server of its own.
func (e *Env) with(k peer.Kind, o options, use func(i *instance) error) error {
	i, err := e.start(k, o)
	if err != nil {
		return err
	}
	return errors.Join(use(i), i.stop())
}

// withFleet runs use beside a server of each kind, prepared.
func (e *Env) withFleet(kinds []peer.Kind, prepare func(*instance) error, use func(fleet) error) error {
	f := fleet{}
	err := e.fill(f, kinds, prepare)
	if err == nil {
		err = use(f)
	}
	for _, i := range f {
		err = errors.Join(err, i.stop())
	}
	return err
}

func (e *Env) fill(f fleet, kinds []peer.Kind, prepare func(*instance) error) error {
	for _, k := range kinds {
		i, err := e.start(k, options{})
		if err != nil {
			return err
		}
		f[k] = i
		if err := prepare(i); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// settle brings what earlier work left dirty to the disk, so that nobody
// pays for another's writes.
func settle() { syscall.Sync() }

// largeSource makes 64 MiB blobs.
func (e *Env) largeSource() *client.Source {
	if e.large == nil {
		e.large = client.NewSource(largeSize, 2)
	}
	return e.large
}
