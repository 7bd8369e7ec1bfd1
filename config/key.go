package config

import (
	"strconv"
	"strings"
)

// Inner returns the keys of the tables that a key holds; none of any other.
// Their paths go on from the key's.
func (k Key) Inner() []Key { return k.inner }

// Implied returns what holds where a key without a default is not set, since
// somebody else knows it; "" where nothing does.
func (k Key) Implied() string { return k.implied }

// DefaultTOML returns the default as a file in TOML gives it; "" where there is
// none.
func (k Key) DefaultTOML() string {
	if k.Default == "" || k.entries != nil {
		return ""
	}
	if _, err := strconv.ParseInt(k.Default, 10, 64); err == nil || k.Default == "true" || k.Default == "false" {
		return k.Default
	}
	parts := strings.Split(k.Default, ",")
	for i, p := range parts {
		parts[i] = strconv.Quote(strings.TrimSpace(p))
	}
	if len(parts) > 1 {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return parts[0]
}
