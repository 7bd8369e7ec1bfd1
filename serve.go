package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"berth/config"
	"berth/fsstore"
	"berth/httpd"
	"berth/oci"
	"berth/oci/registry"
	"berth/tasks/admin"

	"golang.org/x/sys/unix"
)

// serve answers requests until a signal ends it.
func serve(args []string, stdout, stderr io.Writer) error {
	from, err := configSources("serve", args, "root", "name", "read-only", "address")
	if errors.Is(err, flag.ErrHelp) {
		return printUsage(stdout)
	}
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(signals)
	signal.Ignore(unix.SIGPIPE) // a log that nobody reads any more ends no registry

	cfg, err := load(from)
	if err != nil {
		return err
	}
	limit := limitMemory(cfg.MemoryLimit, os.DirFS("/"), os.Getenv)
	logs, err := openLogs(cfg.Log, stderr)
	if err != nil {
		return fmt.Errorf("berth serve: %w", err)
	}
	p := &process{from: from, cfg: cfg, logs: logs, log: logs.log, supervisor: supervisor{logs.log}}
	p.log.Debug("memory", "limit", limit)
	if err := p.run(signals); err != nil {
		return fmt.Errorf("berth serve: %w", err)
	}
	return nil
}

// process is a running berth serve.
type process struct {
	from       config.Sources
	cfg        *config.Config // what holds: a reload changes the keys that it can
	logs       *logs
	log        *slog.Logger
	supervisor supervisor
	stays      bool // it was logged that the process stays, however idle

	upkeep *upkeep
	stores *stores
	expiry *expiry
	server *httpd.Server
}

// errForced is the end by a second signal.
var errForced = errors.New("stopped by a second signal; requests under way were cut off")

// run opens everything, serves, and closes everything but in one case: after
// errForced, the process has to end.
func (p *process) run(signals <-chan os.Signal) error {
	listeners, handed, err := listen(p.cfg.Listen())
	if err != nil {
		return err
	}
	p.upkeep = newUpkeep(p.cfg, func() bool { return p.server.Busy() }, p.log)
	if p.stores, err = p.openWhenFree(handed, signals); err != nil || p.stores == nil {
		closeAll(listeners)
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	commands, err := p.openServer(ctx)
	if err != nil {
		closeAll(listeners)
		return errors.Join(err, p.stores.Close())
	}
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(ctx, listeners...) }()
	go p.supervisor.watch(ctx, func() { p.ready() })
	done := p.background(ctx, commands)

	p.announce(listeners)
	idle, stopWatching := p.watchIdle(handed)
	defer stopWatching()
	err = p.wait(ctx, signals, idle, stop, served)
	if errors.Is(err, errForced) {
		return err
	}
	stop()
	done()
	p.expiry.flush()
	if idle != nil {
		p.upkeep.keepDebts(time.Now())
	}
	// The stores' own work goes on until the last request has ended.
	return errors.Join(err, p.stores.Close())
}

const (
	freeWithin = 60 * time.Second // less than systemd waits for a start
	freeAgain  = 200 * time.Millisecond
)

// openWhenFree opens the stores. A process that systemd started, since somebody
// connected, waits for a command that works on a root without a server, as berth
// gc does: systemd would give the socket up after a few starts in vain. It
// returns nil without an error where a signal ends the wait.
func (p *process) openWhenFree(handed bool, signals <-chan os.Signal) (*stores, error) {
	late := time.Now().Add(freeWithin)
	for told := false; ; told = true {
		s, err := openStores(p.cfg.Storage, p.log, p.upkeep)
		if !handed || !errors.Is(err, fsstore.ErrInUse) || time.Now().After(late) {
			return s, err
		}
		if !told {
			p.log.Warn("waiting until the storage is free", "error", err)
		}
		select {
		case <-time.After(freeAgain):
		case s := <-signals:
			if s != unix.SIGHUP {
				p.log.Info("stopping", "signal", s.String())
				return nil, nil
			}
		}
	}
}

// openServer makes the server, and the socket for commands, over the stores.
func (p *process) openServer(ctx context.Context) (commands *admin.Server, err error) {
	if p.expiry, err = p.newExpiry(); err != nil {
		return nil, err
	}
	opts := registryOptions(p.cfg, &p.stores.finder, p.log)
	if p.expiry.uses != nil {
		opts.Usage = p.expiry.uses
	}
	reg := registry.New(p.expiry.store(p.stores.Store), opts)
	p.upkeep.registry, p.upkeep.policies = reg, p.expiry.policies
	p.upkeep.checkScrub()
	p.server = httpd.New(reg, p.serverOptions())
	if err := p.expiry.addJobs(p, reg, cmp.Or(p.cfg.Storage.GCInterval, time.Hour)); err != nil {
		return nil, err
	}
	return p.openAdmin(ctx)
}

// background does what goes on beside requests until ctx ends; done waits for
// that.
func (p *process) background(ctx context.Context, commands *admin.Server) (done func()) {
	var under sync.WaitGroup
	under.Go(func() { _ = p.upkeep.Run(ctx) }) // it never fails
	under.Go(func() { p.expiry.run(ctx) })
	if commands != nil {
		under.Go(func() {
			if err := commands.Run(ctx); err != nil {
				p.log.Error("commands are no longer answered", "error", err)
			}
		})
	}
	return under.Wait
}

// announce tells that requests are answered from now on.
func (p *process) announce(listeners []net.Listener) {
	p.log.Info("serving", "addresses", locations(listeners, p.cfg.HTTP.TLS.Cert != ""),
		"root", whereIs(p.cfg.Storage.Root), "version", versionString())
	p.supervisor.ready(p.serving())
}

// serving is what the process does, in a few words.
func (p *process) serving() string { return "Serving " + whereIs(p.cfg.Storage.Root) }

// wait answers signals until the server has ended. It looks for idleness with
// every tick of idle.
func (p *process) wait(ctx context.Context, signals <-chan os.Signal, idle <-chan time.Time, stop func(), served <-chan error) error {
	stopping := false
	for {
		select {
		case err := <-served:
			return err
		case now := <-idle:
			if !stopping && p.idle(ctx, now) {
				stopping = true
				p.log.Info("leaving until the next connection", "idle", p.cfg.IdleExit)
				p.supervisor.stopping("Leaving until the next connection")
				stop()
			}
		case s := <-signals:
			switch {
			case s == unix.SIGHUP && !stopping:
				p.reload()
			case s == unix.SIGHUP:
			case stopping:
				return errForced
			default:
				stopping = true
				p.log.Info("stopping", "signal", s.String())
				p.supervisor.stopping("Finishing the requests under way")
				stop()
			}
		}
	}
}

// reload takes over what can change while requests are answered. It changes
// nothing where the new configuration has a problem.
func (p *process) reload() {
	p.supervisor.reloading()
	defer func() { p.supervisor.ready(p.serving()) }()
	cfg, err := load(p.from)
	if err != nil {
		p.log.Error("cannot reload: the configuration stays as it was", "error", err)
		return
	}
	for _, key := range config.Changes(p.cfg, cfg) {
		if key.Reload {
			p.log.Info("reloaded", "key", key.Path)
		} else {
			p.log.Warn("this change needs a restart", "key", key.Path)
		}
	}
	if (cfg.Log.Audit == "") != (p.cfg.Log.Audit == "") {
		p.log.Warn("to turn the audit log on or off needs a restart", "key", "log.audit")
		cfg.Log.Audit = p.cfg.Log.Audit
	}
	if err := p.logs.open(cfg.Log); err != nil {
		p.log.Error("cannot open a log", "error", err)
	}
	p.cfg.Tasks.IORate, p.cfg.Tasks.Pressure, p.cfg.Tasks.Window = cfg.Tasks.IORate, cfg.Tasks.Pressure, cfg.Tasks.Window
	p.upkeep.SetLimits(taskLimits(p.cfg.Tasks))
	p.cfg.Log.Level, p.cfg.Log.Output, p.cfg.Log.Audit = cfg.Log.Level, cfg.Log.Output, cfg.Log.Audit
	if p.cfg.HTTP.TLS.Cert != "" {
		if err := p.server.ReloadCertificates(); err != nil {
			p.log.Error("cannot read the certificate: the old one stays", "error", err)
		}
	}
	p.log.Info("configuration reloaded")
}

// readyTimeout is for how long a bucket is waited for; a supervisor waits
// longer for a sign of life.
const readyTimeout = 5 * time.Second

// ready says why requests cannot be answered now: the root is gone, or the
// store cannot read. It looks for a repository that probably does not exist.
func (p *process) ready() error {
	var err error
	if !p.cfg.Storage.StorageDriver.IsSet() {
		_, err = os.Stat(p.cfg.Storage.RootDirectory)
	}
	if err == nil {
		ctx, done := context.WithTimeout(context.Background(), readyTimeout)
		defer done()
		_, _, err = p.stores.root.LoadIndex(ctx, "readyz", "")
	}
	if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
		p.log.Warn("not ready", "error", err)
		return errors.New("storage is not available")
	}
	return nil
}
