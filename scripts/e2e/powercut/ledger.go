package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"berth/e2e/fixture"
	"berth/e2e/wire"
)

// ledger is what clients were told, and so what a power cut may leave.
type ledger struct {
	durable bool // what is acknowledged must survive

	mu   sync.Mutex // guards tags and told
	tags map[string]*entry
	told int
}

// entry is one tag. A nil node stands for its absence.
type entry struct {
	repo, tag string
	owner     int             // the only worker that changes it
	may       []*fixture.Node // what it may be after a cut
	now       *fixture.Node   // what it is, as far as is known
}

func newLedger(durable bool) *ledger { return &ledger{durable: durable, tags: map[string]*entry{}} }

// begin notes that a tag is about to become n.
func (l *ledger) begin(owner int, repo, tag string, n *fixture.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.tags[repo+":"+tag]
	if e == nil {
		e = &entry{repo: repo, tag: tag, owner: owner, may: []*fixture.Node{nil}}
		l.tags[repo+":"+tag] = e
	}
	e.may = append(e.may, n)
}

// acknowledge notes that the registry says that a tag is n.
func (l *ledger) acknowledge(repo, tag string, n *fixture.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told++
	e := l.tags[repo+":"+tag]
	e.now = n
	if l.durable {
		e.may = []*fixture.Node{n}
	}
}

// acknowledged is the number of pushes and deletes that were.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// owned lists what an owner's tags are known to be, in a fixed order.
func (l *ledger) owned(owner int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []entry
	for _, name := range slices.Sorted(maps.Keys(l.tags)) {
		if e := l.tags[name]; e.owner == owner && e.now != nil {
			all = append(all, *e)
		}
	}
	return all
}

// findings is what was seen after a cut.
type findings struct {
	Manifests int // pulled whole
	Blobs     int // pulled with them: configurations and layers
	Missing   int // acknowledged and not there; a failure where it must survive
}

func (f *findings) add(g findings) {
	f.Manifests += g.Manifests
	f.Blobs += g.Blobs
	f.Missing += g.Missing
}

// check pulls everything that may be there. Every error is a failure: something
// that was acknowledged is gone, or what is served is not what it should be.
func (l *ledger) check(c *wire.Client) (findings, error) {
	var found findings
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(l.tags)) {
		if err := l.checkTag(c, l.tags[name], &found); err != nil {
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}

func (l *ledger) checkTag(c *wire.Client, e *entry, found *findings) error {
	path := wire.ManifestPath(e.repo, e.tag)
	a, err := c.Try(wire.Request{Method: "GET", Path: path, Header: map[string]string{"Accept": wire.Accept}})
	if err != nil {
		return err
	}
	was := e.now
	e.now = nil
	switch a.Status {
	case http.StatusNotFound:
		if !slices.Contains(e.may, nil) {
			return fmt.Errorf("LOST: %s:%s was acknowledged and is not there", e.repo, e.tag)
		}
		if was != nil && !l.durable {
			found.Missing++
		}
	case http.StatusOK:
		for _, n := range e.may {
			if n != nil && string(a.Body) == string(n.Content) {
				e.now = n
			}
		}
		if e.now == nil {
			return fmt.Errorf("WRONG: %s:%s is what it cannot be:\n%s", e.repo, e.tag, a.Body)
		}
	default:
		return fmt.Errorf("GET %s: status %d: %s", path, a.Status, a.Body)
	}
	return l.checkContent(c, e, found)
}

// checkContent pulls the images of a tag by digest: all of the present one, and
// without commit also what there is of those that it was before.
func (l *ledger) checkContent(c *wire.Client, e *entry, found *findings) error {
	if l.durable {
		e.may = []*fixture.Node{e.now}
	}
	for _, n := range e.may {
		if n == nil {
			continue
		}
		whole := true
		for _, part := range n.All() {
			there, err := fetch(c, e.repo, part)
			if err != nil {
				return err
			}
			switch {
			case !there && l.durable:
				return fmt.Errorf("LOST: %s of %s:%s is not there", part.Desc.Digest, e.repo, e.tag)
			case !there:
				whole = false
			case !part.IsManifest():
				found.Blobs++
			}
		}
		if whole {
			found.Manifests++
		} else if n == e.now {
			found.Missing++ // the tag leads to an image that is not whole
			e.now = nil
		}
	}
	return nil
}

// fetch pulls one node by its digest and compares all of it. A node that is not
// there is no error.
func fetch(c *wire.Client, repo string, n fixture.Node) (bool, error) {
	r := wire.Request{Method: "GET", Path: wire.BlobPath(repo, n.Desc.Digest)}
	if n.IsManifest() {
		r.Path = wire.ManifestPath(repo, n.Desc.Digest.String())
		r.Header = map[string]string{"Accept": wire.Accept}
	}
	a, err := c.Try(r)
	switch {
	case err != nil:
		return false, err
	case a.Status == http.StatusNotFound:
		return false, nil
	case a.Status != http.StatusOK:
		return false, fmt.Errorf("GET %s: status %d: %s", r.Path, a.Status, a.Body)
	case string(a.Body) != string(n.Content):
		return false, fmt.Errorf("WRONG: GET %s: %d bytes came, not the %d of that digest", r.Path, len(a.Body), len(n.Content))
	}
	return true, nil
}
