package oci_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"berth/oci"
)

// The grammar of image-spec, Digests, anchored.
var digestGrammar = regexp.MustCompile(`\A[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+\z`)

func TestParseDigest(t *testing.T) {
	for _, d := range []oci.Digest{oci.SHA256.FromString("x"), oci.SHA512.FromString("x")} {
		if got, err := oci.ParseDigest(string(d)); err != nil || got != d {
			t.Errorf("%s: %s, %v", d, got, err)
		}
	}
	hex := strings.Repeat("a", 64)
	for s, kind := range map[string]error{
		"":                                 oci.ErrDigestInvalid,
		"sha256":                           oci.ErrDigestInvalid,
		"sha256:":                          oci.ErrDigestInvalid,
		":" + hex:                          oci.ErrDigestInvalid,
		"sha256:" + hex + "a":              oci.ErrDigestInvalid,
		"sha256:" + hex[1:]:                oci.ErrDigestInvalid,
		"sha256:" + strings.ToUpper(hex):   oci.ErrDigestInvalid,
		"sha512:" + hex:                    oci.ErrDigestInvalid,
		"sha256:" + hex[:61] + "/..":       oci.ErrDigestInvalid,
		"SHA256:" + hex:                    oci.ErrDigestInvalid,
		"sha-:" + hex:                      oci.ErrDigestInvalid,
		"sha256:" + hex + "\n":             oci.ErrDigestInvalid,
		"blake3:" + hex:                    oci.ErrDigestUnsupported,
		"multihash+base58:QmRZxt2b1FVZPN":  oci.ErrDigestUnsupported,
		"sha384:" + hex + hex[:32]:         oci.ErrDigestUnsupported,
		"md5:d41d8cd98f00b204e9800998ecf8": oci.ErrDigestUnsupported,
	} {
		if d, err := oci.ParseDigest(s); !errors.Is(err, kind) || d != "" {
			t.Errorf("%q: %q, %v, want %v", s, d, err, kind)
		}
	}
}

func TestParseAlgorithm(t *testing.T) {
	for _, a := range []oci.Algorithm{oci.SHA256, oci.SHA512} {
		if got, err := oci.ParseAlgorithm(string(a)); err != nil || got != a {
			t.Errorf("%s: %s, %v", a, got, err)
		}
	}
	for _, s := range []string{"", "sha384", "SHA256", "md5", "sha256:"} {
		if _, err := oci.ParseAlgorithm(s); !errors.Is(err, oci.ErrDigestUnsupported) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(string(oci.SHA256.FromString("")))
	f.Add(string(oci.SHA512.FromString("")))
	for _, s := range []string{"a+b:c", "a+:c", "a:b=", "sha256:/", "sha256:..", "a..b:c", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := oci.ParseDigest(s)
		if grammatical := digestGrammar.MatchString(s); grammatical == false && !errors.Is(err, oci.ErrDigestInvalid) {
			t.Errorf("%q is no digest: %v", s, err)
		} else if grammatical && err == nil && d.Validate() != nil {
			t.Errorf("%q was accepted: %v", s, d.Validate())
		} else if v := oci.Digest(s); err != nil && (strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "sha512:")) && v.Validate() == nil {
			t.Errorf("%q was refused: %v", s, err)
		}
	})
}
