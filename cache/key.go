package cache

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"berth/oci"
)

const (
	// keepHolders is the most repositories kept for one digest. One that can be
	// linked to is enough; the others are for when it has gone or has reached
	// the file system's limit of links.
	keepHolders = 8

	// The first byte of a key tells the algorithm, so that equal bytes under
	// two algorithms stay two entries. metaKey sorts before both.
	keySHA256 = 1
	keySHA512 = 2

	// metaKey is the one key that is no digest: what the index says of itself.
	metaKey = "\x00"
)

// keyOf makes the key of a digest: the algorithm's byte and the raw digest.
func keyOf(d oci.Digest) (string, error) {
	d, err := oci.ParseDigest(string(d))
	if err != nil {
		return "", err
	}
	kind := byte(keySHA256)
	if d.Algorithm() == oci.SHA512 {
		kind = keySHA512
	}
	key := make([]byte, 1, 1+d.Algorithm().Size())
	key[0] = kind
	key, err = hex.AppendDecode(key, []byte(d.Encoded()))
	return string(key), err
}

// encodeHolders makes a value: the names, separated by a zero byte, which no
// name can hold.
func encodeHolders(repos []oci.Repo) []byte {
	size := 0
	for _, r := range repos {
		size += len(r) + 1
	}
	value := make([]byte, 0, size)
	for i, r := range repos {
		if i > 0 {
			value = append(value, 0)
		}
		value = append(value, r...)
	}
	return value
}

// decodeHolders reads a value. Names become paths, so each is checked.
func decodeHolders(value []byte) ([]oci.Repo, error) {
	names := strings.Split(string(value), "\x00")
	if len(names) > keepHolders {
		return nil, fmt.Errorf("an entry names %d repositories, at most %d are written", len(names), keepHolders)
	}
	repos := make([]oci.Repo, len(names))
	for i, name := range names {
		r, err := oci.ParseRepo(name)
		if err != nil {
			return nil, err
		}
		repos[i] = r
	}
	return repos, nil
}

// change is one note about a digest: a repository holds it, or does not.
type change struct {
	repo oci.Repo
	gone bool
}

// apply returns the holders after changes, in a slice of its own where they
// differ. A full list takes no more names: those it has serve as well.
func apply(holders []oci.Repo, changes []change) []oci.Repo {
	result := slices.Clone(holders)
	for _, c := range changes {
		i := slices.Index(result, c.repo)
		switch {
		case c.gone && i >= 0:
			result = slices.Delete(result, i, i+1)
		case !c.gone && i < 0 && len(result) < keepHolders:
			result = append(result, c.repo)
		}
	}
	return result
}
