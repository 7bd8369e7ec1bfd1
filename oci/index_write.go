package oci

import (
	"strconv"
	"strings"
)

// AppendJSON appends the index.json: the descriptors in their exact bytes,
// each on a line of its own, in what stood around them.
func (x *Index) AppendJSON(b []byte) []byte {
	b = append(b, x.head...)
	for i, e := range x.entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '\n')
		b = append(b, e.Raw...)
	}
	if len(x.entries) > 0 {
		b = append(b, '\n')
	}
	return append(b, x.tail...)
}

// JSON is the index.json in bytes of its own.
func (x *Index) JSON() []byte { return x.AppendJSON(make([]byte, 0, x.JSONSize())) }

// JSONSize is the length in bytes of what AppendJSON appends, or a little more.
func (x *Index) JSONSize() int {
	return len(x.head) + int(x.bytes) + 2*len(x.entries) + 2 + len(x.tail)
}

// notes are what berth writes into an entry's annotations.
type notes struct {
	tag     Tag // "" for none
	retag   bool
	subject Digest // "" for none
	vetted  bool   // the subject is known
}

// newEntry makes an entry in berth's own words.
func newEntry(d Descriptor, n notes) *Entry {
	b := appendDescriptor(nil, d)
	if members := n.members(); members != "" {
		b = append(b, `,"annotations":{`...)
		b = append(b, members...)
		b = append(b, '}')
	}
	return parseEntry(string(append(b, '}')))
}

// appendDescriptor appends a descriptor without its closing brace.
func appendDescriptor(b []byte, d Descriptor) []byte {
	b = quote(append(b, `{"mediaType":`...), d.MediaType)
	b = quote(append(b, `,"digest":`...), string(d.Digest))
	b = strconv.AppendInt(append(b, `,"size":`...), max(d.Size, 0), 10)
	if d.ArtifactType != "" {
		b = quote(append(b, `,"artifactType":`...), d.ArtifactType)
	}
	return b
}

// members are the notes as members of an object.
func (n notes) members() string {
	var b []byte
	if n.tag != "" {
		b = quote(append(b, `"`+AnnotationRefName+`":`...), string(n.tag))
	}
	if n.vetted {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = quote(append(b, `"`+AnnotationSubject+`":`...), string(n.subject))
	}
	return string(b)
}

// annotated is the entry with its tag replaced, where retag, and with its
// subject noted, where vetted. Every other field and annotation keeps its bytes.
func (e *Entry) annotated(n notes) *Entry {
	added := n.members()
	var b strings.Builder
	b.WriteByte('{')
	for name, value := range texts(e.Raw) {
		if decoded, _ := text(name); decoded == "annotations" {
			if value = n.merge(value, added); value == "{}" {
				continue
			}
			added = ""
		}
		addMember(&b, name, value)
	}
	if added != "" {
		addMember(&b, `"annotations"`, "{"+added+"}")
	}
	b.WriteByte('}')
	return parseEntry(b.String())
}

// merge is an object of annotations without those that the notes replace, and
// with what is added.
func (n notes) merge(object, added string) string {
	var b strings.Builder
	b.WriteByte('{')
	for name, value := range texts(object) {
		decoded, _ := text(name)
		if n.retag && decoded == AnnotationRefName || n.vetted && decoded == AnnotationSubject {
			continue
		}
		addMember(&b, name, value)
	}
	if added != "" && b.Len() > 1 {
		b.WriteByte(',')
	}
	b.WriteString(added)
	b.WriteByte('}')
	return b.String()
}

// addMember adds a member, by its texts, to an object whose opening brace was
// written.
func addMember(b *strings.Builder, name, value string) {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.WriteString(name)
	b.WriteByte(':')
	b.WriteString(value)
}
