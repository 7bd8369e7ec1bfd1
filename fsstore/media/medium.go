package media

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"berth/fsstore/archive"
	"berth/oci"
	"berth/oci/subpath"
)

// medium is a candidate that is looked after. All of it but gone belongs to
// the watcher's goroutine.
type medium struct {
	candidate
	name   string // the prefix under which it is served
	cancel context.CancelFunc
	gone   *atomic.Bool
	pause  func()

	busy     bool // a preparation runs
	again    bool // one is due
	looked   *survey
	ticks    int // since the directories were last looked at
	served   map[offer]oci.Store
	failures map[offer]failure
	said     map[string]bool // log lines that are not repeated
}

// offer is one layout on a medium, which can be put into the table.
type offer struct {
	name    string // of its repository
	path    string // where it lies
	archive bool   // a tar file, not a directory
}

// layoutRepo is the name of every layout in its own store. The table gives it
// another.
const layoutRepo oci.Repo = "layout"

// failure is why an offer cannot be served.
type failure struct {
	reason string
	watch  string    // the file that has to change before it can
	state  fileState // of that file
	// final: it failed twice while the file stayed as it was, so that it was
	// not just being written.
	final bool
}

// stays reports whether the failed file is as it was.
func (f failure) stays() bool { return lookAt(f.watch) == f.state }

// errGone is why nothing is read from a medium any more.
var errGone = errors.New("the medium was removed")

// probe makes sure that what has the medium's path is still the medium.
func (m *medium) probe() (any, error) {
	if m.gone.Load() {
		return nil, errGone
	}
	id, err := identify(m.path)
	if err != nil {
		return nil, err
	}
	if id != m.id {
		return nil, errGone
	}
	return id, nil
}

// storeOf makes a store of an offer, which holds no files between reads and dies
// with the medium. It fails where the layout cannot be served.
func (m *medium) storeOf(o offer, log *slog.Logger) (oci.Store, error) {
	open := archive.OpenDir
	if o.archive {
		open = archive.Open
	}
	store, err := open(archive.Options{Path: o.path, Repo: layoutRepo, Log: log})
	if err != nil {
		return nil, err
	}
	if err := store.Check(); err != nil {
		return nil, err
	}
	lazy := subpath.NewLazy(subpath.LazyOptions{
		Name: o.name, Probe: m.probe, Open: func() (oci.Store, error) { return store, nil },
	})
	return &unheld{Store: lazy, pause: m.pause}, nil
}
