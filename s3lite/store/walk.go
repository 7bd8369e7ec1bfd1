package store

import (
	"context"
	"slices"
	"strings"
	"sync"

	"berth/oci"
	"berth/s3lite"
)

// WalkRepos is oci.Repos.WalkRepos. Each component of a name is a list with a
// delimiter, in which blobs are one entry; a few are asked for ahead.
//
// A repository is what has an index.json that is not empty. What has none and
// yet blobs, since a process died in between, gets one.
func (s *Store) WalkRepos(ctx context.Context, after oci.Repo, fn func(oci.Repo) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, _, _ := strings.Cut(string(after), "/")
	top, err := s.list(ctx, s.keys.root, "", first)
	if err == nil && first > escaped && first <= oci.LayoutFile {
		// Names of a layout lie under others, which sort before this one.
		var more directory
		more, err = s.list(ctx, s.keys.root, escaped, "")
		top.children = append(top.children, more.children...)
	}
	if err != nil {
		return err
	}
	w := walk{store: s, after: string(after), fn: fn}
	return w.level(ctx, "", s.keys.root, top.children)
}

// escaped begins the directories of components that are names of a layout, of
// which LayoutFile is the last.
const escaped = "_"

type walk struct {
	store *Store
	after string
	fn    func(oci.Repo) error
}

// directory is what a list tells of what begins with a prefix.
type directory struct {
	index, blobs bool
	children     []string // directories
}

// list asks for what lies directly behind a prefix, begins with a text, and
// sorts after a name.
func (s *Store) list(ctx context.Context, prefix, begin, after string) (out directory, err error) {
	o := s3lite.ListOptions{Prefix: prefix + begin, Delimiter: "/"}
	if after != "" {
		o.StartAfter = prefix + after
	}
	for {
		page, err := s.client.ListObjects(ctx, o)
		if err != nil {
			return out, asStored(err)
		}
		for _, object := range page.Objects {
			out.index = out.index || object.Key == prefix+oci.LayoutIndex && object.Size > 0
		}
		for _, p := range page.Prefixes {
			dir := strings.TrimSuffix(p[len(prefix):], "/")
			if dir == oci.LayoutBlobs {
				out.blobs = true
			} else if oci.LayoutComponent(dir) != "" {
				out.children = append(out.children, dir)
			}
		}
		if page.Next == "" {
			return out, nil
		}
		o.Token = page.Next
	}
}

// stop is a repository, or with below all under it. A child "x" is two stops,
// since '-' and '.' sort before '/': x, x-y, x.y, x/z.
type stop struct {
	name, dir string
	below     bool
}

func (st stop) order() string {
	if st.below {
		return st.name + "/"
	}
	return st.name
}

// passed tells whether nothing of a stop sorts behind the name to begin after.
func (w *walk) passed(st stop) bool {
	if st.below {
		return st.name+"0" <= w.after // '0' follows '/'
	}
	return st.name <= w.after
}

// level walks the children of a directory. name is theirs, with a slash.
func (w *walk) level(ctx context.Context, name, prefix string, children []string) error {
	var stops []stop
	for _, dir := range children {
		full := name + oci.LayoutComponent(dir)
		stops = append(stops, stop{full, prefix + dir + "/", false}, stop{full, prefix + dir + "/", true})
	}
	stops = slices.DeleteFunc(stops, w.passed)
	slices.SortFunc(stops, func(a, b stop) int { return strings.Compare(a.order(), b.order()) })
	lists := map[string]*ahead{}
	width := 1
	for i, st := range stops {
		// The further a walk goes, the further it looks ahead.
		for _, next := range stops[i:min(len(stops), i+width)] {
			if lists[next.dir] == nil {
				lists[next.dir] = w.store.listAhead(ctx, next.dir)
			}
		}
		width = min(2*width, 2*asking)
		dir, err := lists[st.dir].wait()
		if err != nil {
			return err
		}
		if st.below {
			delete(lists, st.dir)
			err = w.level(ctx, st.name+"/", st.dir, dir.children)
		} else {
			err = w.visit(ctx, st, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) visit(ctx context.Context, st stop, dir directory) error {
	repo, err := oci.ParseRepo(st.name)
	if err != nil {
		return nil // too long for a name
	}
	if !dir.index {
		if !dir.blobs {
			return nil
		}
		if made, err := w.store.adopt(ctx, repo); err != nil || !made {
			return err
		}
	}
	return w.fn(repo)
}

// adopt gives an index to blobs that have none; it tells whether there are any.
func (s *Store) adopt(ctx context.Context, repo oci.Repo) (bool, error) {
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		page, err := s.client.ListObjects(ctx, s3lite.ListOptions{Prefix: s.keys.blobs(repo, a), Max: 1})
		if err != nil {
			return false, asStored(err)
		}
		if len(page.Objects) == 0 {
			continue
		}
		s.known.drop(repo)
		if err := s.ready(ctx); err != nil {
			return true, nil // it is shown, and left as it is
		}
		return true, s.ensure(ctx, repo)
	}
	return false, nil
}

// ahead is a list that was asked for.
type ahead struct {
	wait func() (directory, error)
}

func (s *Store) listAhead(ctx context.Context, prefix string) *ahead {
	var out directory
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { out, err = s.list(ctx, prefix, "", "") })
	return &ahead{func() (directory, error) {
		wg.Wait()
		return out, err
	}}
}
