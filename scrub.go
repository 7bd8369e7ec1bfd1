package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"

	"berth/config"
	"berth/fsstore/archive"
	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/admin"
	"berth/tasks/scrub"

	"golang.org/x/sys/unix"
)

// scrubLine is one line of what a server answers to the verb scrub.
type scrubLine struct {
	Progress *tasks.Status `json:"progress,omitempty"`
	Row      *scrub.Row    `json:"row,omitempty"`
	// Root and Report end what is told of one root.
	Root   string        `json:"root,omitempty"`
	Report *scrub.Report `json:"report,omitempty"`
}

// runScrub reads everything that is stored and tells what is damaged: by the
// server that runs, where there is one.
func runScrub(args []string, stdout, stderr io.Writer) error {
	from, err := configSources("scrub", args, "root", "read-only")
	if errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	}
	if err != nil {
		return err
	}
	cfg, err := load(from)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	table := scrubTable{screen: screenOf(stderr), notes: stderr}
	err = admin.ErrNoServer
	if !cfg.Storage.ReadOnly { // to read only, nobody need be asked
		err = askServer(ctx, cfg, "scrub", nil, func(content json.RawMessage) error {
			var line scrubLine
			if err := json.Unmarshal(content, &line); err != nil {
				return fmt.Errorf("the server's answer is not understood: %w", err)
			}
			return table.add(line)
		})
	}
	if errors.Is(err, admin.ErrNoServer) {
		err = scrubOffline(ctx, cfg, stderr, table.add)
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped; it goes on there the next time")
	}
	err = errors.Join(table.print(stdout), err)
	if err == nil && table.affected > 0 {
		err = fmt.Errorf("%d damaged", table.affected)
	}
	if err != nil {
		return fmt.Errorf("berth scrub: %w", err)
	}
	return nil
}

// scrubTable gathers what comes of a scrub.
type scrubTable struct {
	screen   io.Writer // a terminal for progress; nil: none
	notes    io.Writer
	rows     []scrub.Row
	affected int64
}

// add takes over one line.
func (t *scrubTable) add(line scrubLine) error {
	switch {
	case line.Progress != nil && t.screen != nil:
		_, err := fmt.Fprintf(t.screen, "\r\x1b[K%s: %s %s", line.Progress.Name, stateOf(*line.Progress), progressOf(*line.Progress))
		return err
	case line.Row != nil:
		t.rows = append(t.rows, *line.Row)
	case line.Report != nil:
		t.affected += line.Report.Affected
		if t.screen != nil {
			fmt.Fprint(t.screen, "\r\x1b[K")
		}
		_, err := fmt.Fprintf(t.notes, "%s: %s\n", line.Root, line.Report.Summary())
		return err
	}
	return nil
}

func (t *scrubTable) print(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tTAG\tSTATUS\tBLOB\tERROR")
	for _, r := range t.rows {
		text := strings.Join(strings.Fields(r.Error), " ")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Repository, r.Tag, r.Status, cmp.Or(r.Blob, "-"), cmp.Or(text, "-"))
	}
	return table.Flush()
}

// screenOf is where progress is shown: on a terminal only.
func screenOf(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return f
}

// scrubAll is the server's side: a round of every root that is open, or the
// rest of the one that is under way.
func (p *process) scrubAll(ctx context.Context, _ []string, out func(any) error) error {
	return p.upkeep.each(ctx, func(o *openRoot) error {
		told := func(s tasks.Status) { _ = out(scrubLine{Progress: &s}) } // who has left ends the context
		_, err := p.upkeep.Trigger(ctx, o.jobName("scrub"), told)
		report := o.scrubbed.Load()
		if err == nil && report != nil {
			err = tellScrub(ctx, o.store, whereIs(o.config), o.fullName, *report, func(line scrubLine) error { return out(line) })
		}
		if err != nil {
			return fmt.Errorf("%s: %w", whereIs(o.config), err)
		}
		return nil
	})
}

// tellScrub tells what a round found, by the names that clients use.
func tellScrub(ctx context.Context, store scrub.Store, root string, name func(oci.Repo) oci.Repo, report scrub.Report, out func(scrubLine) error) error {
	err := scrub.Table(ctx, store, report, func(row scrub.Row) error {
		row.Repository = string(name(oci.Repo(row.Repository)))
		return out(scrubLine{Row: &row})
	})
	if err != nil {
		return err
	}
	report.Problems = nil // the rows have them
	return out(scrubLine{Root: root, Report: &report})
}

// scrubOffline scrubs every root of a configuration while no server has it.
func scrubOffline(ctx context.Context, cfg *config.Config, stderr io.Writer, out func(scrubLine) error) error {
	limitMemory(cfg.MemoryLimit, os.DirFS("/"), os.Getenv)
	logs, err := openLogs(cfg.Log, stderr)
	if err != nil {
		return err
	}
	o := offlineScrub{cfg: cfg, logs: logs, out: out}
	failed := []error{o.root(ctx, "", cfg.Storage.Root)}
	for _, sub := range cfg.Storage.SubPaths {
		if ctx.Err() == nil {
			failed = append(failed, o.root(ctx, "/"+sub.Prefix, sub.Root))
		}
	}
	return errors.Join(failed...)
}

type offlineScrub struct {
	cfg  *config.Config
	logs *logs
	out  func(scrubLine) error
}

// root scrubs one root, which is a directory of repositories, one layout or an
// archive; the latter are only read.
func (o *offlineScrub) root(ctx context.Context, name string, root config.Root) error {
	opts := scrub.Options{Log: o.logs.log, Sparse: registry.Sparse(o.cfg.HTTP.Sparse)}
	if root.StorageDriver.IsSet() {
		b, err := openBucket(name, root, o.logs.log, nil)
		if err != nil {
			return err
		}
		opts.ReportOnly = b.ReadOnly()
		return errors.Join(o.round(ctx, b, whereIs(root), b.fullName, opts), b.Close())
	}
	kind, err := kindOf(root.RootDirectory)
	if err != nil {
		return err
	}
	if kind != manyLayouts {
		repo := cmp.Or(strings.TrimPrefix(name, "/"), o.cfg.Storage.Name)
		layout, err := openLayout(kind, archive.Options{Path: root.RootDirectory, Repo: oci.Repo(repo), Log: o.logs.log})
		if err != nil {
			return err
		}
		opts.ReportOnly = true
		same := func(repo oci.Repo) oci.Repo { return repo }
		return o.round(ctx, layout, root.RootDirectory, same, opts)
	}
	l, err := openLocal(name, root, o.logs.log, nil)
	if err != nil {
		return err
	}
	opts.ReportOnly = l.ReadOnly()
	return errors.Join(o.round(ctx, l.Store, root.RootDirectory, l.fullName, opts), l.Close())
}

// round scrubs a store, as a job of a scheduler that has no other, so that its
// progress shows.
func (o *offlineScrub) round(ctx context.Context, store scrub.Store, root string, name func(oci.Repo) oci.Repo, opts scrub.Options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var report scrub.Report
	scheduler := tasks.New(tasks.Options{Log: o.logs.log})
	err := scheduler.Add(tasks.Job{Name: root, First: -1, Run: func(ctx context.Context, r *tasks.Round) (err error) {
		report, err = scrub.New(store, opts).Run(ctx, r)
		return err
	}})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = scheduler.Run(ctx) // it never fails
	}()
	_, err = scheduler.Trigger(ctx, root, func(s tasks.Status) { _ = o.out(scrubLine{Progress: &s}) })
	if err == nil {
		err = tellScrub(ctx, store, root, name, report, o.out)
	}
	stop()
	<-ended
	return err
}
