package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"berth/config"
	"berth/fsstore/archive"
	"berth/fsstore/media"
	"berth/oci"
	"berth/oci/subpath"
)

// stores is every place that repositories come from, as one store.
type stores struct {
	oci.Store
	root     oci.Store      // that of the root directory alone
	notes    oci.NoteKeeper // of the root directory; nil: none can be kept
	finder   finder         // of the blobs of all roots
	readOnly bool           // no part of it can be written to
	log      *slog.Logger
	upkeep   *upkeep

	closers []io.Closer
	stop    context.CancelFunc
	under   sync.WaitGroup // the work under way until stop
}

// openStores opens the root, and makes the others ready to be opened: they may
// be missing.
func openStores(s config.Storage, log *slog.Logger, upkeep *upkeep) (*stores, error) {
	ctx, stop := context.WithCancel(context.Background())
	all := &stores{log: log, upkeep: upkeep, stop: stop}
	err := all.openRoot(s)
	if err == nil && len(s.SubPaths)+len(s.Media) > 0 {
		router := subpath.New(all.root)
		all.Store = router
		err = all.mount(ctx, router, s)
	}
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	return all, nil
}

func (a *stores) openRoot(s config.Storage) error {
	if s.StorageDriver.IsSet() {
		return a.openRootBucket(s)
	}
	kind, err := kindOf(s.RootDirectory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && kind != manyLayouts {
		layout, err := openLayout(kind, archive.Options{Path: s.RootDirectory, Repo: oci.Repo(s.Name), Log: a.log})
		if err != nil {
			return err
		}
		a.log.Info("the root is one layout: it is served read-only", "root", s.RootDirectory, "repository", layout.Repo())
		a.Store, a.root, a.readOnly = layout, layout, true
		return nil
	}
	local, err := openLocal("", s.Root, a.log, a.upkeep)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, local)
	a.Store, a.root, a.readOnly = local, local, local.ReadOnly()
	if !a.readOnly {
		a.notes = local
	}
	a.finder.add("").open(local.locations())
	return nil
}

// openRootBucket opens the root where it is in a bucket.
func (a *stores) openRootBucket(s config.Storage) error {
	b, err := openBucket("", s.Root, a.log, a.upkeep)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, b)
	a.Store, a.readOnly = b.serving(), b.ReadOnly()
	a.root = a.Store
	if !a.readOnly {
		a.notes = b
	}
	a.finder.add("").open(b.locations())
	return nil
}

// mount puts subpaths and media beside the root.
func (a *stores) mount(ctx context.Context, router *subpath.Router, s config.Storage) error {
	for _, sub := range s.SubPaths {
		if err := a.mountSubPath(ctx, router, sub); err != nil {
			return fmt.Errorf("subpath %q: %w", "/"+sub.Prefix, err)
		}
	}
	for _, m := range s.Media {
		w, err := media.New(media.Options{Path: m.Path, Prefix: m.Prefix, Verify: m.Verify, Table: router, Log: a.log})
		if err != nil {
			return fmt.Errorf("media below %s: %w", m.Path, err)
		}
		a.under.Go(func() {
			if err := w.Run(ctx); err != nil {
				a.log.Error("media are no longer looked for", "path", m.Path, "error", err)
			}
		})
	}
	return nil
}

func (a *stores) mountSubPath(ctx context.Context, router *subpath.Router, sub config.SubPath) error {
	if sub.StorageDriver.IsSet() {
		b, err := openBucket("/"+sub.Prefix, sub.Root, a.log, a.upkeep)
		if err != nil {
			return err
		}
		a.closers = append(a.closers, b)
		a.readOnly = a.readOnly && sub.ReadOnly
		a.finder.add(sub.Prefix + "/").open(b.locations())
		return router.Attach(sub.Prefix, b.serving())
	}
	if kind, err := kindOf(sub.RootDirectory); err == nil && kind != manyLayouts {
		layout, err := openLayout(kind, archive.Options{Path: sub.RootDirectory, Repo: oci.Repo(sub.Prefix), Log: a.log})
		if err != nil {
			return err
		}
		a.log.Info("the subpath is one layout: it is served read-only", "root", sub.RootDirectory, "repository", layout.Repo())
		return router.AttachRepo(sub.Prefix, layout, layout.Repo())
	}
	found := a.finder.add(sub.Prefix + "/")
	lazy := subpath.NewLazy(subpath.LazyOptions{
		Name:  "/" + sub.Prefix,
		Probe: media.NewRoot(sub.RootDirectory).Probe,
		Open: func() (oci.Store, error) {
			local, err := openLocal("/"+sub.Prefix, sub.Root, a.log, a.upkeep)
			if err != nil {
				return nil, err
			}
			found.open(local.locations())
			return local, nil
		},
		Changed: func(err error) { a.changed(sub, err) },
	})
	a.closers = append(a.closers, lazy)
	a.readOnly = a.readOnly && sub.ReadOnly
	a.under.Go(func() { watch(ctx, lazy) })
	return router.Attach(sub.Prefix, lazy)
}

func (a *stores) changed(sub config.SubPath, err error) {
	if err != nil {
		a.log.Warn("a subpath is not available", "subpath", "/"+sub.Prefix, "root", sub.RootDirectory, "error", err)
		return
	}
	a.log.Info("a subpath is available again", "subpath", "/"+sub.Prefix, "root", sub.RootDirectory)
}

// watchEvery is how often a subpath is looked at without a request.
const watchEvery = 2 * time.Second

// watch opens the store of a subpath where it can, and lets go of a medium
// that has gone, also where nobody asks for it.
func watch(ctx context.Context, lazy *subpath.Lazy) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		_ = lazy.Available() // Changed tells
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// Close ends all work and closes every store.
func (a *stores) Close() error {
	a.stop()
	a.under.Wait()
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
