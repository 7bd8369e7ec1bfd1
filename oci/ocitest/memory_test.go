package ocitest_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"berth/oci"
	"berth/oci/ocitest"
)

func TestMemory(t *testing.T) {
	ocitest.Suite(t,
		func(*testing.T) oci.Store { return ocitest.NewMemory() },
		func(_ *testing.T, s oci.Store) oci.Store { return s })
}

// A store that fails on demand and is not asked to is like any other.
func TestFaultsPassThrough(t *testing.T) {
	ocitest.Suite(t, func(*testing.T) oci.Store { return ocitest.NewFaults(ocitest.NewMemory()) }, nil)
}

func TestFaults(t *testing.T) {
	fault := errors.New("fault")
	d := oci.SHA256.FromString("x")
	for _, c := range []struct {
		when ocitest.When
		put  bool
	}{{ocitest.Before, false}, {ocitest.After, true}} {
		f := ocitest.NewFaults(ocitest.NewMemory())
		f.Once("PutBlob", c.when, fault)
		if err := f.PutBlob(t.Context(), "a", d, []byte("x")); !errors.Is(err, fault) {
			t.Fatal(err)
		}
		if _, err := f.StatBlob(t.Context(), "a", d); (err == nil) != c.put {
			t.Fatalf("fault %v: then %v", c.when, err)
		}
		if err := f.PutBlob(t.Context(), "a", d, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if n := f.Calls("PutBlob"); n != 2 {
			t.Fatalf("%d calls", n)
		}
	}
}

// A process that shares the store with nobody else sees one like any other.
func TestReplica(t *testing.T) {
	ocitest.Suite(t, func(*testing.T) oci.Store { return ocitest.NewReplica(ocitest.NewMemory()) }, nil)
}

func TestLeases(t *testing.T) {
	ocitest.Leases(t, func(*testing.T) ocitest.LeaseWorld {
		var ahead atomic.Int64 // nanoseconds
		began := time.Now()
		m := ocitest.NewMemory()
		m.Now = func() time.Time { return began.Add(time.Duration(ahead.Load())) }
		return ocitest.LeaseWorld{
			Open: func() oci.Leaser { return ocitest.NewReplica(m) },
			Pass: func(d time.Duration) { ahead.Add(int64(d)) },
			Term: time.Minute,
		}
	})
}
