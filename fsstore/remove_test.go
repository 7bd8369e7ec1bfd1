package fsstore_test

import (
	"slices"
	"testing"

	"berth/oci"
)

// TestLinkedBlobsAreCopies: names of one file have one number, and tell how
// many they are.
func TestLinkedBlobsAreCopies(t *testing.T) {
	w := newWorld(t, false)
	if err := w.put("a", small); err != nil {
		t.Fatal(err)
	}
	info := func(repo oci.Repo) oci.BlobInfo {
		t.Helper()
		info, err := w.StatBlob(t.Context(), repo, digestOf(small))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if got := info("a"); got.Links != 1 || got.Copy == 0 {
		t.Errorf("%+v", got)
	}
	if err := w.link("a", "b", small); err != nil {
		t.Fatal(err)
	}
	a, b := info("a"), info("b")
	if a.Links != 2 || b.Links != 2 || a.Copy != b.Copy || a.Copy == 0 {
		t.Errorf("%+v, %+v", a, b)
	}
}

// TestLeftoversAreTold: what an earlier process left is told before it is removed.
func TestLeftoversAreTold(t *testing.T) {
	w := newWorld(t, false)
	f, err := w.fs.Create(".berth/tmp/AAAAAAAA00000001")
	if err == nil {
		_, err = f.WriteAt(small, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, dry := range []bool{true, false, false} {
		var told []string
		var bytes int64
		err := w.RemoveLeftovers(t.Context(), dry, func(name string, size int64) error {
			told, bytes = append(told, name), bytes+size
			return nil
		})
		left := w.tmpFiles()
		if err != nil {
			t.Fatal(err)
		}
		if dry && (len(left) != 1 || bytes != int64(len(small)) || !slices.Equal(told, []string{".berth/tmp/AAAAAAAA00000001"})) {
			t.Errorf("dry: told %v, %d bytes, left %v", told, bytes, left)
		}
		if !dry && len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}
