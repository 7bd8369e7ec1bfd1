package gc

import (
	"context"
	"errors"
	"time"

	"berth/oci"
)

// What is different where other processes write to the store: one of them
// collects at a time, the store's own clock tells ages, blobs go in larger
// batches, since each costs an announcement, and what lost its tag at another
// process is kept for the delay by having been seen.

const (
	// leaseName is the lease of the process that collects.
	leaseName = "gc"
	// leaseTerm is how long a process that collects may be silent.
	leaseTerm = 5 * time.Minute
	// sharedBlobsPerTurn is how many blobs are announced at once: so many that a
	// store which takes 0.2 s for each of a few at a time is done before the end.
	sharedBlobsPerTurn = 150
	// clocksDiffer is how much older than the delay something has to be where
	// it is not known what the clock shows that dates it.
	clocksDiffer = 15 * time.Minute
	// leastUnused is for how long at least nobody has used a session that is
	// ended: while a body comes at another process, the store may show a sign of
	// that each minute only.
	leastUnused = 5 * time.Minute
	// mostOrphans bounds how many manifests are remembered: about 200 bytes
	// each.
	mostOrphans = 20_000
)

// unused tells whether nobody has used a session for so long that it is ended.
func (r *round) unused(u oci.UploadInfo) bool {
	if r.isShared(u.Repo) && !r.oldBy(u.Modified, leastUnused) {
		return false
	}
	return r.old(u.Modified)
}

// errLost: another process may collect by now.
var errLost = errors.New("the lease was lost")

// isShared tells whether other processes write to a repository of the store.
func (c *Collector) isShared(repo oci.Repo) bool {
	if s, ok := c.opts.Store.(oci.Shared); ok {
		_, shared := s.Shared(repo)
		return shared
	}
	return false
}

// elect makes this process the one that collects, until release is called. The
// context that it returns ends with errLost when it is that no longer. Errors:
// ErrConflict where another one is.
func (c *Collector) elect(ctx context.Context) (elected context.Context, release func(), err error) {
	leaser, ok := c.opts.Store.(oci.Leaser)
	if !ok {
		return ctx, func() {}, nil
	}
	lease, err := leaser.Lease(ctx, leaseName, leaseTerm)
	if err != nil {
		return nil, nil, err
	}
	elected, end := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		ticker := time.NewTicker(leaseTerm / 3)
		defer ticker.Stop()
		hold(elected, lease, ticker.C, end)
	}()
	return elected, func() {
		end(nil)
		<-over
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			c.log.Warn("other processes collect no garbage for a while: the lease could not be given back", "error", err)
		}
	}, nil
}

// hold renews a lease at each tick until ctx ends, and ends it where it is lost.
func hold(ctx context.Context, lease oci.Lease, ticks <-chan time.Time, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		if err := lease.Renew(ctx); errors.Is(err, oci.ErrConflict) || lease.Lost() {
			end(errLost)
			return
		}
	}
}

// dating is what the clock shows by which the store dates what it holds.
type dating struct {
	theirs, ours time.Time     // of the same moment; zero: the clock is ours
	unsure       time.Duration // by how much it may be otherwise
}

// setClock asks the store what time it is.
func (c *Collector) setClock(ctx context.Context) error {
	c.dating = dating{}
	clock, ok := c.opts.Store.(oci.Clock)
	if !ok {
		if _, shared := c.opts.Store.(oci.Shared); shared {
			c.dating.unsure = clocksDiffer
		}
		return nil
	}
	theirs, err := clock.StoreTime(ctx)
	c.dating = dating{theirs: theirs, ours: c.now()}
	return err
}

// present is the time by the clock that dates what the store holds.
func (c *Collector) present() time.Time {
	if c.dating.theirs.IsZero() {
		return c.now()
	}
	return c.dating.theirs.Add(c.now().Sub(c.dating.ours))
}

// orphans are manifests of a repository that nothing holds, with the time when
// that was first seen.
type orphans map[oci.Digest]time.Time

// orphaned notes that nothing holds a manifest, and tells whether that is so
// for long enough. Where one process has the store its registry knows that.
func (m *marker) orphaned(d oci.Digest) bool {
	if !m.shared || m.c.opts.Offline {
		return true
	}
	since, known := m.c.orphans[m.repo][d]
	if !known {
		since = m.c.now()
	}
	m.orphans[d] = since
	return m.c.now().Sub(since) >= m.c.opts.Delay
}

// A client may have been told by another process that a manifest is there, as the
// last thing before it goes, and push an index next that names it. Where indexes
// may name what is not there, nobody could see that something is missing. So the
// content stays for the delay when its entry goes: what is there and has no entry
// is to be pushed again (Registry.PushManifest). For this the content is dated
// anew before, and no sweep deletes what was an entry when it began, or since.

// preserve dates the content of manifests anew that are about to go from the
// index, unless it did lately. That takes long where they are many, so it is no
// part of a turn: the index of a repository that is in use would be another one
// by then, each time.
func (s *sweep) preserve(ctx context.Context, manifests []oci.Digest) error {
	if !s.shared {
		return nil
	}
	for _, d := range manifests {
		if s.isPreserved(d) {
			continue
		}
		at := s.now()
		there, err := s.marker.read(ctx, d, true)
		if there {
			err = s.opts.Store.PutBlob(ctx, s.repo, d, s.marker.buffer.Bytes())
		}
		// Who has no space left for it needs the space, and pushes nothing. And
		// nobody was told of what is damaged.
		if err != nil && !errors.Is(err, oci.ErrStorageFull) && !errors.Is(err, errOpaque) {
			return err
		}
		s.preserved[d] = at
		if err := s.Step(ctx, int64(s.marker.buffer.Len())); err != nil {
			return err
		}
	}
	return nil
}

// isPreserved tells whether a manifest's content was dated anew so lately that it
// stays for most of the delay.
func (s *sweep) isPreserved(d oci.Digest) bool {
	at, ok := s.preserved[d]
	return ok && s.now().Sub(at) < max(s.opts.Delay/4, time.Minute)
}

// keepOrphans remembers the orphans of a repository that was looked through.
func (c *Collector) keepOrphans(repo oci.Repo, found orphans) {
	c.orphanCount -= len(c.orphans[repo])
	delete(c.orphans, repo)
	if len(found) == 0 || c.orphanCount+len(found) > mostOrphans {
		return // those that do not fit wait for the others to go
	}
	c.orphans[repo] = found
	c.orphanCount += len(found)
}
