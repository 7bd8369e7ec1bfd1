package store

import (
	"net/http"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
	"berth/s3lite/s3test"
)

// holds fails unless a lease is got, or not.
func holds(t *testing.T, what string, l *lease, want bool) {
	t.Helper()
	got, err := l.try(t.Context())
	if ok(t, err); got != want || l.held() != want {
		t.Fatalf("%s: got it: %v, held: %v", what, got, l.held())
	}
}

func TestLease(t *testing.T) {
	for name, conditions := range map[string]s3test.Conditions{"honest": s3test.Honest, "without conditions": s3test.Ignored} {
		t.Run(name, func(t *testing.T) {
			b, time := clockedBucket(t)
			b.SetConditions(conditions)
			first, second := b.sweeps(time), b.sweeps(time)
			for _, s := range []*Store{first, second} {
				if conditions == s3test.Honest {
					ok(t, s.ready(t.Context()))
				} else {
					s.about.Store(&standing{})
				}
			}
			one, two := first.newLease("gc", restoreLife), second.newLease("gc", restoreLife)
			holds(t, "the first", one, true)
			holds(t, "the second", two, false)
			for range 5 { // renewed in time
				time.advance(restoreLife / 2)
				holds(t, "the holder", one, true)
				holds(t, "the other", two, false)
			}
			time.advance(restoreLife * 5 / 6)
			if one.held() {
				t.Error("held without a margin")
			}
			holds(t, "too early", two, false)
			time.advance(restoreLife / 6)
			holds(t, "in time", two, true)
			holds(t, "the one that slept", one, false)
			ok(t, one.release(t.Context()))
			holds(t, "who has it still", two, true)
			ok(t, two.release(t.Context()))
			holds(t, "after it was given back", one, true)
		})
	}
}

// TestLeases runs the suite of all that give leases.
func TestLeases(t *testing.T) {
	ocitest.Leases(t, func(t *testing.T) ocitest.LeaseWorld {
		b, time := clockedBucket(t)
		return ocitest.LeaseWorld{Open: func() oci.Leaser { return b.sweeps(time) }, Pass: time.advance, Term: restoreLife}
	})
}

// TestDeleteBefore: a deletion that is held up on its way, or at a process that
// does not know of it, is refused, and one whose answer is lost is not told to be
// over.
func TestDeleteBefore(t *testing.T) {
	clock := newClock()
	b := strictBucket(t, s3test.Options{Now: clock.now})
	s := b.sweeps(clock)
	content := noise(1, chunk)
	d := push(t, s, "a", content)
	end := func() time.Time {
		t.Helper()
		end, err := s.PrepareDeletion(t.Context(), "a", []oci.Digest{d}, 5*time.Second)
		ok(t, err)
		return end
	}
	slow := b.intrude(s, isMethod("DELETE", "X-Amz-Expires"), func() { clock.advance(5*time.Second + lateness) })
	if err := slow.DeleteBlobsBefore(t.Context(), "a", []oci.Digest{d}, end()); err == nil {
		t.Error("a deletion that was held up succeeds")
	}
	reads(t, s, "a", content)
	// The client's own clock stands all the time, as that of a machine asleep.
	before := end()
	clock.advance(time.Hour)
	for _, awake := range []bool{false, true} {
		if awake {
			end() // the time is told once more
		}
		b.Reset()
		err := s.DeleteBlobsBefore(t.Context(), "a", []oci.Digest{d}, before)
		if sent := b.Count("DeleteObject") > 0; err == nil || sent == awake {
			t.Errorf("a deletion of an hour ago, the time being known: %v, sent: %v, %v", awake, sent, err)
		}
		reads(t, s, "a", content)
	}
	b.Fail(s3test.Fault{Op: "DeleteObject", Cut: true})
	if err := s.DeleteBlobsBefore(t.Context(), "a", []oci.Digest{d}, end()); err == nil {
		t.Error("a deletion whose answer was lost is told to be over")
	}
	ok(t, s.DeleteBlobsBefore(t.Context(), "a", []oci.Digest{d}, end()))
	_, err := s.StatBlob(t.Context(), "a", d)
	wants(t, "deleted", err, oci.ErrBlobUnknown)
	now, err := s.StoreTime(t.Context())
	if ok(t, err); now.Sub(clock.now()).Abs() > time.Minute {
		t.Errorf("the bucket's time is %v, ours %v", now, clock.now())
	}
}

// TestLeaseRace: of two that take a lease at the same time one gets it.
func TestLeaseRace(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	other := b.replica()
	ok(t, other.ready(t.Context()))
	two := other.newLease("gc", restoreLife)
	s := b.intrude(b.replica(), isMethod("PUT", "/leases/gc"), func() { holds(t, "the quicker", two, true) })
	ok(t, s.ready(t.Context()))
	holds(t, "the slower", s.newLease("gc", restoreLife), false)
	holds(t, "the quicker", two, true)
}

// TestSingleWriter: where the server keeps no conditions one process writes, and
// the others read and say why they do not write.
func TestSingleWriter(t *testing.T) {
	for name, conditions := range map[string]s3test.Conditions{"ignored": s3test.Ignored, "refused": s3test.Refused} {
		t.Run(name, func(t *testing.T) {
			b, time := clockedBucket(t)
			b.SetConditions(conditions)
			writer, reader := b.sweeps(time), b.sweeps(time)
			content := noise(1, chunk)
			d := push(t, writer, "a", content)
			_, v, err := writer.LoadIndex(t.Context(), "a", "")
			ok(t, err)
			now, err := writer.SwapIndex(t.Context(), "a", v, []byte(`{"manifests":[]}`))
			ok(t, err)
			_, err = writer.SwapIndex(t.Context(), "a", v, []byte(`{"manifests":null}`))
			wants(t, "an old version", err, oci.ErrConflict)
			reads(t, reader, "a", content)
			wants(t, "a second writer", reader.DeleteBlob(t.Context(), "a", d), oci.ErrUnavailable)
			_, err = reader.SwapIndex(t.Context(), "a", now, []byte(`{}`))
			wants(t, "a second writer", err, oci.ErrUnavailable)
			time.advance(writerLife / 2)
			ok(t, writer.PutBlob(t.Context(), "a", oci.SHA256.FromString("x"), []byte("x")))
			time.advance(writerLife / 2)
			wants(t, "too early", reader.DeleteBlob(t.Context(), "a", d), oci.ErrUnavailable)
			time.advance(writerLife)
			ok(t, reader.DeleteBlob(t.Context(), "a", d))
			wants(t, "the writer before", writer.PutBlob(t.Context(), "a", oci.SHA256.FromString("x"), []byte("x")), oci.ErrUnavailable)
		})
	}
}

// TestProbe: what a first write finds out.
func TestProbe(t *testing.T) {
	for name, foreign := range map[string]bool{"": false, "root/dir/.berth/uploads/x": false, "root/dir/a/index.json": true, "root/other": false} {
		b := newBucket(t, s3test.Options{})
		if name != "" {
			b.Put(name, []byte("x"), nil)
		}
		s := b.replica(func(o *Options) { o.Dedupe = false })
		ok(t, s.ready(t.Context()))
		for _, s := range []*Store{s, b.replica()} {
			ok(t, s.ready(t.Context()))
			if known := s.about.Load(); known.Foreign != foreign || !known.honest || known.Shared != s.opts.Dedupe {
				t.Errorf("beside %q the bucket is %+v", name, known)
			}
		}
	}
	b := newBucket(t, s3test.Options{})
	b.Put("root/dir/.berth/store.json", []byte(`{"version":2}`), nil)
	wants(t, "another version", b.replica().ready(t.Context()), oci.ErrUnavailable)
	b.Put("root/dir/.berth/store.json", []byte(`{"version":1}`), nil)
	b.Fail(s3test.Fault{Op: "PutObject", Status: http.StatusForbidden, Code: "AccessDenied"})
	s := b.replica()
	wants(t, "refused", s.ready(t.Context()), oci.ErrUnavailable)
	ok(t, s.ready(t.Context()))
}
