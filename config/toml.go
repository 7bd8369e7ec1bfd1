package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// parseTOML reads a TOML document into a tree.
func parseTOML(data []byte) (root table, err error) {
	// The package says of some mistakes that they are bugs of its own.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, &syntaxError{0, fmt.Sprintf("not valid TOML: %v", r)}
		}
	}()
	if opened(data) > 8*maxDepth {
		return nil, &syntaxError{0, "nested too deep"}
	}
	top := map[string]toml.Primitive{}
	md, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&top)
	if err != nil {
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, &syntaxError{pe.Position.Line, "not valid TOML: " + pe.Message}
		}
		return nil, &syntaxError{0, "not valid TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	}
	p := &tomlParser{md: &md, lines: bytes.Split(data, []byte("\n")), found: map[string][]int{}}
	return p.table(top, nil, 0)
}

// opened returns how many brackets are open at the most, those in strings and
// comments included: a bound of the depth to which the parser recurses.
func opened(data []byte) int {
	depth, most := 0, 0
	for _, b := range data {
		switch b {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return most
}

// tomlParser makes a tree of what the package decoded.
type tomlParser struct {
	md    *toml.MetaData
	lines [][]byte         // of the document, to find what the package does not tell
	found map[string][]int // by header: its lines
}

func (p *tomlParser) table(in map[string]toml.Primitive, path []string, depth int) (table, error) {
	if depth > maxDepth {
		return nil, &syntaxError{0, fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	t := make(table, 0, len(in))
	for name, primitive := range in {
		e, err := p.entry(append(slices.Clip(path), name), primitive, depth)
		if err != nil {
			return nil, err
		}
		t = append(t, e)
	}
	slices.SortFunc(t, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return t, nil
}

func (p *tomlParser) entry(path []string, primitive toml.Primitive, depth int) (entry, error) {
	var seen capture
	if err := p.md.PrimitiveDecode(primitive, &seen); err != nil {
		return entry{}, err
	}
	e := entry{name: path[len(path)-1], line: func() int { return tomlLine(p.md, primitive) }}
	if _, ok := seen.value.(map[string]any); !ok {
		e.value = p.value(seen.value, path, e.line, depth)
		if tables, ok := seen.value.([]map[string]any); ok {
			e.line = p.firstHeader(path, len(tables), e.line)
		}
		return e, nil
	}
	sub := map[string]toml.Primitive{}
	if err := p.md.PrimitiveDecode(primitive, &sub); err != nil {
		return entry{}, err
	}
	t, err := p.table(sub, path, depth+1)
	e.value, e.line = t, firstLine(e.line, t)
	return e, err
}

// firstLine is a table's line, or that of its first key where the table has
// no header of its own (a.b = 1).
func firstLine(own func() int, t table) func() int {
	return func() int {
		line := own()
		if line == 0 {
			for _, e := range t {
				if l := e.line(); line == 0 || l < line {
					line = l
				}
			}
		}
		return line
	}
}

// value makes a tree of a value that is no table and has the given path.
func (p *tomlParser) value(value any, path []string, line func() int, depth int) any {
	switch v := value.(type) {
	case string, bool, int64, float64:
		return v
	case []any:
		l := make(list, len(v))
		for i := range v {
			l[i] = p.value(v[i], nil, line, depth+1)
			if t, ok := l[i].(table); ok {
				l[i] = entry{line: line, value: t}
			}
		}
		return l
	case []map[string]any:
		l := make(list, len(v))
		for i := range v {
			at := func() int { return p.header(path, i, len(v), line) }
			l[i] = entry{line: at, value: p.plain(v[i], at, true, depth+1)}
		}
		return l
	case map[string]any:
		return p.plain(v, line, false, depth+1)
	}
	return other("a date or time")
}

// plain makes a tree of a table in a list. The package does not tell the lines
// of its keys: they are looked for below the table's own, where that is one of a
// header.
func (p *tomlParser) plain(in map[string]any, line func() int, header bool, depth int) table {
	t := make(table, 0, len(in))
	if depth > maxDepth {
		return t // nothing that is known is as deep: whatever it is, it is refused
	}
	for name, value := range in {
		at := line
		if header {
			at = func() int { return p.keyBelow(line(), name) }
		}
		t = append(t, entry{name: name, line: at, value: p.value(value, nil, at, depth)})
	}
	slices.SortFunc(t, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return t
}

// capture takes any value as the parser made it.
type capture struct{ value any }

func (c *capture) UnmarshalTOML(value any) error { c.value = value; return nil }

// refuse fails to decode, because that is how the parser tells a line.
type refuse struct{}

var errRefused = errors.New("refused")

func (*refuse) UnmarshalTOML(any) error { return errRefused }

func tomlLine(md *toml.MetaData, primitive toml.Primitive) int {
	if pe, ok := errors.AsType[toml.ParseError](md.PrimitiveDecode(primitive, &refuse{})); ok {
		return pe.Position.Line
	}
	return 0
}
