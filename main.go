// Command berth is an OCI registry in one small binary, which keeps every
// repository as an OCI image layout on a local disk.
//
// This package owns the command line, which is a contract, and the wiring: it
// turns a configuration into the Options of the other packages, opens sockets
// and logs, and answers signals. It holds no rule of a registry, and nothing
// imports it. There is one file for each verb, and one for each thing that a
// process has to get from its system: sockets, logs, memory, its supervisor.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"berth/config"
	"berth/config/manual"
	"berth/httpd"
	"berth/oci/registry"
)

const usage = `berth is an OCI registry that keeps plain OCI image layouts on a disk.

usage:
  berth serve [CONFIG] [--root PATH] [--name NAME] [--address HOST:PORT]...
              [--read-only]
  berth dedupe [CONFIG] [--root DIR]
  berth gc [--dry-run] [CONFIG] [--root DIR]
  berth scrub [CONFIG] [--root PATH] [--read-only]
  berth tasks [CONFIG] [--root DIR] [--json]
  berth verify CONFIG
  berth client-config --for CLIENT [--registry HOST:PORT] [--ca FILE]
              [--plain-http] [--mirror UPSTREAM[=PREFIX],...]
              [--write] [--root DIR] [--force]
  berth version
  berth help [PAGE]

serve    answers requests until SIGTERM or SIGINT; SIGHUP reloads CONFIG.
         Without CONFIG it listens at 127.0.0.1:5000 and keeps its data in
         ./berth-data.
           --root PATH          in place of storage.rootDirectory; also an OCI
                                archive (a tar file), or a directory that is
                                itself one layout
           --name NAME          of the one repository of such a root
           --address HOST:PORT  in place of http.address; also an address alone,
                                or unix:/path; may be given several times
           --read-only          never write: storage.readOnly
dedupe   keeps one copy of every blob of each root, however many repositories
         hold it, also of what was stored before. serve does so by itself, in
         the background; this is for when it is not running.
gc       collects garbage in each root, as storage.gc and its likes say, and
         prints what went, and how many bytes that freed: through the server
         where one runs, which does so by itself too.
           --dry-run            print what would go
scrub    reads everything that is stored and says what is damaged; the exit
         status is 1 where something is. What is damaged is not served any more,
         until it is pushed again. The running server does it, if there is one.
           --read-only          only say it; also beside a server, and of an OCI
                                archive, a layout or a disk that is mounted so
tasks    lists what the running server does in the background: what each task
         does now, what came of it last, and when it is done next.
           --json               one JSON object for each task
verify   says what is wrong with CONFIG, as serve would, without starting.
client-config
         prints the files that make a client pull through this registry, and
         says what else it takes. CLIENT is containerd, k3s, crio, podman or
         docker.
           --registry HOST:PORT as clients reach it; 127.0.0.1:5000 otherwise
           --ca FILE            certificates, in PEM, that it is trusted by
           --plain-http         it speaks HTTP; so it does on loopback
           --mirror LIST        registries whose images are asked for here
                                first, docker.io otherwise; with =PREFIX, below
                                that prefix here
           --write              install the files; what was there before is kept
           --root DIR           below which to install them, / otherwise
           --force              replace also what somebody else wrote
version  prints the version.
help     prints this, or a page: berth.toml, a configuration with every key;
         berth.1 and berth.toml.5, manual pages (berth help berth.1 | man -l -);
         bash, zsh and fish, completion for a shell.

CONFIG is a TOML or JSON file. Each of its keys can be set by a variable of the
environment too: BERTH_HTTP_PORT sets http.port. Flags win over variables, and
variables over the file.

exit status: 0 success, 2 wrong usage or configuration, 1 any other failure.
`

// The exit statuses of the contract.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	err := dispatch(args, stdout, stderr)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	_, usage := errors.AsType[usageError](err)
	_, invalid := errors.AsType[config.Error](err)
	if usage || invalid {
		return exitUsage
	}
	return exitFailure
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return usageError("berth: a command is missing")
	}
	switch args[0] {
	case "serve":
		return serve(args[1:], stdout, stderr)
	case "dedupe":
		return runDedupe(args[1:], stdout, stderr)
	case "gc":
		return runGC(args[1:], stdout, stderr)
	case "scrub":
		return runScrub(args[1:], stdout, stderr)
	case "tasks":
		return runTasks(args[1:], stdout, stderr)
	case "verify":
		return verify(args[1:], stdout)
	case "client-config":
		return clientConfig(args[1:], stdout)
	case "version", "--version", "-version":
		return printVersion(args[1:], stdout)
	case "help", "--help", "-help", "-h":
		return help(args[1:], stdout)
	}
	return usageError(fmt.Sprintf("berth: unknown command %q; see berth help", args[0]))
}

// usageError is a command line that means nothing.
type usageError string

func (e usageError) Error() string { return string(e) }

// help prints the usage, or a page of the manual.
func help(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return printUsage(stdout)
	}
	page, ok := manual.Page(args[0], usage, versionString())
	if !ok || len(args) > 1 {
		return usageError("berth help: takes one page of " + strings.Join(manual.Names(), ", "))
	}
	_, err := io.WriteString(stdout, page)
	return err
}

func printUsage(stdout io.Writer) error {
	_, err := fmt.Fprint(stdout, usage)
	return err
}

func registryOptions(cfg *config.Config, found *finder, log *slog.Logger) registry.Options {
	return registry.Options{
		Log:             log,
		Finder:          found,
		Sparse:          registry.Sparse(cfg.HTTP.Sparse),
		MaxManifestSize: int64(cfg.HTTP.MaxManifestSize),
		Docker2S2:       len(cfg.HTTP.Compat) > 0,
		Remember:        rememberFor(cfg.Storage),
	}
}

func (p *process) serverOptions() httpd.Options {
	h := p.cfg.HTTP
	opts := httpd.Options{
		Log:             p.log,
		Access:          p.logs.access,
		Audit:           p.logs.audit,
		ReadOnly:        p.stores.readOnly, // by configuration, or because the medium is
		Realm:           h.Realm,
		MaxConns:        int(h.MaxConnections),
		MaxUploads:      int(h.MaxUploads),
		HeaderTimeout:   h.HeaderTimeout,
		IdleTimeout:     h.IdleTimeout,
		ShutdownTimeout: max(h.ShutdownTimeout, time.Nanosecond), // 0 would be httpd's default
		MinRate:         minRate(h.MinRate),
		ChunkMinLength:  int64(h.ChunkMinLength),
		Ready:           p.ready,
	}
	if h.TLS.Cert != "" {
		opts.TLS = &httpd.TLSOptions{CertFile: h.TLS.Cert, KeyFile: h.TLS.Key}
	}
	return opts
}

// minFree keeps 0 from being fsstore's default: a byte is as good as none.
func minFree(size config.Bytes) int64 {
	if size == config.Auto {
		return 0
	}
	return max(int64(size), 1)
}

// minRate keeps 0 from being httpd's default: less than nothing is any rate.
func minRate(rate config.Bytes) int64 {
	if rate == 0 {
		return -1
	}
	return int64(rate)
}
