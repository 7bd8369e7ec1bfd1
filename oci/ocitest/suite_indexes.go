package ocitest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"berth/oci"
)

func (s suite) indexes(t *testing.T) {
	s.run(t, map[string]func(*testing.T, *helper){
		"the first index makes the repository": indexFirst,
		"swap and load":                        indexSwap,
		"swap keeps its own copy":              indexCopies,
		"an old version is a conflict":         indexConflict,
		"beside blobs":                         indexBlobs,
		"no update is lost":                    indexRace,
		"one of many makes the repository":     indexCreateRace,
		"indexes are separate":                 indexSeparate,
	})
}

func (s suite) repos(t *testing.T) {
	s.run(t, map[string]func(*testing.T, *helper){
		"order of names":                    reposOrder,
		"walk ends at an error":             reposEnd,
		"none":                              func(t *testing.T, h *helper) { same(t, "catalog", h.catalog(""), "") },
		"delete of an empty one":            reposDelete,
		"delete of one that holds anything": reposDeleteFull,
		"delete beside others":              reposDeleteNested,
		"delete beside pushes":              reposDeleteRace,
	})
}

func indexFirst(t *testing.T, h *helper) {
	_, _, err := h.LoadIndex(h.ctx(), "a/b", "")
	h.is(err, oci.ErrNameUnknown)
	_, err = h.SwapIndex(h.ctx(), "a/b", "some version", emptyIndex("x"))
	h.is(err, oci.ErrConflict)
	same(t, "catalog", h.catalog(""), "")
	v, err := h.SwapIndex(h.ctx(), "a/b", "", emptyIndex("one"))
	h.ok(err)
	if v == "" {
		t.Fatal("the version is the zero one")
	}
	h.indexed("a/b", emptyIndex("one"))
	same(t, "catalog", h.catalog(""), "a/b")
	_, err = h.SwapIndex(h.ctx(), "a/b", "", emptyIndex("two"))
	h.is(err, oci.ErrConflict)
	h.indexed("a/b", emptyIndex("one"))
}

func indexSwap(t *testing.T, h *helper) {
	v, err := h.SwapIndex(h.ctx(), "a", "", emptyIndex("-"))
	h.ok(err)
	for i := range 20 {
		data, now, err := h.LoadIndex(h.ctx(), "a", v)
		h.ok(err)
		if data != nil || now != v {
			t.Fatalf("swap returned version %q, load %q and %d bytes", v, now, len(data))
		}
		// The same size, written at once: versions have to tell them apart.
		next := emptyIndex(strconv.Itoa(i % 10))
		v, err = h.SwapIndex(h.ctx(), "a", v, next)
		h.ok(err)
		data, v2, err := h.LoadIndex(h.ctx(), "a", now)
		h.ok(err)
		same(t, "index", string(data), string(next))
		same(t, "version", v2, v)
		if v == now {
			t.Fatalf("two states have version %q", v)
		}
	}
}

func indexCopies(t *testing.T, h *helper) {
	data := emptyIndex("one")
	_, err := h.SwapIndex(h.ctx(), "a", "", data)
	h.ok(err)
	clear(data)
	h.indexed("a", emptyIndex("one"))
}

func indexConflict(t *testing.T, h *helper) {
	one, err := h.SwapIndex(h.ctx(), "a", "", emptyIndex("one"))
	h.ok(err)
	two, err := h.SwapIndex(h.ctx(), "a", one, emptyIndex("two"))
	h.ok(err)
	for _, old := range []oci.Version{one, "", "other"} {
		_, err = h.SwapIndex(h.ctx(), "a", old, emptyIndex("three"))
		h.is(err, oci.ErrConflict)
	}
	h.indexed("a", emptyIndex("two"))
	same(t, "version", h.version("a"), two)
}

func indexBlobs(t *testing.T, h *helper) {
	d := h.put("a", "content")
	if data, _, err := h.LoadIndex(h.ctx(), "a", ""); !errors.Is(err, oci.ErrNameUnknown) {
		h.ok(err)
		x, err := oci.ParseIndex(data)
		h.ok(err)
		same(t, "entries", x.Len(), 0)
	}
	_, err := h.SwapIndex(h.ctx(), "a", h.version("a"), emptyIndex("one"))
	h.ok(err)
	h.indexed("a", emptyIndex("one"))
	h.holds("a", d, "content")
	h.ok(h.DeleteBlob(h.ctx(), "a", d))
	h.indexed("a", emptyIndex("one"))
	_, err = h.SwapIndex(h.ctx(), "b", "", emptyIndex("one"))
	h.ok(err)
	h.put("b", "content")
	h.indexed("b", emptyIndex("one"))
}

func indexRace(t *testing.T, h *helper) {
	const writers, rounds = 6, 10
	_, err := h.SwapIndex(h.ctx(), "a", "", emptyIndex("0"))
	h.ok(err)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range rounds {
				if err := h.increment("a"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	h.indexed("a", emptyIndex(strconv.Itoa(writers*rounds)))
}

// increment counts up the number in an index's annotation.
func (h *helper) increment(repo oci.Repo) error {
	for {
		data, v, err := h.LoadIndex(h.ctx(), repo, "")
		if err != nil {
			return err
		}
		n := strings.Split(string(data), `"`)
		count, err := strconv.Atoi(n[len(n)-2])
		if err != nil {
			return fmt.Errorf("index is %s: %w", data, err)
		}
		_, err = h.SwapIndex(h.ctx(), repo, v, emptyIndex(strconv.Itoa(count+1)))
		if !errors.Is(err, oci.ErrConflict) {
			return err
		}
	}
}

func indexCreateRace(t *testing.T, h *helper) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards winners
	var winners []string
	for i := range 8 {
		wg.Go(func() {
			_, err := h.SwapIndex(h.ctx(), "a", "", emptyIndex(strconv.Itoa(i)))
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, strconv.Itoa(i))
			case !errors.Is(err, oci.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "winners", len(winners), 1)
	h.indexed("a", emptyIndex(winners[0]))
}

func indexSeparate(t *testing.T, h *helper) {
	for _, repo := range []oci.Repo{"a", "a/b", "a/b/c", "a-b"} {
		_, err := h.SwapIndex(h.ctx(), repo, "", emptyIndex(string(repo)))
		h.ok(err)
	}
	for _, repo := range []oci.Repo{"a", "a/b", "a/b/c", "a-b"} {
		h.indexed(repo, emptyIndex(string(repo)))
	}
}

// awkwardNames are repositories whose names are those of a layout's own files,
// or sort otherwise by component than as a whole.
func awkwardNames() []string {
	return []string{
		"a", "a-b", "a.b", "a/b", "a/blobs", "a/blobs/sha256", "a/index.json", "a/oci-layout",
		"a--b", "a0", "a/b-c", "a/b/c", "a/b.c", "a/b0", "a_b", "a__b", "b", "blobs", "index.json",
		"oci-layout", "uploads", "z/y/x/w/v", "0", "a/0", "ab", "ab/c", "a-b/c", "a.b/c",
	}
}

func reposOrder(t *testing.T, h *helper) {
	names := awkwardNames()
	for i, name := range names {
		if i%2 == 0 {
			h.put(oci.Repo(name), "content of "+name)
			continue
		}
		_, err := h.SwapIndex(h.ctx(), oci.Repo(name), "", emptyIndex(name))
		h.ok(err)
		h.put(oci.Repo(name), "content of "+name)
	}
	slices.Sort(names)
	same(t, "catalog", h.catalog(""), strings.Join(names, " "))
	for i, name := range names {
		h.holds(oci.Repo(name), oci.SHA256.FromString("content of "+name), "content of "+name)
		same(t, "blobs", len(h.list(oci.Repo(name))), 1)
		same(t, "catalog after "+name, h.catalog(oci.Repo(name)), strings.Join(names[i+1:], " "))
	}
	for _, after := range []string{"a/a", "a/b/0", "a/bb", "a/b/c/d", "a-", "a.", "aa", "a/blobs/sha", "c", "zz"} {
		from := slices.IndexFunc(names, func(n string) bool { return n > after })
		want := ""
		if from >= 0 {
			want = strings.Join(names[from:], " ")
		}
		same(t, "catalog after "+after, h.catalog(oci.Repo(after)), want)
	}
}

func reposEnd(t *testing.T, h *helper) {
	for _, name := range []oci.Repo{"a", "b", "c/d", "c/e"} {
		h.put(name, "content")
	}
	var seen []string
	h.is(h.WalkRepos(h.ctx(), "a", func(r oci.Repo) error {
		if seen = append(seen, string(r)); len(seen) == 2 {
			return errBroken
		}
		return nil
	}), errBroken)
	same(t, "seen", strings.Join(seen, " "), "b c/d")
}
