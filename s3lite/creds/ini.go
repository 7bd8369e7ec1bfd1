package creds

import (
	"fmt"
	"strings"
)

// parseINI reads the form of AWS's shared files: sections in brackets, names
// and values around an equals sign, comments behind # or ;. What is indented
// belongs to the value before and is not for this package. Names are in lower
// case. Errors quote no value.
func parseINI(text string) (map[string]map[string]string, error) {
	sections := map[string]map[string]string{}
	var section map[string]string
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, rest, ok := strings.Cut(line[1:], "]")
			rest = strings.TrimSpace(rest)
			if !ok || rest != "" && rest[0] != '#' && rest[0] != ';' {
				return nil, fmt.Errorf("line %d: a section's name has no end", number)
			}
			name = strings.Join(strings.Fields(name), " ")
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			section = sections[name]
		case indented && section != nil:
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok || section == nil {
				return nil, fmt.Errorf("line %d is neither a section, nor a name and a value in one", number)
			}
			section[strings.ToLower(strings.TrimSpace(name))] = withoutComment(strings.TrimSpace(value))
		}
	}
	return sections, nil
}

// withoutComment cuts a comment that follows a value and white space.
func withoutComment(value string) string {
	for i := 1; i < len(value); i++ {
		if (value[i] == '#' || value[i] == ';') && (value[i-1] == ' ' || value[i-1] == '\t') {
			return strings.TrimSpace(value[:i])
		}
	}
	return value
}
