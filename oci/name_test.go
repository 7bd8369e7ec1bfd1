package oci_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"berth/oci"
)

// The specification's expressions, anchored (distribution-spec, Pulling manifests).
var (
	repoGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func TestParseRepo(t *testing.T) {
	for _, good := range []string{
		"a", "library/alpine", "a/b/c/d/e", "a-b", "a--b", "a---b", "a_b", "a__b", "a.b", "0/1",
		"index.json", "a/blobs", strings.Repeat("a", 255),
	} {
		if r, err := oci.ParseRepo(good); err != nil || string(r) != good {
			t.Errorf("%q: %q, %v", good, r, err)
		}
	}
	for _, bad := range []string{
		"", "/", "a/", "/a", "a//b", "A", "a/B", "a..b", "a___b", "a._b", "-a", "a-", ".a", "a.", "_a", "a_",
		"..", "a/../b", ".", "a/./b", "a b", "a\n", "a\x00", "ä", "a%2fb", `a\b`, "a:b", "a@b", strings.Repeat("a", 256),
	} {
		if r, err := oci.ParseRepo(bad); !errors.Is(err, oci.ErrNameInvalid) || r != "" {
			t.Errorf("%q: %q, %v", bad, r, err)
		}
	}
}

func FuzzParseRepo(f *testing.F) {
	for _, s := range []string{"a/b", "a__b", "a___b", "a-.b", "a/../b", "a--0", "A", "a/", "é", "a\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := oci.ParseRepo(s)
		if want := len(s) <= oci.MaxRepoLength && repoGrammar.MatchString(s) && !strings.HasSuffix(s, "\n"); (err == nil) != want {
			t.Errorf("%q: %v, the grammar says %v", s, err, want)
		}
	})
}

func TestParseTag(t *testing.T) {
	for _, good := range []string{"latest", "v1.0.0-rc.1", "_", "A", "0", "a..b", "a--", strings.Repeat("x", 128)} {
		if tag, err := oci.ParseTag(good); err != nil || string(tag) != good {
			t.Errorf("%q: %q, %v", good, tag, err)
		}
	}
	for _, bad := range []string{"", ".a", "-a", "a/b", "a:b", "a b", "ä", "a+b", "a\n", strings.Repeat("x", 129)} {
		if tag, err := oci.ParseTag(bad); !errors.Is(err, oci.ErrTagInvalid) || tag != "" {
			t.Errorf("%q: %q, %v", bad, tag, err)
		}
	}
}

func FuzzParseTag(f *testing.F) {
	for _, s := range []string{"latest", ".", "-", "_x", "a.b-c", "a\n", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := oci.ParseTag(s)
		if want := tagGrammar.MatchString(s) && !strings.HasSuffix(s, "\n"); (err == nil) != want {
			t.Errorf("%q: %v, the grammar says %v", s, err, want)
		}
	})
}

func TestParseUploadID(t *testing.T) {
	if _, err := oci.ParseUploadID("01234567-89ab-cdef-0123-456789abcdef"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "..", "01234567-89ab-cdef-0123-456789abcde", "01234567-89AB-cdef-0123-456789abcdef",
		"0123456789ab-cdef-0123-456789abcdef---", "01234567/89ab-cdef-0123-456789abcdef", "-------------------------------------"[:36],
	} {
		if _, err := oci.ParseUploadID(bad); !errors.Is(err, oci.ErrUploadUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseReference(t *testing.T) {
	d := oci.SHA256.FromString("x")
	for s, want := range map[string]oci.Reference{
		"latest":  {Tag: "latest"},
		string(d): {Digest: d},
	} {
		if r, err := oci.ParseReference(s); err != nil || r != want || r.String() != s {
			t.Errorf("%q: %+v, %v", s, r, err)
		}
	}
	for s, kind := range map[string]error{
		"":              oci.ErrTagInvalid,
		"a b":           oci.ErrTagInvalid,
		"a:b":           oci.ErrDigestUnsupported,
		"sha256:b":      oci.ErrDigestInvalid,
		":":             oci.ErrDigestInvalid,
		"blake3:abcdef": oci.ErrDigestUnsupported,
	} {
		if _, err := oci.ParseReference(s); !errors.Is(err, kind) {
			t.Errorf("%q: %v, want %v", s, err, kind)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"latest", "sha256:00", "a:b:c", ":", "sha512:" + strings.Repeat("0", 128)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := oci.ParseReference(s)
		if err != nil {
			return
		}
		if r.String() != s || (r.Tag == "") == (r.Digest == "") {
			t.Errorf("%q: %+v", s, r)
		}
	})
}

func TestErrorsAreShort(t *testing.T) {
	_, err := oci.ParseTag(strings.Repeat("/", 128))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("error: %v", err)
	}
	_, err = oci.ParseDigest(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}
