package gc

import (
	"encoding/hex"
	"slices"
	"strings"

	"berth/oci"
)

// blob is a blob of the repository that is looked at.
type blob struct {
	sum  string // the digest in bytes, whose number tells the algorithm
	size int64
	copy uint64
	// links is how many names share its bytes, 0 where that is not known.
	links uint64
	old   bool // its age allows that it goes
	used  bool // something reachable names it
	read  bool // it was looked into, or is about to be, for what it names
	entry bool // the index has had it since the sweep began, where others write to that
}

// table has the blobs of a repository, in the order of their sums.
type table []blob

// add appends a blob; the table is to be sorted afterwards. It returns false
// where the digest is none that can be looked up.
func (t *table) add(d oci.Digest, info oci.BlobInfo, old bool) {
	var buf [64]byte
	if sum := sumOf(&buf, d); sum != nil {
		*t = append(*t, blob{sum: string(sum), size: info.Size, copy: info.Copy, links: info.Links, old: old})
	}
}

func (t table) sort() {
	slices.SortFunc(t, func(a, b blob) int { return strings.Compare(a.sum, b.sum) })
}

// find returns the blob of a digest; nil where the table has none.
func (t table) find(d oci.Digest) *blob {
	var buf [64]byte
	sum := sumOf(&buf, d)
	if sum == nil {
		return nil
	}
	low, high := 0, len(t)
	for low < high {
		if middle := int(uint(low+high) >> 1); t[middle].sum < string(sum) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(t) && t[low].sum == string(sum) {
		return &t[low]
	}
	return nil
}

// sumOf decodes a digest of an algorithm that berth keeps blobs of; nil where
// it is none.
func sumOf(buf *[64]byte, d oci.Digest) []byte {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	want := 32
	switch oci.Algorithm(algorithm) {
	case oci.SHA256:
	case oci.SHA512:
		want = 64
	default:
		return nil
	}
	if len(encoded) != 2*want {
		return nil
	}
	for i := range want {
		high, low := digit(encoded[2*i]), digit(encoded[2*i+1])
		if high > 15 || low > 15 {
			return nil
		}
		buf[i] = high<<4 | low
	}
	return buf[:want]
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// digest is the blob's digest.
func (b *blob) digest() oci.Digest {
	algorithm := oci.SHA256
	if len(b.sum) == 64 {
		algorithm = oci.SHA512
	}
	return oci.Digest(string(algorithm) + ":" + hex.EncodeToString([]byte(b.sum)))
}
