package store

import (
	"strings"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/s3test"
)

// TestCopyThatDied: the parts of a copy whose process died are removed, without
// a list of uploads and not before nobody can be at it any more.
func TestCopyThatDied(t *testing.T) {
	b, clock := clockedBucket(t)
	s := b.sweeps(clock)
	large := noise(1, 3*chunk)
	d := push(t, s, "a", large)
	plain := b.sweeps(clock, func(o *Options) { o.Dedupe = false })
	b.Reset()
	ok(t, plain.LinkBlob(t.Context(), "a", "b", d))
	if b.left(t); len(b.keysWith("/.berth/copies/")) > 0 || b.Count("PutObject") == 0 {
		t.Errorf("of a copy that is done there are %q", b.Keys())
	}
	b.Fail(s3test.Fault{Op: "UploadPartCopy", Cut: true, Times: -1})
	b.Fail(s3test.Fault{Op: "AbortMultipartUpload", Cut: true, Times: -1})
	b.Fail(s3test.Fault{Op: "DeleteObject", Cut: true, Times: -1})
	if err := plain.LinkBlob(t.Context(), "a", "c", d); err == nil {
		t.Fatal("a copy succeeded without parts")
	}
	b.Heal()
	if len(b.Uploads()) != 1 || len(b.keysWith("/.berth/copies/")) != 1 {
		t.Fatalf("left are parts of %q, and %q", b.Uploads(), b.keysWith("/.berth/copies/"))
	}
	b.Fail(s3test.Fault{Op: "ListMultipartUploads", Status: 403, Code: "AccessDenied", Times: -1})
	if names := sweep(t, s); len(names) > 0 {
		t.Errorf("a young copy was ended: %q", names)
	}
	clock.advance(abandonedAfter + time.Hour)
	if names := sweep(t, s); len(names) != 1 || !strings.Contains(names[0], "copy to c/blobs/") {
		t.Errorf("told of %q", names)
	}
	if b.left(t); len(b.keysWith("/.berth/copies/")) > 0 {
		t.Errorf("left are %q", b.Keys())
	}
}

// TestRestoreKilled: a process that restores references may be killed at any
// request; another one goes on, and all content is there all the time.
func TestRestoreKilled(t *testing.T) {
	small, large := noise(1, 100), noise(2, 5*chunk/2)
	repos := []oci.Repo{"a", "b", "c/d"}
	for at := 0; ; at += 3 {
		b, clock := clockedBucket(t)
		for _, repo := range repos {
			push(t, b.sweeps(clock), repo, small)
			push(t, b.sweeps(clock), repo, large)
		}
		dies := b.sweeps(clock, func(o *Options) { o.Dedupe = false })
		b.Reset()
		b.Fail(s3test.Fault{Cut: true, After: at, Times: -1})
		done, err := dies.restoreRound(t.Context(), dies.newLease("restore", restoreLife))
		died := b.Count("") > at
		b.Heal()
		if died && (err == nil || done) {
			t.Fatalf("killed at request %d: %v, %v", at, done, err)
		}
		next := b.sweeps(clock, func(o *Options) { o.Dedupe = false })
		for _, repo := range repos {
			reads(t, next, repo, small)
			reads(t, next, repo, large)
		}
		lease := next.newLease("restore", restoreLife)
		for tries := 0; died && !done; tries++ {
			if done, err = next.restoreRound(t.Context(), lease); err != nil || tries == 3 {
				t.Fatalf("killed at request %d: after that %v, %v", at, done, err)
			}
			clock.advance(2 * restoreLife) // until the lease of who died is seen to be over
		}
		for _, repo := range repos {
			object, _ := b.Object("root/dir/" + string(repo) + "/blobs/sha256/" + oci.SHA256.FromBytes(large).Encoded())
			if len(object.Data) != len(large) {
				t.Fatalf("killed at request %d: %s has %d bytes of %d", at, repo, len(object.Data), len(large))
			}
		}
		clock.advance(abandonedAfter)
		sweep(t, next)
		b.left(t)
		b.close()
		if !died {
			return
		}
	}
}
