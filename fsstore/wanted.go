package fsstore

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"berth/oci"
)

const (
	wantedKept  = 256              // how many blobs are remembered
	wantedFor   = 10 * time.Minute // for how long
	wantedTried = 32               // how many are compared with one upload
)

// wanted remembers the blobs that were looked for in a repository and not
// found: a client that pushes asks first, so an upload that does not tell its
// digest is likely to be one of them.
type wanted struct {
	mu   sync.Mutex // guards what follows
	last []want     // a ring
	next int
}

type want struct {
	repo   oci.Repo
	digest oci.Digest
	at     time.Time
}

func (w *wanted) add(repo oci.Repo, d oci.Digest, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.last {
		if w.last[i].digest == d && w.last[i].repo == repo {
			w.last[i].at = at
			return
		}
	}
	one := want{oci.Repo(strings.Clone(string(repo))), oci.Digest(strings.Clone(string(d))), at}
	if len(w.last) < wantedKept {
		w.last = append(w.last, one)
		return
	}
	w.last[w.next] = one
	w.next = (w.next + 1) % wantedKept
}

// of lists what was looked for in a repository, the latest first.
func (w *wanted) of(repo oci.Repo, now time.Time) (digests []oci.Digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.last {
		one := w.last[(w.next+len(w.last)-1-i)%len(w.last)]
		if one.repo == repo && now.Sub(one.at) < wantedFor && len(digests) < wantedTried {
			digests = append(digests, one.digest)
		}
	}
	return digests
}

// missed notes that a blob was looked for in vain.
func (s *Store) missed(repo oci.Repo, d oci.Digest) {
	if s.dedupe.on && s.dedupe.locations != nil {
		s.dedupe.wanted.add(repo, d, s.now())
	}
}

// recognise reads the beginning of a body whose digest is not known. Where it
// is that of a wanted blob which the root holds, the session gets a loan of
// that. The body that it returns begins at the beginning again; what it has
// read lies in buffer.
func (s *Store) recognise(ctx context.Context, one *session, r io.Reader, buffer []byte) io.Reader {
	digests := s.dedupe.wanted.of(one.repo, s.now())
	if len(digests) == 0 || s.dedupe.refused.Load() {
		return r
	}
	n, failed := fill(r, buffer)
	body := &begun{first: buffer[:n], failed: failed, rest: r}
	if failed != nil {
		return body // a short one costs less than to look
	}
	for _, d := range digests {
		if ctx.Err() != nil || one.cancelled.Load() {
			break
		}
		if !s.holdsBeginning(ctx, one.repo, d, body) {
			continue
		}
		l := s.borrow(ctx, one.repo, d, -1)
		if l != nil && l.info.Size >= body.Remaining() && s.equals(l, 0, body.first) {
			one.loan = l
			break
		}
		s.giveBack(l)
	}
	return body
}

// holdsBeginning reports whether a repository has the blob d, and that begins
// like the body.
func (s *Store) holdsBeginning(ctx context.Context, repo oci.Repo, d oci.Digest, body *begun) bool {
	for _, holder := range s.holders(ctx, repo, d) {
		c, err := s.openBlob(ctx, holder, d)
		if err != nil {
			continue
		}
		fits := c.info.Size >= body.Remaining() && s.equals(&loan{f: c.f}, 0, body.first)
		c.Close()
		return fits
	}
	return false
}

// begun is a body whose beginning was read.
type begun struct {
	first  []byte
	failed error // what comes after first, when not nil
	rest   io.Reader
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		if b.failed != nil {
			return 0, b.failed
		}
		return b.rest.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// Remaining is oci.Remaining.
func (b *begun) Remaining() int64 {
	if left := knownSize(b.rest); left >= 0 {
		return left + int64(len(b.first))
	}
	return -1
}
