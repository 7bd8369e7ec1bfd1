package fsstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"berth/fsstore/durable"
	"berth/oci"
)

// WalkRepos is oci.Repos.WalkRepos. A repository is a directory that holds
// oci-layout and index.json; whether they are good is seen when it is used. A
// directory reached by a symbolic link is listed, what lies below it is not,
// so that links in a circle do no harm.
func (s *Store) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	root, err := s.list(".")
	if err != nil {
		return err
	}
	w := walk{s: s, after: string(after), fn: fn}
	return w.children(ctx, "", root.children)
}

type walk struct {
	s      *Store
	after  string
	partly bool // also what has but one of the two files
	fn     func(oci.Repo) error
}

// listing is what a directory holds.
type listing struct {
	repository bool
	partly     bool // it has a file of a repository's
	children   []child
}

type child struct {
	component string
	link      bool
}

// step is one stop of a walk: a repository, or with below all under it. A
// child "x" is two stops that need not follow each other, since '-' and '.'
// sort before '/': x, x-y, x.y, x/z.
type step struct {
	child
	below bool
}

func (st step) key() string {
	if st.below {
		return st.component + "/"
	}
	return st.component
}

// children walks the children of a directory; prefix is its name with a slash.
func (w *walk) children(ctx context.Context, prefix string, children []child) error {
	steps := make([]step, 0, 2*len(children))
	for _, c := range children {
		steps = append(steps, step{c, false}, step{c, true})
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.key(), b.key()) })
	seen := make(map[string]listing) // of children whose second stop is to come
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.step(ctx, prefix, st, seen); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step(ctx context.Context, prefix string, st step, seen map[string]listing) error {
	name := prefix + st.key()
	if name <= w.after && !(st.below && strings.HasPrefix(w.after, name)) {
		return nil // it lies before, with all below it
	}
	if len(name) > oci.MaxRepoLength+1 {
		return nil
	}
	found, known := seen[st.component]
	if !known {
		var err error
		if found, err = w.s.list(repoDir(oci.Repo(prefix + st.component))); err != nil {
			return err
		}
	}
	if st.below {
		delete(seen, st.component)
		if st.link {
			return nil
		}
		return w.children(ctx, name, found.children)
	}
	seen[st.component] = found
	if !found.repository && !(w.partly && found.partly) || len(name) > oci.MaxRepoLength {
		return nil
	}
	return w.fn(oci.Repo(name))
}

// list reads a directory. One that is gone, or may not be read, is empty.
func (s *Store) list(dir string) (listing, error) {
	var found listing
	layout, index := false, false
	var skipped []string
	err := s.fs.ReadDir(dir, func(name string, kind durable.Kind) error {
		switch name {
		case layoutName:
			layout = kind != durable.Directory
		case indexName:
			index = kind != durable.Directory
		}
		if kind == durable.Regular || kind == durable.Other {
			return nil
		}
		if c := component(name); c != "" {
			found.children = append(found.children, child{c, kind == durable.Symlink})
		} else if isSkipped(name, kind) {
			skipped = append(skipped, name)
		}
		return nil
	})
	s.saySkipped(dir, skipped)
	found.repository = layout && index && dir != "."
	found.partly = (layout || index) && dir != "."
	switch {
	case durable.IsMissing(err):
		return listing{}, nil
	case errors.Is(err, fs.ErrPermission):
		if s.once("list " + dir) {
			s.log.Error("cannot read a directory: what lies below is not listed", "directory", path.Base(dir), "error", err)
		}
		return listing{}, nil
	case err != nil:
		return listing{}, fmt.Errorf("list repositories: %w", err)
	}
	return found, nil
}
