package archive

import (
	"fmt"
	"path/filepath"
	"strings"

	"berth/oci"
)

// Name makes one component of a repository name from the name of a file, of a
// directory or of a volume: lower case, ".tar" cut off, and a dash for each
// run of characters that are not allowed. It fails with ErrNameInvalid where
// nothing is left.
func Name(file string) (oci.Repo, error) {
	base := strings.ToLower(filepath.Base(file))
	base = strings.TrimSuffix(base, ".tar")
	var name strings.Builder
	for i := 0; i < len(base); {
		n := alnum(base[i:])
		name.WriteString(base[i : i+n])
		i += n
		n = others(base[i:])
		if gap := base[i : i+n]; gap != "" && i > 0 && i+n < len(base) {
			name.WriteString(separator(gap))
		}
		i += n
	}
	repo, err := oci.ParseRepo(name.String())
	if err != nil {
		return "", fmt.Errorf("make a repository name of %q: %w", clip(file), err)
	}
	return repo, nil
}

// separator is what stands for a gap between letters and digits.
func separator(gap string) string {
	switch {
	case gap == ".", gap == "_", gap == "__", strings.Trim(gap, "-") == "":
		return gap
	}
	return "-"
}

// alnum counts the lower-case letters and digits that s begins with.
func alnum(s string) int {
	n := 0
	for n < len(s) && ('a' <= s[n] && s[n] <= 'z' || '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

// others counts the bytes before the next lower-case letter or digit.
func others(s string) int {
	n := 0
	for n < len(s) && alnum(s[n:]) == 0 {
		n++
	}
	return n
}

// clip shortens outside input that goes into a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
