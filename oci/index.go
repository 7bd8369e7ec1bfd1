package oci

import (
	"cmp"
	"strings"
	"unsafe"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The annotations of an entry of index.json that have a meaning here.
const (
	// AnnotationRefName holds an entry's tag.
	AnnotationRefName = v1.AnnotationRefName
	// AnnotationSubject holds the digest of the manifest's subject, "" where it
	// has none. Its presence says that berth read the manifest when it was
	// pushed, so that nobody need read it again.
	AnnotationSubject = "io.berth.subject"
)

// Entry is one descriptor of an index. Nobody may change it.
type Entry struct {
	// Raw is the descriptor in its exact bytes, JSON.
	Raw string
	// MediaType is "" where the descriptor does not tell it.
	MediaType string
	// Digest is "" where it is none that berth can verify.
	Digest       Digest
	Size         int64  // bytes; -1 where the descriptor does not tell it
	ArtifactType string // "" where the descriptor does not tell it
	Tag          Tag    // "" where the entry is untagged
	// Subject is the digest of the manifest's subject, "" where it has none;
	// known only where Vetted.
	Subject Digest
	// Vetted: berth read the manifest when it was pushed.
	Vetted bool

	exact  bool // the annotation is the tag itself, not a reference with the tag in it
	served bool // a manifest that clients may ask for; else kept only
}

// Index is an index.json (image-spec, Image Layout). It is immutable: edits
// return another one, which shares the entries. Unknown fields, annotations,
// the order and the bytes of all descriptors are kept.
type Index struct {
	head, tail string   // what stands before and after the descriptors
	entries    []*Entry // in the order of the file
	bytes      int64    // of all Raw
	unvetted   int      // how many are served and not vetted

	epoch     string
	condemned []Digest // sorted

	byTag     order // those with a tag
	byDigest  order // those with a digest
	bySubject order // those that are served and have a subject
}

const (
	emptyHead = `{"schemaVersion":2,"mediaType":"` + MediaTypeIndex + `","manifests":[`
	emptyTail = `]}`
)

// NewIndex returns the index of a new repository.
func NewIndex() *Index {
	x := &Index{head: emptyHead, tail: emptyTail}
	x.sort()
	return x
}

// Len is the number of entries.
func (x *Index) Len() int { return len(x.entries) }

// Entries are all entries that are served, in the order of the file.
func (x *Index) Entries(yield func(*Entry) bool) {
	for _, e := range x.entries {
		if e.served && !yield(e) {
			return
		}
	}
}

// All are all entries, those that are kept only among them.
func (x *Index) All(yield func(*Entry) bool) {
	for _, e := range x.entries {
		if !yield(e) {
			return
		}
	}
}

// Unvetted is how many entries are served of which berth has not read the
// manifest.
func (x *Index) Unvetted() int { return x.unvetted }

// Tagged finds the manifest that a tag names; nil where there is none.
func (x *Index) Tagged(t Tag) *Entry {
	return first(x.byTag.run(string(t)))
}

// Named finds an entry of a manifest by its digest; nil where there is none.
func (x *Index) Named(d Digest) *Entry {
	return first(x.digestRun(d))
}

// first returns the entry that counts among equals, if it is served.
func first(run []*Entry) *Entry {
	if len(run) == 0 || !run[0].served {
		return nil
	}
	return run[0]
}

// Tags returns up to n tags after the one given, in byte order, and whether
// more follow.
func (x *Index) Tags(after Tag, n int) (tags []Tag, more bool) {
	_, at := x.byTag.find(string(after))
	for at < len(x.byTag.list) {
		e := x.byTag.list[at]
		if e.served {
			if len(tags) >= n {
				return tags, true
			}
			tags = append(tags, e.Tag)
		}
		for at < len(x.byTag.list) && x.byTag.list[at].Tag == e.Tag {
			at++
		}
	}
	return tags, false
}

// Referrers are the entries known to have a subject, in the order of their
// digests; several may be of one digest. The slice is shared.
func (x *Index) Referrers(subject Digest) []*Entry {
	return x.bySubject.run(string(subject))
}

// Footprint is about how many bytes of memory the index takes.
func (x *Index) Footprint() int64 {
	each := int64(unsafe.Sizeof(Entry{})) + 3*int64(unsafe.Sizeof(uintptr(0))+8)
	return x.bytes + int64(len(x.entries))*each + int64(len(x.head)+len(x.tail)) + int64(len(x.condemned))*100
}

func (x *Index) digestRun(d Digest) []*Entry { return x.byDigest.run(string(d)) }

func textOfTag(e *Entry) string     { return string(e.Tag) }
func textOfDigest(e *Entry) string  { return string(e.Digest) }
func textOfSubject(e *Entry) string { return string(e.Subject) }

// byRank puts what is served before what is not, then an exact tag before a
// derived one.
func byRank(a, b *Entry) int {
	return cmp.Or(rank(a.served)-rank(b.served), rank(a.exact)-rank(b.exact))
}

// byServed puts what is served before what is not.
func byServed(a, b *Entry) int { return rank(a.served) - rank(b.served) }

func byReferrer(a, b *Entry) int { return strings.Compare(string(a.Digest), string(b.Digest)) }

func rank(preferred bool) int {
	if preferred {
		return 0
	}
	return 1
}
