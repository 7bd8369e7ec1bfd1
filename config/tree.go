package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A file is parsed into a tree that keeps what its language told: values are
// string, bool, int64, float64, nil, list or table, or other for what has no
// use here. A value from outside a file is text, of no type yet.
type (
	table []entry
	list  []any // a member that is a table is an entry without a name
	text  string
	other string // what it is called
)

// entry is one key of a table. A key may occur twice; who reads the tree says
// that it must not.
type entry struct {
	name  string
	line  func() int // from 1; 0: not known. It may be costly
	value any
}

// maxDepth is how deep a file may nest.
const maxDepth = 32

// describe says what a value is, for a message.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case text:
		return quote(string(v))
	case bool, int64, float64:
		return fmt.Sprint(v)
	case list:
		return describeList(v)
	case table:
		return "a table"
	case nil:
		return "null"
	case other:
		return string(v)
	}
	return fmt.Sprintf("a %T", value)
}

func describeList(l list) string {
	const most = 8
	var members []string
	for i, member := range l {
		if i == most {
			members = append(members, "…")
			break
		}
		switch m := member.(type) {
		case list:
			member = other("a list")
		case entry:
			member = m.value
		}
		members = append(members, describe(member))
	}
	return "[" + strings.Join(members, ", ") + "]"
}

func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return fmt.Sprintf("%q", s)
	}
	return `"` + s + `"`
}
