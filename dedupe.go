package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"berth/config"
	"berth/tasks/dedupe"

	"golang.org/x/sys/unix"
)

// runDedupe keeps one copy of every blob of each local root, while no server
// has it.
func runDedupe(args []string, stdout, stderr io.Writer) error {
	from, err := configSources("dedupe", args, "root")
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
	limitMemory(cfg.MemoryLimit, os.DirFS("/"), os.Getenv)
	logs, err := openLogs(cfg.Log, stderr)
	if err != nil {
		return fmt.Errorf("berth dedupe: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	var failed []error
	for _, root := range allRoots(cfg.Storage) {
		said, err := dedupeRoot(ctx, root.Root, logs.log)
		if said != "" {
			fmt.Fprintf(stdout, "%s: %s\n", whereIs(root.Root), said)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("berth dedupe: %w", err))
		}
		if ctx.Err() != nil {
			break // what is left is for the next time
		}
	}
	return errors.Join(failed...)
}

// dedupeRoot enforces dedupe on one root, and says what came of it.
func dedupeRoot(ctx context.Context, root config.Root, log *slog.Logger) (said string, err error) {
	switch kind, err := kindOf(root.RootDirectory); {
	case root.StorageDriver.IsSet():
		return "skipped: it is in a bucket, where content is stored once as it comes", nil
	case err != nil:
		return "", err
	case kind != manyLayouts:
		return "skipped: it is one layout, which is served as it is", nil
	case root.ReadOnly:
		return "skipped: readOnly is set", nil
	case !root.Dedupe:
		return "skipped: dedupe is off", nil
	}
	l, err := openLocal("", root, log, nil)
	if err != nil {
		return "", err
	}
	if l.ReadOnly() {
		return "skipped: it cannot be written to", l.Close()
	}
	report, err := dedupe.Run(ctx, l.Store, l.locations(), dedupe.Options{Log: l.log})
	said = report.String()
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("stopped in %s; it goes on there the next time", root.RootDirectory)
	}
	return said, errors.Join(err, l.Close())
}
