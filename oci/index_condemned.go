package oci

import (
	"errors"
	"slices"
	"strings"
)

// The annotations of index.json itself that have a meaning here: in a store
// that several processes share.
const (
	// AnnotationEpoch holds a text that is another one after each announcement.
	AnnotationEpoch = "io.berth.epoch"
	// AnnotationCondemned holds the digests of blobs that are being deleted
	// from the repository, with a space between them. While a digest stands
	// there, no manifest that needs it may be added.
	AnnotationCondemned = "io.berth.condemned"
	// AnnotationWrite holds a text that is another one after each write. So no
	// index ever has the bytes of one before it, and a late repetition of a
	// write, on the condition that the index is still a certain one, never
	// finds that again.
	AnnotationWrite = "io.berth.write"
)

// Epoch is the index's AnnotationEpoch, "" where it has none.
func (x *Index) Epoch() string { return x.epoch }

// Condemned are the digests of AnnotationCondemned, sorted. The slice is shared.
func (x *Index) Condemned() []Digest { return x.condemned }

// IsCondemned tells whether a digest is in AnnotationCondemned.
func (x *Index) IsCondemned(d Digest) bool {
	_, found := slices.BinarySearch(x.condemned, d)
	return found
}

// Condemn is the index with another epoch and other digests condemned, or none.
// Everything else keeps its bytes. It fails where index.json has annotations
// that are not what the specification says.
func (x *Index) Condemn(epoch string, blobs []Digest) (*Index, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(blobs)))
	if x.epoch == epoch && slices.Equal(x.condemned, sorted) {
		return x, nil
	}
	added := quote([]byte(`"`+AnnotationEpoch+`":`), epoch)
	if len(sorted) > 0 {
		var list strings.Builder
		for i, d := range sorted {
			if i > 0 {
				list.WriteByte(' ')
			}
			list.WriteString(string(d))
		}
		added = quote(append(added, `,"`+AnnotationCondemned+`":`...), list.String())
	}
	e := edit{Index: x}
	e.change()
	if err := e.annotate(string(added), AnnotationEpoch, AnnotationCondemned); err != nil {
		return nil, err
	}
	e.epoch, e.condemned = epoch, sorted
	return e.Index, nil
}

// Stamp is the index with another AnnotationWrite. It fails as Condemn does.
func (x *Index) Stamp(text string) (*Index, error) {
	stamped := *x // shares the descriptors, which nobody changes
	if err := stamped.annotate(string(quote([]byte(`"`+AnnotationWrite+`":`), text)), AnnotationWrite); err != nil {
		return nil, err
	}
	return &stamped, nil
}

// annotate puts members into the index's own annotations, in place of some that
// it has.
func (x *Index) annotate(added string, replaced ...string) error {
	object := x.head + x.tail // without the descriptors
	at, value := -1, ""
	c := cursor{s: object}
	for name, ok := c.member(); ok; name, ok = c.member() {
		start := c.i
		v := c.value()
		if name != `"annotations"` {
			continue
		}
		if at >= 0 {
			return errors.New("index.json has annotations twice")
		}
		at, value = start, v
	}
	switch {
	case at < 0:
		x.tail = x.tail[:len(x.tail)-1] + `,"annotations":{` + added + "}}"
		return nil
	case value != "null" && value[0] != '{':
		return errors.New("index.json: annotations is not an object")
	}
	var b strings.Builder
	b.WriteByte('{')
	for name, v := range texts(value) {
		if decoded, _ := text(name); !slices.Contains(replaced, decoded) {
			addMember(&b, name, v)
		}
	}
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.WriteString(added)
	b.WriteByte('}')
	if end := at + len(value); at < len(x.head) {
		x.head = x.head[:at] + b.String() + x.head[end:]
	} else {
		x.tail = object[len(x.head):at] + b.String() + object[end:]
	}
	return nil
}

// readAnnotations reads the index's own annotations. What makes no sense is
// passed over.
func (x *Index) readAnnotations(object string) {
	for name, value := range members(object) {
		s, ok := text(value)
		switch {
		case !ok:
		case name == AnnotationEpoch:
			x.epoch = s
		case name == AnnotationCondemned:
			x.condemned = nil
			for one := range strings.FieldsSeq(s) {
				if d := supported(one); d != "" {
					x.condemned = append(x.condemned, d)
				}
			}
			slices.Sort(x.condemned)
			x.condemned = slices.Compact(x.condemned)
		}
	}
}
