package ocitest_test

import (
	"errors"
	"testing"

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
