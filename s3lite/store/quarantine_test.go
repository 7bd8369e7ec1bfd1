package store

import (
	"fmt"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// TestQuarantineShared: damage of shared content concerns all that refer to it,
// and who pushes it again heals them, at any replica, for good.
func TestQuarantineShared(t *testing.T) {
	b, time := clockedBucket(t)
	s := b.sweeps(time)
	content := noise(1, chunk)
	d := push(t, s, "a", content)
	ok(t, s.LinkBlob(t.Context(), "a", "b", d))
	ok(t, s.ensure(t.Context(), "c"))
	key := "root/dir/.berth/content/sha256/" + d.Encoded()
	q, err := s.QuarantineBlob(t.Context(), "a", d, "a mistake")
	if ok(t, err); !q.Sound {
		t.Fatalf("sound content: %+v", q)
	}
	wrong := noise(2, chunk)
	b.Put(key, wrong, nil)
	q, err = s.QuarantineBlob(t.Context(), "a", d, "rot")
	if ok(t, err); q.Sound || fmt.Sprint(q.Repos) != "[a b]" || len(q.Healed) > 0 {
		t.Fatalf("damaged content: %+v", q)
	}
	if aside, _ := b.Object("root/dir/.berth/quarantine/sha256/" + d.Encoded()); string(aside.Data) != string(wrong) {
		t.Error("the damaged content is not kept")
	}
	other := b.sweeps(time)
	for _, repo := range []oci.Repo{"a", "b"} {
		_, err = other.StatBlob(t.Context(), repo, d)
		wants(t, "damaged", err, oci.ErrBlobUnknown)
		reason, err := other.QuarantineReason(t.Context(), repo, d)
		if ok(t, err); reason != "rot" {
			t.Errorf("reason is %q", reason)
		}
	}
	sweep(t, s)
	push(t, other, "c", content)
	for _, repo := range []oci.Repo{"a", "b", "c"} {
		reads(t, b.replica(), repo, content)
	}
	time.advance(soughtAgain)
	sweep(t, s)
	ok(t, other.DeleteBlob(t.Context(), "c", d))
	for _, repo := range []oci.Repo{"a", "b"} {
		if h, err := s.look(t.Context(), repo, d); err != nil || !h.shared {
			t.Errorf("%s was not given a reference: %+v, %v", repo, h, err)
		}
		reads(t, b.replica(), repo, content)
	}
	time.advance(damagedKept)
	if names := sweep(t, s); len(names) != 1 || len(b.keysWith("/quarantine/")) > 0 {
		t.Errorf("swept %q; left %q", names, b.keysWith("/quarantine/"))
	}
}

// TestQuarantineRace: what came anew while the damaged blob was looked at stays.
func TestQuarantineRace(t *testing.T) {
	b := newBucket(t, s3test.Options{})
	other := b.replica()
	d := oci.SHA256.FromString("content")
	ok(t, other.PutBlob(t.Context(), "a", d, []byte("c?ntent")))
	s := b.intrude(other, isMethod("PUT", "/quarantine/"), func() { ok(t, other.PutBlob(t.Context(), "a", d, []byte("content"))) })
	q, err := s.QuarantineBlob(t.Context(), "a", d, "rot")
	if ok(t, err); q.Sound {
		t.Errorf("damaged content: %+v", q)
	}
	reads(t, other, "a", []byte("content"))
	reason, err := other.QuarantineReason(t.Context(), "a", d)
	if ok(t, err); reason != "" {
		t.Errorf("reason is %q", reason)
	}
}
