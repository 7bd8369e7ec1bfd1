package main

import (
	"context"
	"log/slog"

	"berth/config"
	"berth/fsstore"
	"berth/tasks"
	"berth/tasks/dedupe"
)

// localRoot is a root whose repositories lie in a directory, from openLocal to
// Close.
type localRoot struct {
	*fsstore.Store
	*openRoot
}

// openLocal opens the store of a root directory, which the rest of berth calls
// by a name. With upkeep its jobs are done until Close.
func openLocal(name string, root config.Root, log *slog.Logger, upkeep *upkeep) (*localRoot, error) {
	l := &localRoot{openRoot: &openRoot{config: root, name: name, log: log, upkeep: upkeep}}
	opts := storeOptions(root, log)
	var err error
	if !root.ReadOnly {
		if l.index, err = newIndex(root, log, l.rebuild); err != nil {
			return nil, err
		}
	}
	opts.Locations = l.locations()
	if l.Store, err = fsstore.Open(opts); err != nil {
		return nil, err
	}
	l.store = l.Store
	if l.Store.ReadOnly() {
		l.index = nil // the medium is
	}
	if root.Dedupe {
		l.share = l.enforceRound
	}
	l.start()
	return l, nil
}

func storeOptions(root config.Root, log *slog.Logger) fsstore.Options {
	return fsstore.Options{
		Root:     root.RootDirectory,
		Commit:   root.Commit,
		ReadOnly: root.ReadOnly,
		MinFree:  minFree(root.MinFree),
		Dedupe:   root.Dedupe,
		Log:      log,
	}
}

// enforceRound makes the repositories of the root share what they hold alike.
func (l *localRoot) enforceRound(ctx context.Context, r *tasks.Round) error {
	report, err := dedupe.Run(ctx, l.Store, l.locations(), dedupe.Options{Log: l.log, Round: r})
	r.Say(report.String())
	if report.Linked+report.Failed > 0 {
		l.log.Info("blobs that several repositories hold share their space", "root", l.config.RootDirectory, "linked", report.Linked,
			"freed", report.BytesFreed, "failed", report.Failed)
	}
	return err
}

// Close ends the work and closes the store.
func (l *localRoot) Close() error { return l.end() }
