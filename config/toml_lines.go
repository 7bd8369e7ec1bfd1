package config

import (
	"bytes"
	"strings"
)

// The package that parses TOML tells one line for all tables of an array. Here
// the others are found in the text, well enough for files as people write them;
// where that fails, the line is the array's.

// headers returns the lines of [[a.b]], for the path a, b.
func (p *tomlParser) headers(path []string) []int {
	want := "[[" + strings.Join(path, ".") + "]]"
	lines, known := p.found[want]
	if known {
		return lines
	}
	for i, line := range p.lines {
		line, _, _ = bytes.Cut(line, []byte("#"))
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[[")) && squeeze(string(line)) == want {
			lines = append(lines, i+1)
		}
	}
	p.found[want] = lines
	return lines
}

// squeeze takes out what may surround the parts of a key.
func squeeze(s string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", `"`, "", "'", "").Replace(s)
}

// header returns the line of table i of n, or the array's.
func (p *tomlParser) header(path []string, i, n int, array func() int) int {
	if lines := p.headers(path); len(lines) == n {
		return lines[i]
	}
	return array()
}

// firstHeader is the line of an array of n tables: that of the first.
func (p *tomlParser) firstHeader(path []string, n int, array func() int) func() int {
	return func() int { return p.header(path, 0, n, array) }
}

// keyBelow returns the first line from the given one on, but before the next
// header, that sets a key; without one, the given.
func (p *tomlParser) keyBelow(line int, name string) int {
	for i := line; i >= 1 && i <= len(p.lines); i++ {
		text := bytes.TrimSpace(p.lines[i-1])
		if i > line && bytes.HasPrefix(text, []byte("[")) {
			break
		}
		key, _, found := bytes.Cut(text, []byte("="))
		if found && squeeze(string(key)) == name {
			return i
		}
	}
	return line
}
