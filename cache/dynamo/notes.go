package dynamo

import (
	"cmp"
	"maps"
	"slices"

	"berth/oci"
)

// maxNotes is how many notes wait at most; more are dropped.
const maxNotes = 4096

// notes are what is not written yet: by key, whether each repository holds the
// digest. A later note about the same takes the place of an earlier one. Their
// owner guards them.
type notes struct {
	byKey map[string]map[oci.Repo]note
	count int
	last  uint64
}

type note struct {
	gone   bool
	number uint64
}

// add makes a note; false: there is no room for it.
func (n *notes) add(key string, repo oci.Repo, gone bool) bool {
	about := n.byKey[key]
	if _, there := about[repo]; !there {
		if n.count == maxNotes {
			return false
		}
		n.count++
	}
	if about == nil {
		if n.byKey == nil {
			n.byKey = map[string]map[oci.Repo]note{}
		}
		about = map[oci.Repo]note{}
		n.byKey[key] = about
	}
	n.last++
	about[repo] = note{gone, n.last}
	return true
}

// some returns the notes about one key, to be written; false: there are none.
func (n *notes) some() (key string, about map[oci.Repo]note, ok bool) {
	for key, about := range n.byKey {
		return key, maps.Clone(about), true
	}
	return "", nil, false
}

// written forgets notes that were written and are the latest still.
func (n *notes) written(key string, done map[oci.Repo]note) {
	about := n.byKey[key]
	for repo, was := range done {
		if about[repo] == was {
			delete(about, repo)
			n.count--
		}
	}
	if len(about) == 0 {
		delete(n.byKey, key)
	}
}

// of returns the notes about a key.
func (n *notes) of(key string) map[oci.Repo]note { return maps.Clone(n.byKey[key]) }

// apply makes of what is written what holds with the notes about it: the
// latest last.
func apply(about map[oci.Repo]note, repos []oci.Repo) []oci.Repo {
	repos = slices.DeleteFunc(repos, func(r oci.Repo) bool {
		_, noted := about[r]
		return noted
	})
	var added []oci.Repo
	for repo, n := range about {
		if !n.gone {
			added = append(added, repo)
		}
	}
	slices.SortFunc(added, func(a, b oci.Repo) int { return cmp.Compare(about[a].number, about[b].number) })
	return append(repos, added...)
}
