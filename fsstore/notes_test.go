package fsstore_test

import (
	"errors"
	"testing"

	"berth/fsstore"
	"berth/oci"
)

// TestNotes: a note is kept across restarts, and replaced as a whole.
func TestNotes(t *testing.T) {
	opts := fsstore.Options{Root: t.TempDir()}
	s, err := fsstore.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	want := func(s *fsstore.Store, content string) {
		t.Helper()
		if got, err := s.LoadNote("usage", 100); err != nil || string(got) != content || (got == nil) != (content == "") {
			t.Fatalf("the note is %q, error %v, want %q", got, err, content)
		}
	}
	want(s, "")
	for _, content := range []string{"a long note", "short"} {
		if err := s.SaveNote("usage", []byte(content), true); err != nil {
			t.Fatal(err)
		}
		want(s, content)
	}
	if got, err := s.LoadNote("usage", 4); err != nil || got != nil {
		t.Fatalf("a note over the limit is %q, error %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts.ReadOnly = true
	if s, err = fsstore.Open(opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want(s, "short")
	if err := s.SaveNote("usage", nil, true); !errors.Is(err, oci.ErrReadOnly) {
		t.Fatalf("error %v, want that it is read-only", err)
	}
}
