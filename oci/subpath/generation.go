package subpath

import (
	"strconv"
	"strings"

	"berth/oci"
)

// generation marks the versions of one mount or of one opening of a store, so
// that a version from before a medium was changed for another never passes
// for current. The zero Version stays zero: it stands for what does not exist.
type generation string

func newGeneration(n uint64) generation {
	return generation(strconv.FormatUint(n, 36) + ".")
}

// wrap makes an inner version into one of this generation.
func (g generation) wrap(v oci.Version) oci.Version {
	if v == "" {
		return ""
	}
	return oci.Version(g) + v
}

// unwrap returns the inner version, and whether v is of this generation or
// zero.
func (g generation) unwrap(v oci.Version) (oci.Version, bool) {
	if v == "" {
		return "", true
	}
	inner, ok := strings.CutPrefix(string(v), string(g))
	return oci.Version(inner), ok
}

// load is LoadIndex with versions of this generation.
func (g generation) load(have oci.Version, load func(oci.Version) ([]byte, oci.Version, error)) ([]byte, oci.Version, error) {
	inner, mine := g.unwrap(have)
	if !mine {
		inner = ""
	}
	content, v, err := load(inner)
	if err != nil {
		return nil, "", err
	}
	if content == nil && inner != "" && v == inner {
		return nil, have, nil
	}
	return content, g.wrap(v), nil
}

// swap is SwapIndex with versions of this generation.
func (g generation) swap(old oci.Version, swap func(oci.Version) (oci.Version, error)) (oci.Version, error) {
	inner, mine := g.unwrap(old)
	if !mine {
		return "", oci.ErrConflict
	}
	v, err := swap(inner)
	if err != nil {
		return "", err
	}
	return g.wrap(v), nil
}
