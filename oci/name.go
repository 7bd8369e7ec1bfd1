package oci

import "strings"

// Repo is a repository's name, the <name> of the distribution specification.
type Repo string

// Tag is a tag, the non-digest form of the specification's <tag-or-digest>.
type Tag string

// UploadID names a blob upload session: a UUID in lower-case canonical form.
type UploadID string

const (
	// MaxRepoLength is the longest repository name in bytes. Clients refuse
	// longer references, so a longer one could never be pulled.
	MaxRepoLength = 255
	// MaxTagLength is the longest tag in bytes (distribution-spec, Pulling manifests).
	MaxTagLength = 128
)

// ParseRepo checks s against the specification's grammar
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
//
// and against MaxRepoLength. It fails with ErrNameInvalid.
func ParseRepo(s string) (Repo, error) {
	if len(s) > MaxRepoLength {
		return "", Errorf(ErrNameInvalid, "repository name is %d bytes long, at most %d are allowed", len(s), MaxRepoLength)
	}
	for rest := s; ; {
		component, tail, more := strings.Cut(rest, "/")
		if !validComponent(component) {
			return "", Errorf(ErrNameInvalid, "repository name %q: component %q must be lower-case letters and digits, joined by '.', '_', '__' or dashes", clip(s), clip(component))
		}
		if !more {
			return Repo(s), nil
		}
		rest = tail
	}
}

// validComponent reports whether s is one path component of a repository name.
func validComponent(s string) bool {
	for i := 0; ; {
		start := i
		for i < len(s) && isAlnum(s[i]) {
			i++
		}
		if i == start {
			return false
		}
		if i == len(s) {
			return true
		}
		n := separator(s[i:])
		if n == 0 {
			return false
		}
		i += n
	}
}

// separator returns the length of the separator that s starts with: a dot, one
// or two underscores, or any run of dashes; 0 where there is none.
func separator(s string) int {
	switch {
	case s[0] == '.':
		return 1
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ParseTag checks s against [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}. It fails with
// ErrTagInvalid.
func ParseTag(s string) (Tag, error) {
	if s == "" || len(s) > MaxTagLength {
		return "", Errorf(ErrTagInvalid, "tag is %d bytes long, 1 to %d are allowed", len(s), MaxTagLength)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		word := isAlnum(c) || 'A' <= c && c <= 'Z' || c == '_'
		if !word && (i == 0 || c != '.' && c != '-') {
			return "", Errorf(ErrTagInvalid, "tag %q: character %d must be a letter, a digit or '_', after the first also '.' or '-'", clip(s), i+1)
		}
	}
	return Tag(s), nil
}

// ParseUploadID checks that s is a UUID in lower-case canonical form
// (8-4-4-4-12 hexadecimal digits). It fails with ErrUploadUnknown: no session
// can have another name.
func ParseUploadID(s string) (UploadID, error) {
	if len(s) != 36 {
		return "", ErrUploadUnknown
	}
	for i := 0; i < len(s); i++ {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return "", ErrUploadUnknown
		}
	}
	return UploadID(s), nil
}

func isHex(c byte) bool { return 'a' <= c && c <= 'f' || '0' <= c && c <= '9' }

// clip shortens outside input that goes into a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Reference is the specification's <tag-or-digest>: exactly one field is set.
type Reference struct {
	Tag    Tag
	Digest Digest
}

// ParseReference reads a <tag-or-digest>: what holds a colon must be a digest,
// anything else a tag. It fails with ErrDigestInvalid, ErrDigestUnsupported or
// ErrTagInvalid.
func ParseReference(s string) (Reference, error) {
	if strings.ContainsRune(s, ':') {
		d, err := ParseDigest(s)
		return Reference{Digest: d}, err
	}
	t, err := ParseTag(s)
	return Reference{Tag: t}, err
}

// String returns the tag or the digest.
func (r Reference) String() string {
	if r.Digest != "" {
		return string(r.Digest)
	}
	return string(r.Tag)
}
