package oci

import (
	"encoding/json"
	"iter"
	"strings"
)

// The functions here walk JSON text that json.Valid has accepted, without
// decoding what nobody asked for: index.json may hold ten thousand descriptors,
// of which a few short strings each are wanted. What they yield are substrings.

// cursor is a place in valid JSON text.
type cursor struct {
	s string
	i int
}

// space passes over white space.
func (c *cursor) space() {
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// value passes over the value that begins here and returns its text.
func (c *cursor) value() string {
	start := c.i
	switch c.s[c.i] {
	case '"':
		c.string()
	case '{', '[':
		c.nested()
	default:
		n := strings.IndexAny(c.s[c.i:], ",]} \t\n\r")
		if n < 0 {
			n = len(c.s) - c.i
		}
		c.i += n
	}
	return c.s[start:c.i]
}

// string passes over a string.
func (c *cursor) string() {
	c.i++
	for {
		c.i += strings.IndexByte(c.s[c.i:], '"') + 1
		backslashes := 0
		for c.s[c.i-2-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return
		}
	}
}

// nested passes over an object or an array.
func (c *cursor) nested() {
	for depth := 0; ; {
		switch c.s[c.i] {
		case '"':
			c.string()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		c.i++
		if depth == 0 {
			return
		}
	}
}

// member passes over the name of an object's next member, up to its value, and
// returns the name's text; ok is false at the end of the object.
func (c *cursor) member() (name string, ok bool) {
	c.space()
	if c.s[c.i] == '{' || c.s[c.i] == ',' {
		c.i++
		c.space()
	}
	if c.s[c.i] == '}' {
		return "", false
	}
	name = c.value()
	c.space()
	c.i++ // the colon
	c.space()
	return name, true
}

// next passes over an object's next member and returns its decoded name and
// the text of its value. It is members without the cost of an iterator.
func (c *cursor) next() (name, value string, ok bool) {
	if c.i == 0 && !strings.HasPrefix(c.s, "{") {
		return "", "", false // no object has no members
	}
	if name, ok = c.member(); !ok {
		return "", "", false
	}
	name, _ = text(name)
	return name, c.value(), true
}

// texts yields the members of an object in their order: the texts of names and
// of values. Text that is no object has none.
func texts(object string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if !strings.HasPrefix(object, "{") {
			return
		}
		c := cursor{s: object}
		for {
			name, ok := c.member()
			if !ok || !yield(name, c.value()) {
				return
			}
		}
	}
}

// members is texts with decoded names.
func members(object string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for name, value := range texts(object) {
			decoded, _ := text(name)
			if !yield(decoded, value) {
				return
			}
		}
	}
}

// elements yields the texts of an array's elements. Text that is no array has
// none.
func elements(array string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !strings.HasPrefix(array, "[") {
			return
		}
		c := cursor{s: array, i: 1}
		for c.space(); c.s[c.i] != ']'; c.space() {
			if c.s[c.i] == ',' {
				c.i++
				c.space()
			}
			if !yield(c.value()) {
				return
			}
		}
	}
}

// text decodes a JSON string; ok is false where the value is something else.
func text(value string) (s string, ok bool) {
	if !strings.HasPrefix(value, `"`) {
		return "", false
	}
	if strings.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], true
	}
	return unescape(value)
}

// unescape decodes a JSON string that has escapes. It stands apart because its
// variable lives on the heap.
func unescape(value string) (string, bool) {
	var s string
	err := json.Unmarshal([]byte(value), &s)
	return s, err == nil
}

// quote appends s as a JSON string.
func quote(b []byte, s string) []byte {
	encoded, err := json.Marshal(s)
	if err != nil {
		panic("oci: a string did not encode: " + err.Error()) // cannot happen
	}
	return append(b, encoded...)
}
