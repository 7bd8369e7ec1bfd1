package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"berth/oci"
	"berth/s3lite/s3test"
)

// attempt is an operation that a client repeats until it succeeds.
type attempt struct {
	setup func(t *testing.T, s *Store)
	do    func(t *testing.T, s *Store) error
	check func(t *testing.T, s *Store)
}

// pushOf uploads content with its digest.
func pushOf(content []byte) func(*testing.T, *Store) error {
	return func(t *testing.T, s *Store) error {
		id, err := s.CreateUpload(t.Context(), "a", oci.SHA256)
		if err != nil {
			return err
		}
		_, err = s.FinishUpload(t.Context(), "a", id, oci.SHA256.FromBytes(content), 0, known{bytes.NewReader(content)})
		return err
	}
}

// The content that attempts push.
func faultContent() (small, large, huge []byte) {
	return noise(1, 1000), noise(2, chunk-1), noise(3, 5*chunk/2)
}

func attempts() map[string]attempt {
	small, large, huge := faultContent()
	all := map[string]attempt{
		"put": {
			do: func(t *testing.T, s *Store) error {
				return s.PutBlob(t.Context(), "a", oci.SHA256.FromBytes(small), small)
			},
			check: func(t *testing.T, s *Store) { reads(t, s, "a", small) },
		},
		"push of one part":   {do: pushOf(large), check: func(t *testing.T, s *Store) { reads(t, s, "a", large) }},
		"push of many parts": {do: pushOf(huge), check: func(t *testing.T, s *Store) { reads(t, s, "a", huge) }},
		"push of what is there": {
			setup: func(t *testing.T, s *Store) { push(t, s, "b", large) },
			do:    pushOf(large), check: func(t *testing.T, s *Store) { reads(t, s, "a", large) },
		},
		"chunks": {do: chunks(huge), check: func(t *testing.T, s *Store) { reads(t, s, "a", huge) }},
		"mount": {
			setup: func(t *testing.T, s *Store) { push(t, s, "b", large) },
			do: func(t *testing.T, s *Store) error {
				return s.LinkBlob(t.Context(), "b", "a", oci.SHA256.FromBytes(large))
			},
			check: func(t *testing.T, s *Store) { reads(t, s, "a", large) },
		},
	}
	maps.Copy(all, edits())
	return all
}

// edits are attempts that push no content.
func edits() map[string]attempt {
	_, large, _ := faultContent()
	index := []byte(`{"schemaVersion":2,"manifests":[],"annotations":{"is":"new"}}`)
	return map[string]attempt{
		"index": {
			do: func(t *testing.T, s *Store) error {
				_, v, err := s.LoadIndex(t.Context(), "a", "")
				if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
					return err
				}
				_, err = s.SwapIndex(t.Context(), "a", v, index)
				return err
			},
			check: func(t *testing.T, s *Store) {
				got, _, err := s.LoadIndex(t.Context(), "a", "")
				if ok(t, err); !bytes.Equal(got, index) {
					t.Fatalf("index is %s", got)
				}
			},
		},
		"delete": {
			setup: func(t *testing.T, s *Store) { push(t, s, "a", large) },
			do: func(t *testing.T, s *Store) error {
				err := s.DeleteBlob(t.Context(), "a", oci.SHA256.FromBytes(large))
				if errors.Is(err, oci.ErrBlobUnknown) {
					return nil
				}
				return err
			},
			check: func(t *testing.T, s *Store) {
				_, err := s.StatBlob(t.Context(), "a", oci.SHA256.FromBytes(large))
				wants(t, "deleted", err, oci.ErrBlobUnknown)
			},
		},
		"delete of a repository": {
			setup: func(t *testing.T, s *Store) { ok(t, s.ensure(t.Context(), "a")) },
			do: func(t *testing.T, s *Store) error {
				_, v, err := s.LoadIndex(t.Context(), "a", "")
				if err == nil {
					err = s.DeleteRepo(t.Context(), "a", v)
				}
				if errors.Is(err, oci.ErrNameUnknown) {
					return nil
				}
				return err
			},
			check: func(t *testing.T, s *Store) {
				ok(t, s.WalkRepos(t.Context(), "", func(repo oci.Repo) error { return fmt.Errorf("%s is listed", repo) }))
			},
		},
	}
}

// chunks is an upload in three requests, each repeated from where the session
// stands, as clients do.
func chunks(content []byte) func(*testing.T, *Store) error {
	var id oci.UploadID
	return func(t *testing.T, s *Store) (err error) {
		ctx := t.Context()
		if id != "" {
			if _, err := s.StatUpload(ctx, "a", id); errors.Is(err, oci.ErrUploadUnknown) {
				id = ""
			} else if err != nil {
				return err
			}
		}
		if id == "" {
			if id, err = s.CreateUpload(ctx, "a", oci.SHA256); err != nil {
				id = ""
				return err
			}
		}
		info, err := s.StatUpload(ctx, "a", id)
		if err != nil {
			return err
		}
		at := info.Size
		for at < int64(len(content)) {
			n := min(int64(5*chunk/4), int64(len(content))-at)
			if at, err = s.AppendUpload(ctx, "a", id, at, bytes.NewReader(content[at:at+n])); err != nil {
				return err
			}
		}
		_, err = s.FinishUpload(ctx, "a", id, oci.SHA256.FromBytes(content), at, nil)
		if err == nil {
			id = ""
		}
		return err
	}
}

// faults are what goes wrong with one request, or with all from one on.
func faults() map[string]s3test.Fault {
	out := map[string]s3test.Fault{
		"refused": {Status: 503, Code: "SlowDown"}, "failed, and done": {Status: 500, Code: "InternalError", Done: true},
		"cut": {Cut: true}, "lost answer": {Cut: true, Done: true},
	}
	for _, name := range []string{"cut", "lost answer"} {
		f := out[name]
		f.Times = -1
		out[name+", and all after it"] = f
	}
	return out
}

// TestFaults: whatever request of an operation goes wrong, either it succeeds,
// or it does when it is repeated; and nothing else is there then than without
// the fault, aside from what is collected later.
func TestFaults(t *testing.T) {
	for name := range attempts() {
		t.Run(name, func(t *testing.T) {
			for kind, fault := range faults() {
				for at := 0; ; at++ {
					if !tryFault(t, attempts()[name], fault, at) {
						break
					}
					if t.Failed() {
						t.Fatalf("%s at request %d", kind, at)
					}
				}
			}
		})
	}
}

// tryFault runs an operation with a fault at one of its requests; false where it
// has fewer.
func tryFault(t *testing.T, a attempt, fault s3test.Fault, at int) bool {
	b := newBucket(t, s3test.Options{})
	defer b.close()
	s := b.replica()
	ok(t, s.ready(t.Context()))
	if a.setup != nil {
		a.setup(t, s)
	}
	b.Reset()
	fault.After = at
	b.Fail(fault)
	err := a.do(t, s)
	met := b.Count("") > at
	b.Heal()
	for tries := 0; err != nil; tries++ {
		if tries == 3 {
			t.Fatalf("request %d with %+v: %v", at, fault, err)
		}
		err = a.do(t, s)
	}
	a.check(t, s)
	a.check(t, b.replica())
	return met
}

// TestUnfinishedObject: where there are no parts any more, they became an object
// by a request whose answer was lost, or somebody has removed them. A push is
// acknowledged in the first case only.
func TestUnfinishedObject(t *testing.T) {
	_, _, huge := faultContent()
	for _, dedupe := range []bool{true, false} {
		for _, fault := range []s3test.Fault{
			{Op: "CompleteMultipartUpload", Cut: true, Done: true},
			{Op: "CompleteMultipartUpload", Status: 404, Code: "NoSuchUpload", Times: -1},
		} {
			b := newBucket(t, s3test.Options{})
			s := b.replica(func(o *Options) { o.Dedupe = dedupe })
			b.Fail(fault)
			err := pushOf(huge)(t, s)
			b.Heal()
			if fault.Done {
				ok(t, err)
				reads(t, s, "a", huge)
			} else if _, stat := s.StatBlob(t.Context(), "a", oci.SHA256.FromBytes(huge)); err == nil || stat == nil {
				t.Errorf("dedupe %t: the object was never made, and the push came to %v, a look at it to %v", dedupe, err, stat)
			}
		}
	}
}
