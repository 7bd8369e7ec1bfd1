package oci

import (
	_ "crypto/sha256" // makes digest.SHA256 available
	_ "crypto/sha512" // makes digest.SHA512 available
	"strings"

	"github.com/opencontainers/go-digest"
)

// Digest is a content identifier, "<algorithm>:<encoded>" (image-spec,
// Descriptor, Digests).
type Digest = digest.Digest

// Algorithm is the <algorithm> of a digest.
type Algorithm = digest.Algorithm

// The algorithms that berth verifies and stores.
const (
	SHA256 = digest.SHA256
	SHA512 = digest.SHA512
)

// ParseDigest checks s against the digest grammar and against the encoding of
// its algorithm. It fails with ErrDigestInvalid where s is no digest, and with
// ErrDigestUnsupported where it is one of an algorithm other than sha256 and
// sha512.
func ParseDigest(s string) (Digest, error) {
	algorithm, encoded, found := strings.Cut(s, ":")
	if !found || !validAlgorithm(algorithm) || !validEncoded(encoded) {
		return "", Errorf(ErrDigestInvalid, "%q is not a digest; one looks like sha256:<64 hexadecimal digits>", clip(s))
	}
	a, err := ParseAlgorithm(algorithm)
	if err != nil {
		return "", err
	}
	if len(encoded) != a.Size()*2 || !allHex(encoded) {
		return "", Errorf(ErrDigestInvalid, "%q: a %s digest has %d lower-case hexadecimal digits", clip(s), algorithm, a.Size()*2)
	}
	return Digest(s), nil
}

// ParseAlgorithm reads a digest-algorithm parameter. It fails with
// ErrDigestUnsupported.
func ParseAlgorithm(s string) (Algorithm, error) {
	switch a := Algorithm(s); a {
	case SHA256, SHA512:
		return a, nil
	}
	return "", Errorf(ErrDigestUnsupported, "digest algorithm %q is not supported; use sha256 or sha512", clip(s))
}

// validAlgorithm checks [a-z0-9]+([+._-][a-z0-9]+)*.
func validAlgorithm(s string) bool {
	separated := true // a component must follow
	for i := 0; i < len(s); i++ {
		switch {
		case isAlnum(s[i]):
			separated = false
		case !separated && strings.IndexByte("+._-", s[i]) >= 0:
			separated = true
		default:
			return false
		}
	}
	return !separated
}

// validEncoded checks [a-zA-Z0-9=_-]+.
func validEncoded(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlnum(c) && !('A' <= c && c <= 'Z') && c != '=' && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

func allHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isHex(s[i]) {
			return false
		}
	}
	return true
}
