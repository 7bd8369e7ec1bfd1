package subpath

import (
	"slices"
	"strings"
	"sync/atomic"

	"berth/oci"
)

// mount is one store at its place. But for seen, it never changes.
type mount struct {
	prefix string
	store  oci.Store
	// repo, where set, is the one repository of the store that is visible, and
	// it has the prefix itself as its name.
	repo oci.Repo
	gen  generation
	// key is where the mount's names stand in byte order: all names of a mount
	// start with it, and every name that does is the mount's. It is the
	// prefix, with a slash unless it is a single name or the root.
	key string
	// last is a name, of valid grammar, that no name of the mount sorts after.
	last oci.Repo
	// seen is the version of repo's index when a walk last looked whether it
	// exists: to ask for a change is cheaper than to read it.
	seen atomic.Pointer[oci.Version]
}

func newMount(prefix string, store oci.Store, repo oci.Repo, n uint64) *mount {
	m := &mount{prefix: prefix, store: store, repo: repo, gen: newGeneration(n), key: prefix}
	if repo != "" {
		m.last = oci.Repo(prefix)
		return m
	}
	if prefix != "" {
		m.key = prefix + "/"
	}
	m.last = oci.Repo(m.key + strings.Repeat("z", max(1, oci.MaxRepoLength-len(m.key))))
	return m
}

// name is what a repository of the store is called here.
func (m *mount) name(repo oci.Repo) oci.Repo {
	if m.repo != "" {
		return oci.Repo(m.prefix)
	}
	return oci.Repo(m.key) + repo
}

// table is one state of what is mounted where. It never changes: Router
// replaces it whole.
type table struct {
	root *mount
	// sorted is all others in byte order of their keys, no two of which are
	// equal. What is mounted below a mount follows it directly.
	sorted []*mount
}

// search returns where a mount with a key is, or would be.
func (t *table) search(key string) (int, bool) {
	return slices.BinarySearchFunc(t.sorted, key, func(m *mount, key string) int { return strings.Compare(m.key, key) })
}

// route finds the mount that a name belongs to, and its name there. A name
// that equals a prefix belongs to the parent: it has no name below.
func (t *table) route(repo oci.Repo) (*mount, oci.Repo) {
	name := string(repo)
	if len(t.sorted) == 0 {
		return t.root, repo
	}
	if i, ok := t.search(name); ok {
		return t.sorted[i], t.sorted[i].repo
	}
	for slash := strings.LastIndexByte(name, '/'); slash > 0; slash = strings.LastIndexByte(name[:slash], '/') {
		if i, ok := t.search(name[:slash+1]); ok {
			return t.sorted[i], oci.Repo(name[slash+1:])
		}
	}
	return t.root, repo
}

// stores lists every mount once per store: one store may stand at several
// prefixes.
func (t *table) stores() []*mount {
	seen := map[oci.Store]bool{t.root.store: true}
	all := []*mount{t.root}
	for _, m := range t.sorted {
		if !seen[m.store] {
			seen[m.store] = true
			all = append(all, m)
		}
	}
	return all
}
