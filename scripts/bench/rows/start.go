package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/bench/client"
	"berth/bench/peer"
	"berth/bench/report"
)

const (
	manyRepos   = 2000
	catalogPage = 100
	traceTime   = 2 * time.Second // a start is traced for so long: also what it does later counts
	allowedMore = 2               // calls on 2,000 repositories more than on one that are no walk yet
)

// begun is one start over existing repositories, in seconds.
type begun struct{ first, catalog float64 }

// traced counts what a start did below the store's root.
type traced struct{ opened, listed int }

// start measures starts over 2,000 repositories.
func start(e *Env) ([]report.Line, error) {
	const work = "start over 2,000 repositories"
	first := report.Line{Work: work, Measure: "exec to first manifest", Target: "≤ 100 ms"}
	catalog := report.Line{Work: work, Measure: "first catalog page, 100 names", Target: "< 20 ms"}
	walk := report.Line{Work: work, Measure: "opened, listed below the root", Target: "as with one repository"}
	for _, k := range e.only(peer.Berth, peer.Docker) {
		dir, err := e.seeded(k, manyRepos)
		if err != nil {
			return nil, err
		}
		firstTimes, catalogTimes, err := e.starts(k, dir)
		if err != nil {
			return nil, err
		}
		firstCell, catalogCell := report.Milliseconds(median(firstTimes)), report.Milliseconds(median(catalogTimes))
		if k == peer.Docker {
			first.Docker, catalog.Docker = firstCell, catalogCell
		} else {
			first.Berth, first.Verdict = firstCell, report.Judge(median(firstTimes) <= 0.1)
			catalog.Berth, catalog.Verdict = catalogCell, report.Judge(median(catalogTimes) < 0.02)
			if err := e.walks(&walk, dir); err != nil {
				return nil, err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return []report.Line{first, walk, catalog}, nil
}

func repoName(n int) string { return fmt.Sprintf("fleet/site-%04d/app", n) }

// seeded makes a folder whose data holds so many repositories.
func (e *Env) seeded(k peer.Kind, repos int) (dir string, err error) {
	c, err := e.config(k, options{})
	if err != nil {
		return "", err
	}
	s, err := peer.Start(c)
	if err != nil {
		return "", err
	}
	image := client.SmallImage()
	err = s.SeedManifest(repoName(0), tagName(0), image, 0)
	if err == nil {
		_, err = client.Load{Addr: s.Addr, Clients: 4, Ops: repos - 1, Op: func(c *client.Conn, n int) error {
			return mountImage(c, repoName(n+1), image)
		}}.Run()
	}
	return c.Dir, errors.Join(err, s.Stop())
}

// mountImage makes a repository of blobs that the first one has.
func mountImage(c *client.Conn, repo string, image client.Image) error {
	for _, b := range []client.Blob{image.Config, image.Layer} {
		if err := c.MountBlob(repo, repoName(0), b); err != nil {
			return err
		}
	}
	return c.PushManifest(repo, tagName(0), image.Manifest(0))
}

// starts starts a server again and again.
func (e *Env) starts(k peer.Kind, dir string) (first, catalog []float64, err error) {
	for range e.Rounds {
		b, _, err := e.startOnce(k, options{dir: dir})
		if err != nil {
			return nil, nil, err
		}
		e.Say("  %-15s first manifest %s, catalog %s", k, report.Milliseconds(b.first), report.Milliseconds(b.catalog))
		first, catalog = append(first, b.first), append(catalog, b.catalog)
	}
	return first, catalog, nil
}

// startOnce starts a server and gets a manifest as soon as it can be had. Then
// it gets a page of the catalog, or, where the server is traced, leaves it alone
// for a moment.
func (e *Env) startOnce(k peer.Kind, o options) (begun, *peer.Server, error) {
	c, err := e.config(k, o)
	if err != nil {
		return begun{}, nil, err
	}
	s, err := peer.Launch(c)
	if err != nil {
		return begun{}, nil, err
	}
	conn := client.New(s.Addr)
	defer conn.Close()
	b := begun{}
	err = s.Await(func() error {
		return expect(conn, client.GetManifest(repoName(0), tagName(0)), int64(len(client.SmallImage().Manifest(0))))
	})
	b.first = time.Since(s.Started).Seconds()
	switch {
	case err != nil:
	case o.wrap != nil:
		time.Sleep(traceTime)
	default:
		b.catalog, err = firstPage(conn)
	}
	return b, s, errors.Join(err, s.Stop())
}

// firstPage times the catalog's first page and checks what is on it.
func firstPage(c *client.Conn) (seconds float64, err error) {
	begin := time.Now()
	status, body, err := c.Fetch(client.Head("GET", fmt.Sprintf("/v2/_catalog?n=%d", catalogPage), -1))
	seconds = time.Since(begin).Seconds()
	if err != nil {
		return 0, err
	}
	var page struct{ Repositories []string }
	if err := json.Unmarshal(body, &page); err != nil {
		return 0, fmt.Errorf("catalog: status %d: %w", status, err)
	}
	if len(page.Repositories) != catalogPage || page.Repositories[0] != repoName(0) {
		return 0, fmt.Errorf("catalog: status %d, %d names, not %d from %q on", status, len(page.Repositories), catalogPage, repoName(0))
	}
	return seconds, nil
}

// walks compares what a start does to the store with 2,000 repositories and
// with one.
func (e *Env) walks(l *report.Line, many string) error {
	one, err := e.seeded(peer.Berth, 1)
	if err != nil {
		return err
	}
	few, err := e.trace(one)
	if err != nil {
		return err
	}
	all, err := e.trace(many)
	if err != nil {
		return err
	}
	l.Berth = fmt.Sprintf("%d, %d", all.opened, all.listed)
	l.Ratio = fmt.Sprintf("one: %d, %d", few.opened, few.listed)
	l.Verdict = report.Judge(all.opened <= few.opened+allowedMore && all.listed <= few.listed+allowedMore)
	return os.RemoveAll(one)
}

// trace starts berth under strace, without the catalog's page, and counts.
func (e *Env) trace(dir string) (traced, error) {
	file := filepath.Join(dir, "trace")
	wrap := []string{"strace", "-f", "-qq", "-y", "-e", "trace=openat,getdents64", "-o", file}
	_, s, err := e.startOnce(peer.Berth, options{dir: dir, wrap: wrap})
	if err != nil {
		return traced{}, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return traced{}, err
	}
	var t traced
	for line := range strings.Lines(string(content)) {
		switch {
		case !strings.Contains(line, s.Data()):
		case strings.Contains(line, "openat("):
			t.opened++
		case strings.Contains(line, "getdents64("):
			t.listed++
		}
	}
	return t, nil
}
