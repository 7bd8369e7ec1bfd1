package subpath

import (
	"context"
	"errors"
	"strings"

	"berth/oci"
)

// WalkRepos implements oci.Repos over all stores. Those that are unavailable
// are passed over; where all are, their error is returned.
func (r *Router) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	t := r.table.Load()
	w := walker{from: after, fn: fn}
	if err := w.tree(ctx, t.root, t.sorted); err != nil {
		return err
	}
	if w.answered == 0 {
		return w.missing
	}
	return nil
}

// walker passes over the names of all mounts in byte order. The names of a
// mount are one unbroken range, so that a parent's walk is cut where a range
// begins and taken up again after it: no names are kept and none are sorted.
type walker struct {
	from     oci.Repo // names up to this one are done
	fn       func(oci.Repo) error
	answered int   // walks that were not ended by a missing medium
	missing  error // of the first that was
}

// tree walks a mount and all that is mounted below it: below is the part of
// table.sorted that follows it.
func (w *walker) tree(ctx context.Context, m *mount, below []*mount) error {
	for len(below) > 0 {
		child, inner := below[0], belowOf(below)
		if err := w.own(ctx, m, child.key); err != nil {
			return err
		}
		if w.from < child.last {
			if err := w.child(ctx, child, inner); err != nil {
				return err
			}
			w.from = max(w.from, child.last)
		}
		below = below[1+len(inner):]
	}
	return w.own(ctx, m, "")
}

func (w *walker) child(ctx context.Context, m *mount, below []*mount) error {
	if m.repo != "" {
		return w.single(ctx, m)
	}
	return w.tree(ctx, m, below)
}

// belowOf returns what is mounted below the first of the mounts.
func belowOf(mounts []*mount) []*mount {
	first, n := mounts[0], 1
	for first.repo == "" && n < len(mounts) && strings.HasPrefix(mounts[n].key, first.key) {
		n++
	}
	return mounts[1:n]
}

// errCut ends a store's walk where another mount's names begin.
var errCut = errors.New("walk reached the next mount")

// own walks a mount's own names after w.from and before until ("": to its
// end).
func (w *walker) own(ctx context.Context, m *mount, until string) error {
	key := m.key
	after, inside := strings.CutPrefix(string(w.from), key)
	switch {
	case until != "" && string(w.from) >= until:
		return nil
	case !inside && string(w.from) > key:
		return nil // beyond the mount's names
	case !inside:
		after = ""
	}
	var failed error
	err := m.store.WalkRepos(ctx, oci.Repo(after), func(name oci.Repo) error {
		full := key + string(name)
		if until != "" && full >= until {
			return errCut
		}
		if len(full) <= oci.MaxRepoLength {
			failed = w.fn(oci.Repo(full))
		}
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case err == nil || errors.Is(err, errCut):
		w.answered++
		return nil
	}
	return w.pass(err)
}

// single reports a mounted repository, where the store has it.
func (w *walker) single(ctx context.Context, m *mount) error {
	var have oci.Version
	if seen := m.seen.Load(); seen != nil {
		have = *seen
	}
	_, v, err := m.store.LoadIndex(ctx, m.repo, have)
	switch {
	case err == nil:
		m.seen.Store(&v)
		w.answered++
		return w.fn(oci.Repo(m.prefix))
	case errors.Is(err, oci.ErrNameUnknown):
		w.answered++
		return nil
	}
	return w.pass(err)
}

// pass passes over a store whose medium is missing.
func (w *walker) pass(err error) error {
	if !errors.Is(err, oci.ErrUnavailable) {
		return err
	}
	if w.missing == nil {
		w.missing = err
	}
	return nil
}

// WalkUploads implements oci.Uploads over all stores that are available.
func (r *Router) WalkUploads(ctx context.Context, fn func(oci.UploadInfo) error) error {
	for _, m := range r.table.Load().stores() {
		var failed error
		err := m.store.WalkUploads(ctx, func(info oci.UploadInfo) error {
			if m.repo != "" && info.Repo != m.repo {
				return nil // nobody can reach it
			}
			info.Repo = m.name(info.Repo)
			failed = fn(info)
			return failed
		})
		if failed != nil {
			return failed
		}
		if err != nil && !errors.Is(err, oci.ErrUnavailable) {
			return err
		}
	}
	return nil
}
