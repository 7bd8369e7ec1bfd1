package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/config"
	"berth/fsstore"
	"berth/oci"
	"berth/oci/registry"
	"berth/tasks"
	"berth/tasks/admin"
	"berth/tasks/gc"

	"golang.org/x/sys/unix"
)

// gcLine is one line of what the server answers to berth gc.
type gcLine struct {
	adminLine
	Item    *gc.Item `json:"item,omitempty"`
	Skipped string   `json:"skipped,omitempty"` // why nothing is done there
	Root    string   `json:"root,omitempty"`    // of Report and Skipped
}

// gcCommand is one run of berth gc, wherever it is carried out.
type gcCommand struct {
	dry    bool
	stdout io.Writer

	headed bool // the head of the table was printed
	items  int64
	bytes  int64
	failed int64
}

// runGC collects garbage: through the server that runs, or without one.
func runGC(args []string, stdout, stderr io.Writer) error {
	c := &gcCommand{stdout: stdout}
	from, err := verbArguments("gc", args, map[string]*bool{dryRun: &c.dry}, "root")
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
	var forServer []string
	if c.dry {
		forServer = []string{"--" + dryRun}
	}
	err = askServer(ctx, cfg, "gc", forServer, c.line)
	if errors.Is(err, admin.ErrNoServer) {
		err = c.offline(ctx, cfg, stderr)
	}
	if err == nil && c.failed > 0 {
		err = fmt.Errorf("%d repositories were left alone; the log says why", c.failed)
	}
	if told := c.total(); err == nil {
		err = told
	}
	if err != nil {
		return fmt.Errorf("berth gc: %w", err)
	}
	return nil
}

const dryRun = "dry-run"

// line takes a line of the server.
func (c *gcCommand) line(raw json.RawMessage) error {
	var line struct {
		gcLine
		Report *gc.Report `json:"report"` // in place of the one that may be anything
	}
	if err := json.Unmarshal(raw, &line); err != nil {
		return fmt.Errorf("the server's answer is not understood: %w", err)
	}
	switch {
	case line.Item != nil:
		return c.item(*line.Item)
	case line.Skipped != "":
		return c.skip(line.Root, line.Skipped)
	case line.Report != nil:
		return c.report(line.Root, *line.Report)
	}
	return nil
}

func (c *gcCommand) skip(root, why string) error {
	_, err := fmt.Fprintf(c.stdout, "%s: skipped: %s\n", root, why)
	return err
}

// item prints what went.
func (c *gcCommand) item(i gc.Item) error {
	if !c.headed {
		c.headed = true
		if _, err := fmt.Fprintln(c.stdout, "REPOSITORY\tKIND\tDIGEST/ID\tBYTES"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.stdout, "%s\t%s\t%s\t%d\n", orDash(string(i.Repo)), i.Kind, orDash(i.Name), i.Bytes)
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (c *gcCommand) report(root string, r gc.Report) error {
	c.items, c.bytes, c.failed = c.items+r.Items(), c.bytes+r.Bytes, c.failed+r.Failed
	if r.Elsewhere && r.Items() == 0 {
		return c.skip(root, "another process collects the garbage there")
	}
	if r.Early {
		return c.skip(root, "the server has not run for gcDelay yet: until then it cannot know what clients build on")
	}
	return nil
}

// total prints what went in all.
func (c *gcCommand) total() error {
	form := "%d collected, %d bytes freed\n"
	if c.dry {
		form = "%d would be collected, %d bytes freed\n"
	}
	_, err := fmt.Fprintf(c.stdout, form, c.items, c.bytes)
	return err
}

// offline collects in each root while no server has it.
func (c *gcCommand) offline(ctx context.Context, cfg *config.Config, stderr io.Writer) error {
	limitMemory(cfg.MemoryLimit, os.DirFS("/"), os.Getenv)
	logs, err := openLogs(cfg.Log, stderr)
	if err != nil {
		return err
	}
	failed := []error{c.offlineRoot(ctx, cfg, "", cfg.Storage.Root, logs.log)}
	for _, sub := range cfg.Storage.SubPaths {
		if ctx.Err() != nil {
			break
		}
		failed = append(failed, c.offlineRoot(ctx, cfg, "/"+sub.Prefix, sub.Root, logs.log))
	}
	return errors.Join(append(failed, ctx.Err())...)
}

// offlineRoot collects in one root, which has a name like that of an openRoot.
func (c *gcCommand) offlineRoot(ctx context.Context, cfg *config.Config, name string, root config.Root, log *slog.Logger) error {
	switch kind, err := kindOf(root.RootDirectory); {
	case root.StorageDriver.IsSet():
		return c.skip(whereIs(root), "it is in a bucket, where other servers may be at work: a running server collects there")
	case errors.Is(err, fs.ErrNotExist) && name != "":
		return c.skip(root.RootDirectory, "it is not there")
	case err != nil:
		return err
	case kind != manyLayouts:
		return c.skip(root.RootDirectory, "it is one layout, which is served as it is")
	case root.ReadOnly:
		return c.skip(root.RootDirectory, "readOnly is set")
	}
	store, err := fsstore.Open(storeOptions(root, log))
	if err != nil {
		return err
	}
	if store.ReadOnly() {
		return errors.Join(c.skip(root.RootDirectory, "it cannot be written to"), store.Close())
	}
	prefix := prefixOf(name)
	elsewhere := cfg.Storage.Elsewhere(prefix)
	policies, _ := newPolicies(cfg) // they were checked
	report, err := gc.New(gc.Options{
		Registry: registry.New(store, registry.Options{Log: log}), Store: store, Offline: true, Log: log, Delay: root.GCDelay,
		Elsewhere: func(repo oci.Repo) bool { return elsewhere(prefix + string(repo)) },
		Keep: func(repo oci.Repo) (untagged, referrers bool) {
			return policies.gcKeeps(root, oci.Repo(prefix)+repo)
		},
	}).Run(ctx, nil, gc.Request{Dry: c.dry, Each: func(i gc.Item) error {
		if i.Repo != "" {
			i.Repo = oci.Repo(prefix) + i.Repo
		}
		return c.item(i)
	}})
	return errors.Join(err, c.report(root.RootDirectory, report), store.Close())
}

// prefixOf is what a root's name puts before those of its repositories.
func prefixOf(name string) string {
	if name == "" {
		return ""
	}
	return strings.TrimPrefix(name, "/") + "/"
}

// gcKeeps says what stays of a repository of a root.
func (p *policies) gcKeeps(root config.Root, repo oci.Repo) (untagged, referrers bool) {
	return p.keep(repo, root.Untagged == config.UntaggedKeep, !root.GCReferrers)
}

// rememberFor is how long a registry has to remember what it told clients.
func rememberFor(s config.Storage) time.Duration {
	longest := max(s.GCDelay, time.Second)
	for _, sub := range s.SubPaths {
		longest = max(longest, sub.GCDelay)
	}
	return longest
}

// collector is what collects the root's garbage, made when it is needed.
func (o *openRoot) collector() *gc.Collector {
	if o.gc == nil {
		prefix := prefixOf(o.name)
		policies, elsewhere := o.upkeep.policies, o.upkeep.config.Storage.Elsewhere(prefix)
		o.gc = gc.New(gc.Options{
			Registry: o.upkeep.registry, Store: o.store, Prefix: prefix, Log: o.log, Delay: o.config.GCDelay,
			Elsewhere: func(repo oci.Repo) bool { return elsewhere(string(repo)) },
			Keep:      func(repo oci.Repo) (untagged, referrers bool) { return policies.gcKeeps(o.config, repo) },
		})
	}
	return o.gc
}

// gcJob is there also where garbage is not collected by itself: commands ask
// for it.
func (o *openRoot) gcJob() tasks.Job {
	j := tasks.Job{Name: o.jobName("gc"), Priority: priorityGC, First: -1, Run: func(ctx context.Context, r *tasks.Round) error {
		_, err := o.collect(ctx, r, gc.Request{})
		return err
	}}
	if o.config.GC {
		j.First, j.Every = o.config.GCDelay+time.Second, o.config.GCInterval // when the registry knows enough
	}
	return j
}

// collect does one round.
func (o *openRoot) collect(ctx context.Context, r *tasks.Round, req gc.Request) (gc.Report, error) {
	writes := o.upkeep.registry.Writes()
	report, err := o.collector().Run(ctx, r, req)
	if err == nil && !req.Dry {
		o.collected(writes, report)
	}
	if n := report.Items(); n > 0 && !req.Dry {
		o.log.Info("garbage was collected", "root", whereIs(o.config), "items", n, "freed", report.Bytes)
	}
	return report, err
}

// collectGarbage is the server's side of berth gc.
func (p *process) collectGarbage(ctx context.Context, args []string, out func(any) error) error {
	var mu sync.Mutex // held while a line is sent: items and progress come from two goroutines
	send := func(line any) error {
		mu.Lock()
		defer mu.Unlock()
		return out(line)
	}
	dry := slices.Contains(args, "--"+dryRun)
	return p.upkeep.each(ctx, func(o *openRoot) error {
		root := whereIs(o.config)
		if o.store.ReadOnly() {
			return send(gcLine{Root: root, Skipped: "it is read-only"})
		}
		var report gc.Report
		_, err := p.upkeep.Do(ctx, o.jobName("gc"), func(ctx context.Context, r *tasks.Round) (err error) {
			report, err = o.collect(ctx, r, gc.Request{Dry: dry, Each: func(i gc.Item) error { return send(gcLine{Item: &i}) }})
			return err
		}, progressTo(send))
		if err != nil {
			return err
		}
		return send(gcLine{adminLine: adminLine{Report: report}, Root: root})
	})
}
