package media

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"sync/atomic"
	"time"

	"berth/fsstore/archive"
	"berth/oci"
)

// Table is where media are served: subpath.Router.
type Table interface {
	// AttachRepo gives one repository of a store the name prefix.
	AttachRepo(prefix string, store oci.Store, repo oci.Repo) error
	// Detach takes away what has that name.
	Detach(prefix string) bool
}

// Options of a Watcher.
type Options struct {
	Path   string // the directory below which media appear; it may be missing
	Prefix string // of the repositories' names
	// Verify: a layout is read whole and compared with its digests before it is
	// served.
	Verify bool
	Table  Table
	Log    *slog.Logger // nil: discard
}

// Watcher serves the media below a directory.
type Watcher struct {
	opts  Options
	dir   string
	log   *slog.Logger
	media map[string]*medium // by path; Run's alone
	said  map[string]bool    // log lines about candidates that are not repeated; Run's alone
	done  chan *prepared
	jobs  int // preparations that run; Run's alone
}

// New makes a Watcher. It does no I/O. It fails with ErrNameInvalid where the
// prefix is no repository name.
func New(opts Options) (*Watcher, error) {
	if _, err := oci.ParseRepo(opts.Prefix); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(opts.Path)
	if err != nil {
		return nil, err
	}
	return &Watcher{
		opts: opts, dir: dir, log: opts.Log,
		media: map[string]*medium{}, said: map[string]bool{}, done: make(chan *prepared),
	}, nil
}

// tick is how often the watcher looks without being told to.
const tick = time.Second

// Run serves media until ctx ends, then takes all of them out of the table.
func (w *Watcher) Run(ctx context.Context) error {
	notify, err := newNotifier()
	if err != nil {
		return err
	}
	defer notify.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := notify.run(ctx); err != nil {
			cancel(err)
		}
	}()
	w.serve(ctx, notify)
	<-stopped
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

func (w *Watcher) serve(ctx context.Context, notify *notifier) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	w.look(ctx, notify, true)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-notify.wake:
			w.look(ctx, notify, false)
		case <-ticker.C:
			w.look(ctx, notify, true)
		case p := <-w.done:
			w.jobs--
			w.finish(p)
		}
	}
	for path := range w.media {
		w.remove(path)
	}
	for ; w.jobs > 0; w.jobs-- {
		<-w.done
	}
}

// look compares what is there with what is looked after.
func (w *Watcher) look(ctx context.Context, notify *notifier, ticked bool) {
	// The directory may itself be reached by a link; mounts are listed by
	// their real path.
	dir := realPath(w.dir)
	notify.watch(dir)
	found, err := candidates(dir)
	if err != nil {
		w.once(w.said, "media cannot be looked for", "path", dir, "error", err.Error())
		return
	}
	present := map[string]candidate{}
	for _, c := range found {
		present[c.path] = c
	}
	for path, m := range w.media {
		if c, ok := present[path]; !ok || c.id != m.id || c.mount.id != m.mount.id {
			w.remove(path)
		}
	}
	for _, c := range found {
		m := w.media[c.path]
		if m == nil {
			m = w.add(c)
		}
		if m != nil && (m.looked == nil || ticked && m.due()) {
			w.start(ctx, m)
		}
	}
}

// statsPerTick is how many directories are looked at in one tick, about.
const statsPerTick = 512

// due reports whether a medium has to be looked through again.
func (m *medium) due() bool {
	if m.again {
		return true
	}
	for _, f := range m.failures {
		if !f.stays() {
			return true
		}
	}
	if m.ticks++; m.ticks <= len(m.looked.dirs)/statsPerTick {
		return false
	}
	m.ticks = 0
	return m.looked.changed()
}

// add begins to look after a candidate, unless it can have no name.
func (w *Watcher) add(c candidate) *medium {
	name, ok := w.name(c)
	if !ok {
		return nil
	}
	m := &medium{
		candidate: c, name: name, gone: &atomic.Bool{}, pause: quiet(),
		served: map[offer]oci.Store{}, failures: map[offer]failure{}, said: map[string]bool{},
	}
	w.media[c.path] = m
	return m
}

// name finds a name for a candidate: that of its volume or, where that is
// missing, impossible or taken, of its directory.
func (w *Watcher) name(c candidate) (string, bool) {
	names := []string{filepath.Base(c.path)}
	if c.mount.path != "" {
		if label := volumeLabel(c.mount); label != "" {
			names = []string{label, names[0]}
		}
	}
	reason := ""
	for _, n := range names {
		component, err := archive.Name(n)
		if err != nil {
			reason = err.Error()
			continue
		}
		name, err := oci.ParseRepo(w.opts.Prefix + "/" + string(component))
		if err != nil {
			reason = err.Error()
			continue
		}
		if other := w.named(string(name)); other != "" {
			reason = other + " is served under that name"
			continue
		}
		return string(name), true
	}
	w.once(w.said, "medium is not served", "path", c.path, "reason", reason)
	return "", false
}

// named returns the path of the medium that has a name, and may use it: an
// empty directory, such as an old mount point, keeps nobody from it.
func (w *Watcher) named(name string) string {
	for path, m := range w.media {
		if m.name == name && (m.busy || m.looked == nil || len(m.served)+len(m.failures) > 0) {
			return path
		}
	}
	return ""
}

// start lets a medium be looked through in the background.
func (w *Watcher) start(ctx context.Context, m *medium) {
	if m.busy {
		return
	}
	j := &job{
		// What runs in the background may not touch the watcher's part.
		medium: &medium{candidate: m.candidate, name: m.name, gone: m.gone, pause: m.pause},
		served: map[offer]bool{}, failed: maps.Clone(m.failures),
		changed: m.looked != nil && m.looked.changed(),
		verify:  w.opts.Verify, log: w.log,
	}
	for o := range m.served {
		j.served[o] = true
	}
	ctx, m.cancel = context.WithCancel(ctx)
	m.busy, m.again = true, false
	w.jobs++
	go func() {
		p := j.run(ctx)
		w.done <- p
	}()
}

// finish puts what was prepared into the table.
func (w *Watcher) finish(p *prepared) {
	m := w.media[p.medium.path]
	if m == nil || m.gone != p.medium.gone {
		return // it has gone meanwhile
	}
	m.cancel()
	m.busy = false
	if p.err != nil {
		m.looked = &survey{}
		m.again = true
		w.once(m.said, "medium cannot be read", "path", m.path, "error", p.err.Error())
		return
	}
	m.looked = p.looked
	for o := range m.served {
		if !p.all[o] {
			w.withdraw(m, o)
		}
	}
	for o, s := range p.ready {
		w.attach(m, o, s)
	}
	for path, reason := range p.skipped {
		w.once(m.said, "layout is skipped", "path", path, "reason", reason)
	}
	m.failures = p.failed
	for o, f := range p.failed {
		if !f.final {
			m.again = true
			continue
		}
		w.once(m.said, "layout is not served", "path", o.path, "reason", f.reason)
	}
}

// attach begins to serve an offer.
func (w *Watcher) attach(m *medium, o offer, s oci.Store) {
	if err := w.opts.Table.AttachRepo(o.name, s, layoutRepo); err != nil {
		w.once(m.said, "layout is not served", "path", o.path, "reason", err.Error())
		return
	}
	m.served[o] = s
	w.log.Info("layout is served", "path", o.path, "repository", o.name)
}

// withdraw ends the serving of one offer of a medium.
func (w *Watcher) withdraw(m *medium, o offer) {
	w.opts.Table.Detach(o.name)
	delete(m.served, o)
	w.log.Info("layout is no longer served", "path", o.path, "repository", o.name)
}

// remove ends the serving of a medium. It does not wait for anything.
func (w *Watcher) remove(path string) {
	m := w.media[path]
	delete(w.media, path)
	m.gone.Store(true)
	if m.busy {
		m.cancel()
	}
	for o := range m.served {
		w.withdraw(m, o)
	}
}

// once logs a warning, unless said has it.
func (w *Watcher) once(said map[string]bool, msg string, args ...any) {
	r := slog.NewRecord(time.Time{}, slog.LevelWarn, msg, 0)
	r.Add(args...)
	line := msg
	r.Attrs(func(a slog.Attr) bool { line += "\x00" + a.String(); return true })
	if !said[line] {
		said[line] = true
		w.log.Warn(msg, args...)
	}
}
