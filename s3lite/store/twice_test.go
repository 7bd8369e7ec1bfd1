package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// actor is a process that does something, one request after the other, each when
// it is told to.
type actor struct {
	turn    chan struct{} // it may send the next one
	waits   chan struct{} // it is about to send one
	ended   chan error
	outcome error
	over    bool
}

// acts begins what a process does, up to before its first request.
func (b *bucket) acts(do func(*Store) error, change ...func(*Options)) *actor {
	b.t.Helper()
	a := &actor{turn: make(chan struct{}), waits: make(chan struct{}), ended: make(chan error, 1)}
	s := b.replica(append(change, func(o *Options) {
		o.CopyConcurrency = 1
		o.Client = b.clientWith(func(*http.Request) {
			a.waits <- struct{}{}
			<-a.turn
		})
	})...)
	go func() { a.ended <- do(s) }()
	a.await()
	return a
}

// await returns when the actor wants to send a request, or has ended.
func (a *actor) await() {
	select {
	case <-a.waits:
	case a.outcome = <-a.ended:
		a.over = true
	}
}

// step lets it send so many requests at most; it tells how many there were.
func (a *actor) step(most int) (n int) {
	for ; n < most && !a.over; n++ {
		a.turn <- struct{}{}
		a.await()
	}
	return n
}

// all is more requests than anything takes.
const all = 1000

// TestFinishTwice: of two processes that finish an upload at the same time, at
// whatever steps of theirs, each is told that it is done, or that the session has
// gone on without it, and the blob is there.
func TestFinishTwice(t *testing.T) {
	for _, c := range []struct {
		size, rest int
		dedupe     bool
	}{
		{1000, 0, true}, {chunk - 1, 0, true}, {chunk - 1, 500, false}, {5 * chunk / 2, 0, true}, {5 * chunk / 2, 500, false},
	} {
		t.Run(fmt.Sprintf("%d bytes, %d of them last, dedupe %v", c.size, c.rest, c.dedupe), func(t *testing.T) {
			finishTwice(t, noise(12, c.size), c.rest, c.dedupe)
		})
	}
}

// stride leaves out steps of the second process, other ones for each of the first.
const stride = 5

// finishTwice finishes an upload of content by two requests with the last bytes of
// it, at all steps of the one and some of the other.
func finishTwice(t *testing.T, content []byte, rest int, dedupe bool) {
	b := newBucket(t, s3test.Options{})
	plain := b.replica()
	d, at := oci.SHA256.FromBytes(content), len(content)-rest
	change := func(o *Options) { o.Dedupe = dedupe }
	for first, end := 0, false; !end; first++ {
		for second, done := first%stride, false; !done; second += stride {
			repo := oci.Repo(fmt.Sprintf("r%d/%d", first, second))
			id, err := plain.CreateUpload(t.Context(), repo, oci.SHA256)
			ok(t, err)
			_, err = plain.AppendUpload(t.Context(), repo, id, 0, bytes.NewReader(content[:at]))
			ok(t, err)
			finish := func(s *Store) error {
				var body io.Reader
				if rest > 0 {
					body = bytes.NewReader(content[at:])
				}
				_, err := s.FinishUpload(t.Context(), repo, id, d, int64(at), body)
				return err
			}
			one, two := b.acts(finish, change), b.acts(finish, change)
			one.step(first)
			end = one.over
			two.step(second)
			done = two.over
			one.step(all)
			two.step(all)
			checkTwice(t, fmt.Sprintf("%s, after %d and %d requests", repo, first, second), one.outcome, two.outcome)
			reads(t, plain, repo, content)
			b.left(t)
			ok(t, plain.DeleteBlob(t.Context(), repo, d))
		}
	}
}

func checkTwice(t *testing.T, when string, outcomes ...error) {
	t.Helper()
	done := 0
	for _, err := range outcomes {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, oci.ErrUploadUnknown) && !errors.Is(err, oci.ErrRangeInvalid):
			t.Errorf("%s: %v", when, err)
		}
	}
	if done == 0 {
		t.Errorf("%s: neither was done: %v", when, outcomes)
	}
}
