package oci

import (
	"encoding/json"
	"errors"
)

// References calls fn for every descriptor in a manifest, of whatever kind it
// is and wherever the descriptor stands, but for the manifest's subject and for
// annotations: so nothing that a client could want with it is missed. child
// tells that it is one of the manifests of an index, or has the media type of a
// manifest. Only MediaType and Digest of the descriptor are set; the digest may
// be of another algorithm, or malformed. References fails where the content is
// not a JSON object.
func References(content []byte, fn func(d Descriptor, child bool)) error {
	if !json.Valid(content) || !isObject(content) {
		return errors.New("manifest is not a JSON object")
	}
	w := referenceWalk{c: cursor{s: string(content)}, fn: fn}
	w.walk()
	return nil
}

// referenceWalk passes over valid JSON once, however deep it is nested.
type referenceWalk struct {
	c     cursor
	fn    func(Descriptor, bool)
	stack []container
}

// container is an object or array that the walk is in.
type container struct {
	object bool
	name   string // of the object's member that is being passed over
	named  bool   // its name was read, its value follows
	passed bool   // it is part of what is not looked at
	child  bool   // it is part of manifests
	Descriptor
}

func (w *referenceWalk) walk() {
	for w.c.space(); w.c.i < len(w.c.s); w.c.space() {
		switch w.c.s[w.c.i] {
		case '{', '[':
			w.enter(w.c.s[w.c.i] == '{')
			w.c.i++
		case '}', ']':
			w.leave()
			w.c.i++
		case ',':
			w.top().named = false
			w.c.i++
		case ':':
			w.top().named = true
			w.c.i++
		case '"':
			s, _ := text(w.c.value())
			w.string(s)
		default:
			w.c.value()
		}
	}
}

func (w *referenceWalk) top() *container { return &w.stack[len(w.stack)-1] }

func (w *referenceWalk) enter(object bool) {
	next := container{object: object}
	if len(w.stack) > 0 {
		outer := w.top()
		next.passed = outer.passed || outer.object && (outer.name == "annotations" || outer.name == "subject" && len(w.stack) == 1)
		next.child = outer.child || outer.object && outer.name == "manifests"
	}
	w.stack = append(w.stack, next)
}

func (w *referenceWalk) leave() {
	if d := w.top(); d.object && !d.passed && d.Digest != "" && len(w.stack) > 1 {
		w.fn(d.Descriptor, d.child || IsManifestType(d.MediaType))
	}
	w.stack = w.stack[:len(w.stack)-1]
}

// string is a member's name, or a value.
func (w *referenceWalk) string(s string) {
	t := w.top()
	switch {
	case !t.object:
	case !t.named:
		t.name = s
	case t.name == "digest" || t.name == "blobSum": // as Docker's first manifests call it
		t.Digest = Digest(s)
	case t.name == "mediaType":
		t.MediaType = s
	}
}
