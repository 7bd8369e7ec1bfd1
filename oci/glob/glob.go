// Package glob matches names of repositories, and of tags within them, against
// patterns as configurations hold them. It is pure.
//
// Invariants: a match takes time in proportion to the lengths of pattern and
// name multiplied, whatever the pattern is; and no pattern that Parse takes
// fails later.
package glob

import (
	"fmt"
	"strings"
)

// MaxLength is the longest pattern, in bytes.
const MaxLength = 512

// Pattern is a parsed pattern:
//
//	?   one character, but no slash
//	*   any characters, but no slash
//	**  as a whole segment: any number of segments, none as well; within a
//	    segment the same as *
//
// Everything else stands for itself.
type Pattern struct {
	text     string
	segments []string
}

// Parse checks a pattern: it is neither empty nor longer than MaxLength, no
// segment of it is empty, and it holds nothing but what names are made of, and
// the characters above.
func Parse(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, fmt.Errorf("a pattern is empty")
	}
	if len(s) > MaxLength {
		return Pattern{}, fmt.Errorf("a pattern has %d bytes, at most %d are allowed", len(s), MaxLength)
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return Pattern{}, fmt.Errorf("pattern %q: %q stands in no name; *, ** and ? are the wildcards", s, s[i:i+1])
		}
	}
	segments := strings.Split(s, "/")
	for _, segment := range segments {
		if segment == "" {
			return Pattern{}, fmt.Errorf("pattern %q has an empty segment: names have no slash at either end, and not two in a row", s)
		}
	}
	return Pattern{text: s, segments: segments}, nil
}

// allowed tells whether a byte may stand in a pattern.
func allowed(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("._-/*?", c) >= 0
}

func (p Pattern) String() string { return p.text }

// Match tells whether a name matches as a whole.
func (p Pattern) Match(name string) bool { return matchSegments(p.segments, name) }

// Any tells whether a name matches one of the patterns.
func Any(patterns []Pattern, name string) bool {
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}

// matchSegments compares segment by segment. What a "**" takes is found by
// trying: only the last one met is ever tried again, since what stands between
// two of them matches best where it matches first.
func matchSegments(segments []string, name string) bool {
	at, done := 0, false  // of segments; the whole name was taken
	retry, rest := -1, "" // behind the last "**", and the name as it may begin there
	for {
		if at < len(segments) && segments[at] == "**" {
			at++
			if at == len(segments) {
				return true
			}
			retry, rest = at, name
			if done {
				return onlyAny(segments[at:])
			}
			continue
		}
		if at == len(segments) && done {
			return true
		}
		if at < len(segments) && !done {
			segment, tail, more := strings.Cut(name, "/")
			if matchSegment(segments[at], segment) {
				at, name, done = at+1, tail, !more
				continue
			}
		}
		if retry < 0 {
			return false
		}
		_, tail, more := strings.Cut(rest, "/")
		if !more {
			return false
		}
		at, name, rest, done = retry, tail, tail, false
	}
}

// onlyAny tells whether segments match no segment at all.
func onlyAny(segments []string) bool {
	for _, s := range segments {
		if s != "**" {
			return false
		}
	}
	return true
}

// matchSegment is matchSegments for the characters of one segment.
func matchSegment(pattern, s string) bool {
	p, i := 0, 0
	retry, from := -1, 0 // behind the last "*", and where in s that may begin
	for i < len(s) || p < len(pattern) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			retry, from = p, i
		case p < len(pattern) && i < len(s) && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
		case retry >= 0 && from < len(s):
			from++
			p, i = retry, from
		default:
			return false
		}
	}
	return true
}
